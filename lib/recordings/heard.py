"""Clips that are in no bank: files, bytes and arrays, decoded in memory as a bank's clips are."""

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import soundfile

from lib.recordings import formats
from lib.recordings.decoding import decode
from lib.recordings.levels import OVER
from lib.recordings.names import AUDIO_SUFFIXES
from lib.settings import Data

if TYPE_CHECKING:
    import torch

Source = str | os.PathLike | bytes | np.ndarray


def recordings_at(places: Iterable[str | os.PathLike]) -> Iterator[Path]:
    """The .wav and .flac files in folders, at any depth, and the files that are named, in their order.

    Raises:
        ValueError: no such file or folder. OSError: a folder that may not be read.
    """
    for place in map(Path, places):
        if not place.exists():
            raise ValueError(f"{place}: no such file or folder")
        if place.is_dir():
            os.scandir(place).close()  # rglob goes past what it may not read
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (path for path in found if place.is_file() or _is_recording(path))


def named(path: str | os.PathLike) -> str:
    """A path, or a text that names it, with escapes for bytes that are no UTF-8, which no table takes.

    >>> named("c\\udcff.wav")
    'c\\\\udcff.wav'
    """
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _is_recording(path):
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()


class Heard:
    """New clips, as an embedder and the views of Spectrum are given a bank.

    Attributes:
        clips: DataFrame, one row a clip that can be used: `source` (its place among the sources), `stem`, `path` (""
            for what is no file), `start` and `length` [samples], `seconds`, `file_rate` [Hz], `channels`, `divisor`,
            and as unknown `domain`, `label`, `attributes`.
        problems: DataFrame of `source`, `clip`, `problem` and `mend`, also of clips that cannot be used.
        samples: (total,) int16. sample_rate: Hz. frames: of its clips, which `spectrum.frames_of` keeps.
    """

    def __init__(
        self,
        sources: Sequence[Source] | Source,
        data: Data,
        rate: int | None = None,
        divisor: float = 1.0,
        names: Sequence[str] | None = None,
    ):
        """Decode each source.

        Args:
            sources: paths, the bytes of audio files, or arrays (samples,) or (samples, channels), int16 or float of
                full scale 1; one or several.
            data: rate and channel that are wanted. rate: of the arrays, in Hz. divisor: of float samples of files.
            names: of the clips; without them a file's own and `clip 1`, `clip 2` …

        Raises:
            ValueError: an array without a rate, of another kind or shape, or as many names as there are not clips.
        """
        if isinstance(sources, str | os.PathLike | bytes) or (
            isinstance(sources, np.ndarray) and sources.dtype != object
        ):
            sources = [sources]
        if names is not None and len(names) != len(sources):
            raise ValueError(f"{len(names)} names for {len(sources)} clips")
        rows, sounds, problems, start = [], [], [], 0
        for i, source in enumerate(sources):
            file = isinstance(source, str | os.PathLike)
            name = names[i] if names is not None else named(Path(source).name) if file else f"clip {i + 1}"
            scale = 1.0 if isinstance(source, np.ndarray) else divisor
            samples, row = _decoded(source, data, rate, scale)
            problems += [(i, name, *map(named, each)) for each in row.pop("problems")]
            if row["usable"]:
                rows.append({"source": i, "stem": name, "path": named(source) if file else "", "start": start} | row)
                sounds.append(samples)
                start += len(samples)
        columns = (
            "source",
            "stem",
            "path",
            "start",
            "length",
            "seconds",
            "file_rate",
            "channels",
            "divisor",
            "checksum",
        )
        clips = pd.DataFrame(rows, columns=columns)
        self.clips = clips.assign(domain="", label="", attributes="{}", split="test")
        self.problems = pd.DataFrame(problems, columns=("source", "clip", "problem", "mend"))
        self.samples = np.concatenate(sounds) if sounds else np.empty(0, np.int16)
        self.sample_rate, self.frames = data.sample_rate, {}

    def add_problems(self, entries: Sequence[tuple[int, str, str, str]]) -> None:
        """Join (source, clip, problem, mend) to `problems`."""
        more = pd.DataFrame(list(entries), columns=self.problems.columns)
        self.problems = pd.concat([self.problems, more], ignore_index=True)

    def sound(self, row: NamedTuple) -> np.ndarray:
        """(length,) int16 samples of one row of `clips`."""
        return self.samples[row.start : row.start + row.length]

    def tensor(self, device: "torch.device | str" = "cpu") -> "torch.Tensor":
        """(total,) int16 tensor of `samples`."""
        import torch  # takes seconds, which Spectrum does without

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(self.samples).to(device)


def _decoded(source, data, rate, divisor):
    """(samples, row) of a path, bytes or an array."""
    if isinstance(source, np.ndarray):
        return decode(_as_file(source, rate), "", data, loudest=OVER)
    if isinstance(source, bytes):
        return decode(source, "", data, divisor, OVER)
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}", formats.mend_of(error, str(source))
        return np.empty(0, np.int16), {"usable": False, "problems": [problem]}
    return decode(content, str(source), data, divisor, OVER)


def _as_file(sound, rate):
    """A WAV file of an array's samples, so that arrays are heard as files are."""
    if rate is None:
        raise ValueError("an array has no sample rate: give rate=…, in Hz")
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and sound.shape[1] > 64):
        raise ValueError(f"an array of shape {sound.shape}: (samples,) or (samples, channels) is wanted")
    if sound.dtype.kind != "f" and sound.dtype != np.int16:
        raise ValueError(f"an array of {sound.dtype}: int16, or float of full scale 1 is wanted")
    content, kind = io.BytesIO(), "PCM_16" if sound.dtype == np.int16 else "FLOAT"
    soundfile.write(content, sound if kind == "PCM_16" else sound.astype(np.float32), rate, kind, format="WAV")
    return content.getvalue()
