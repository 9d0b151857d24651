"""What is seen and heard of a clip: its spectrogram, the map of where it is strange, a cut of the strangest stretch.

Pictures are grey and without axes, a few kilobytes each; the page's style gives them their colours, in light and in
dark, and names the axes. All of a machine share one scale of levels, one of the map and one gain, so that they compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from lib.listening.clip_map import ClipMap
from lib.listening.listener import Listener
from lib.listening.reasons import HEARD
from lib.paths import whole_file
from lib.recordings.reading import FULL_SCALE
from lib.results.plots_clip import frequency_ticks
from lib.systems import SPECTRUM

SECONDS = 3.0  # of a cut
COLUMNS = 800  # of a picture at most: more than a page shows
COARSE = 64  # columns, below which a map is shown in its squares
QUALITY = 80  # of WebP
PEAK = 0.9  # of full scale, of the loudest cut
GAIN = 32.0  # at most, 30 dB
TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)  # seconds between two ticks


@dataclass(frozen=True)
class Sound:
    """One clip, heard.

    Attributes:
        spectrogram, found: `ClipMap`s; without a map `found` is None. reason: why it is strange, "" where unknown.
        begin, end: of the cut, seconds. samples: int16 of the cut. rate: Hz.
    """

    spectrogram: ClipMap
    found: ClipMap | None
    reason: str
    begin: float
    end: float
    samples: np.ndarray
    rate: int

    @classmethod
    def of(cls, listener: Listener, path: str | Path, seconds: float = SECONDS) -> "Sound":
        """Hear a recording.

        Args:
            listener: with the row whose map is wanted. Where that would take seconds a clip, Spectrum's stands in, and
                where there is none either, there is no map and the cut is the loudest stretch.
            path: of the file. seconds: of the cut.

        Raises:
            ValueError: it cannot be used; says why.
        """
        heard = listener.hear([path])
        if heard.clips.empty:
            raise ValueError("; ".join(f"{each.problem} ({each.mend})" for each in heard.problems.itertuples()))
        row = next(heard.clips.itertuples())
        spectrogram, mapping = listener.spectrogram(heard), mapped_by(listener)
        found = mapping.map_heard(heard) if mapping else None
        begin, end = (found or spectrogram).strangest(seconds)
        rate, reasons = heard.sample_rate, listener.reasons(heard)
        samples = heard.sound(row)[round(begin * rate) : round(end * rate)]
        return cls(spectrogram, found, reasons[0].words if reasons else "", begin, end, samples, rate)


def mapped_by(listener: Listener) -> Listener | None:
    """The listener whose maps stand for this one's: itself, else Spectrum, else none."""
    if listener.quick_map:
        return listener
    return listener.using(SPECTRUM) if SPECTRUM in listener.rows else None


def write(sounds: Sequence[Sound], folder: Path) -> list[dict]:
    """Write pictures and cuts of some clips of a machine; returns what a page says of each, in their order.

    Each has `number`, that its files 01.webp, 01_map.webp and 01.flac begin with, and what their axes show.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maps = [sound.found for sound in sounds if sound.found]
    levels = _quantiles([sound.spectrogram for sound in sounds])
    least = HEARD if any("[dB]" in each.kind for each in maps) else 1e-9  # what nobody hears stays pale
    strange = (0.0, max(_quantiles(maps)[1], least))
    loudest = max((int(np.abs(sound.samples.astype(np.int32)).max(initial=0)) for sound in sounds), default=0)
    gain, told = min(PEAK * FULL_SCALE / loudest, GAIN) if loudest else 1.0, []
    for number, sound in enumerate(sounds, 1):
        name, found = f"{number:02d}", sound.found
        _picture(sound.spectrogram, levels, folder / f"{name}.webp", quality=QUALITY)
        if found is not None:
            _picture(found, strange, folder / f"{name}_map.webp", lossless=True)
        with whole_file(folder / f"{name}.flac", sync=False) as temporary:
            soundfile.write(
                temporary, np.clip(sound.samples / FULL_SCALE * gain, -1, 1), sound.rate, "PCM_16", format="FLAC"
            )
        told.append({
            "number": name, "reason": sound.reason, "seconds": sound.spectrogram.seconds,
            "begin": sound.begin, "end": sound.end, "map": found is not None,
            "coarse": found is not None and found.values.shape[1] < COARSE, "kind": found.kind if found else "",
            "most": strange[1], "decibel": 20 * np.log10(gain),
            "frequencies": frequency_ticks(sound.spectrogram), "times": time_ticks(sound.spectrogram.seconds),
            "map_frequencies": frequency_ticks(found) if found else {},
        })  # fmt: skip
    return told


def time_ticks(seconds: float) -> dict[str, float]:
    """{seconds: place from 0 to 1} of at most seven round times.

    >>> time_ticks(4)
    {'0': 0.0, '1': 0.25, '2': 0.5, '3': 0.75, '4': 1.0}
    """
    step = next((step for step in TIMES if seconds / step <= 6), seconds or 1.0)
    return {f"{i * step:g}": i * step / (seconds or 1.0) for i in range(int(seconds / step + 1e-9) + 1)}


def _quantiles(maps):
    """Values for white and black over all, so that one click does not make all else pale."""
    values = np.concatenate([np.zeros(1), *(np.nan_to_num(each.values).ravel() for each in maps)][bool(maps) :])
    return float(np.quantile(values, 0.1)), float(np.quantile(values, 0.999))


def _picture(shown, bounds, path, **options):
    """A grey picture, black at the upper bound, the lowest band at its foot."""
    low, high = bounds
    dark = np.clip((np.nan_to_num(shown.values) - low) / max(high - low, 1e-9), 0, 1)
    image = Image.fromarray((255 * (1 - dark[::-1])).round().astype(np.uint8))
    if image.width > COLUMNS:
        image = image.resize((COLUMNS, image.height), Image.Resampling.BOX)
    with whole_file(path, sync=False) as temporary:
        image.save(temporary, "WEBP", **options)
