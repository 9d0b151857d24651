"""Decoding one audio file to int16 at the bank's rate, with every problem found and its mend."""

import math
import mmap
import os
import stat
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from lib.recordings import flac, formats, headers
from lib.recordings.reading import FULL_SCALE, UNKNOWN, Opened, Pcm16, read_all
from lib.settings import Data

VERSION = 4  # raise it when the same file would give other samples: banks are built anew, results follow
SHORTEST = 0.1  # s; a shorter clip holds no window of the front end
LOWEST_RATE = 1000  # Hz; less is a broken header
STATE = ("size", "modified_ns", "changed_ns")
FLOATS = ("FLOAT", "DOUBLE")
_HEAD = 4096  # bytes, by which a file's kind is told
_PLAUSIBLE = 16  # samples a byte of FLAC; a header that claims more is not believed
_EXACT = ("PCM_16", "PCM_S8", "PCM_U8", "PCM_24", "PCM_32", "ULAW", "ALAW")


class Job(NamedTuple):
    """One file to decode, its place in the bank (samples), what float samples are divided by (NaN: it is refused)."""

    path: str
    bank: str
    start: int
    room: int
    divisor: float = 1.0


def file_state(path: str) -> tuple[int, int, int]:
    """What changes when a file does; (-1, -1, -1) for one that cannot be reached, which the decoder will report."""
    try:
        state = os.stat(path)
    except OSError:
        return -1, -1, -1
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def checksum_of(content: bytes) -> str:
    """Length and CRC-32; a SHA-256 takes as long as reading and decoding the file."""
    return f"{len(content)}-{zlib.crc32(content):08x}"


def measure(path: str, data: Data) -> tuple[int, float]:
    """Samples that the decoded clip takes in the bank at most, and the peak of a float file.

    Args:
        path: audio file. data: rate and channel of the bank.

    Returns:
        (samples, peak): a peak of −1 for an integer format; (0, NaN) where the file cannot be read. Of FLAC what its
        header claims, which is less than `decode_into` finds where the header errs.
    """
    try:
        _refuse_pipe(path)
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            sound = headers.find_sound(content)
            if sound is not None and sound.form.bytes and sound.form.tag != headers.FLOAT:
                return _room(sound.length // sound.form.frame, sound.form.rate, data.sample_rate), -1.0
            if formats.kind_of(content[:_HEAD]) == "FLAC":
                rate, claimed = flac.claim(content)
                if 0 < claimed <= _PLAUSIBLE * len(content):
                    return _room(claimed, rate, data.sample_rate), -1.0
            content = bytes(content) if sound is None else sound.of(bytes(content))
        with Opened(content) as file:
            samples, _ = read_all(file, content, "float32")
            peak = _peak(samples[:, min(data.channel or 0, file.channels - 1)]) if file.subtype in FLOATS else -1.0
            return _room(len(samples), file.samplerate, data.sample_rate), peak
    except (soundfile.LibsndfileError, OSError, ValueError):
        return 0, float("nan")


def decode_into(job: Job, data: Data) -> dict:
    """Decode one file into its place in the bank.

    Returns:
        The row of the index that says what was found, and `wanted`: samples for which there should have been room.
    """
    state = dict(zip(STATE, file_state(job.path), strict=True))
    try:
        _refuse_pipe(job.path)
        content = Path(job.path).read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}", formats.mend_of(error, job.path)
        return state | _row("") | {"problems": [problem]}
    except ValueError as error:
        return state | _row("") | {"problems": [error.args]}
    if math.isnan(job.divisor):
        return state | _row(checksum_of(content))
    samples, row = decode(content, job.path, data, job.divisor)
    length = min(len(samples), job.room)
    with open(job.bank, "r+b", buffering=0) as file:
        file.seek(2 * int(job.start))
        sound = memoryview(np.ascontiguousarray(samples[:length])).cast("B")
        while len(sound):
            sound = sound[file.write(sound) :]
    return state | row | {"length": length, "seconds": length / data.sample_rate, "wanted": len(samples)}


def decode(
    content: bytes, name: str, data: Data, divisor: float = 1.0, loudest: float = math.inf
) -> tuple[np.ndarray, dict]:
    """The sound in an audio file's bytes, and what was found.

    Args:
        content: the file. name: its name, of which the suffix is compared with what the file is.
        data: rate and channel that are wanted. divisor: of float samples, as `levels.divisors` chooses it.
        loudest: × full scale, above which float samples are refused.

    Returns:
        (n,) int16 at `data.sample_rate`, empty where the clip cannot be used; and the row of an index: `checksum`,
        `length`, `seconds`, `file_rate` [Hz], `channels`, `usable`, `divisor`, `problems` of (problem, mend).
    """
    row = _row(checksum_of(content)) | {"problems": (problems := [])}
    try:
        samples = _decode(content, name, divisor, loudest, data, row)
    except ValueError as error:
        problems.append(error.args)
    except soundfile.LibsndfileError as error:
        problems.append(formats.undecodable(content, name, error))
    else:
        return samples, row | {"length": len(samples), "seconds": len(samples) / data.sample_rate, "usable": True}
    return np.empty(0, np.int16), row


def _row(checksum):
    found = {"checksum": checksum, "length": 0, "seconds": 0.0, "file_rate": 0, "channels": 0, "usable": False}
    return found | {"divisor": 1.0, "problems": []}


def _decode(content, name, divisor, loudest, data, row):
    """(n,) int16 samples at the bank's rate; ValueError(problem, mend) for a clip that cannot be used."""
    if not content:
        raise ValueError("the file is empty (0 bytes)", "copy the recording again")
    sound = headers.find_sound(content)
    if sound is not None:
        row["problems"] += sound.problems
        content = sound.of(content)
    kind, named = formats.kind_of(content), Path(name).suffix[1:].upper()
    if named and kind != named:
        row["problems"].append((f"another format: {kind} named .{named.lower()}; read as it is", "rename or export it"))
    plain = sound is not None and (sound.form.tag, sound.form.bytes) == (headers.PCM, 2)
    with Pcm16(sound, content) if plain else Opened(content) as file:
        row |= {"file_rate": file.samplerate, "channels": file.channels}
        _check(file, data, row)
        exact = file.subtype in _EXACT and file.samplerate == data.sample_rate
        samples, broken = read_all(file, content, "int16" if exact else "float32")
        if len(samples) > file.claimed:
            said = f"a header that claims too little: {file.claimed} of {len(samples)} samples; all read"
            row["problems"].append((said, "nothing, or export it again for a right header"))
        if len(samples) < file.claimed and (broken or file.claimed < UNKNOWN):
            of = f" of {file.claimed}" if file.claimed < UNKNOWN else ""
            row["problems"].append((f"truncated: ends after {len(samples)}{of} samples", "copy the recording again"))
        floats = file.subtype in FLOATS
    samples = samples[:, data.channel or 0] if samples.shape[1] > 1 else samples[:, 0]
    peak = 0.0 if exact else float(np.abs(samples).max(initial=0))
    if not exact:
        row["divisor"] = divisor if floats else 1.0
        if floats and peak > loudest * divisor:
            said = f"another scale: its peak is {peak:.3g} where the machine's clips end at {divisor:g}; not used"
            raise ValueError(said, "export it with the gain of the machine's other clips")
        samples = _to_int16(samples, row, data.sample_rate)
    if len(samples) < SHORTEST * data.sample_rate:
        raise ValueError(
            f"too short: shorter than {SHORTEST} s ({len(samples) / data.sample_rate:.3f} s)",
            "record it again or delete it",
        )
    if not samples.any():
        if peak > 0:
            said = f"too quiet: the loudest sample is {peak / row['divisor']:.3g} of full scale, less than 16 bits hold"
            raise ValueError(said, "export it with the gain of the machine's other clips")
        row["problems"].append(("silent: every sample is zero", "check microphone and cable; delete the clip"))
    return samples


def _refuse_pipe(path):
    """ValueError for what is no file and would be waited for without end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("cannot be read: a pipe or device, not a file", "delete it")


def _check(file, data, row):
    """ValueError for a file whose channels or rate cannot be used."""
    if file.channels > 1 and (data.channel is None or data.channel >= file.channels):
        choice = f"0 to {file.channels - 1}"
        mend = f"set data.channel (make fit: CHANNEL=…) to one of {choice}, or export the file as mono"
        raise ValueError(f"several channels: {file.channels} channels", mend)
    if file.samplerate < LOWEST_RATE:
        raise ValueError(
            f"no usable rate: a sample rate of {file.samplerate} Hz", "correct the header or export the file again"
        )
    if file.samplerate < data.sample_rate:
        heard = f"recorded at {file.samplerate} Hz: silent above {file.samplerate // 2} Hz"
        row["problems"].append((heard, f"record at {data.sample_rate} Hz, or lower data.sample_rate"))


def _room(frames, rate, target):
    if rate == target:
        return int(frames)
    return 0 if rate < LOWEST_RATE else int(frames * target / rate) + 1


def _peak(samples):
    return float(np.abs(samples[np.isfinite(samples)]).max(initial=0))


def _to_int16(samples, row, target):
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise ValueError(f"no numbers: {bad} samples are NaN or infinite", "export the recording again")
    samples = samples / np.float32(row["divisor"]) if row["divisor"] != 1 else samples
    if row["file_rate"] != target:
        samples = soxr.resample(samples, row["file_rate"], target)
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
