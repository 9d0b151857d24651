"""Decoding one audio file to int16 at the bank's rate, with every problem found and its mend."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile
import soxr

VERSION = 2  # raise it when the same file would give other samples: banks are built anew, results follow
SHORTEST = 0.1  # s; a shorter clip holds no window of the front end
LOWEST_RATE = 1000  # Hz; less is a broken header
FULL_SCALE = 32768
STATE = ("size", "modified_ns", "changed_ns")


def file_state(path):
    """What changes when a file does; (-1, -1, -1) for one that cannot be reached, which the decoder will report."""
    try:
        stat = os.stat(path)
    except OSError:
        return -1, -1, -1
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def checksum_of(content):
    """Length and CRC-32; a SHA-256 takes as long as reading and decoding the file."""
    return f"{len(content)}-{zlib.crc32(content):08x}"


def expected_length(path, data):
    """Samples that the decoded clip takes in the bank; 0 where the header cannot be read."""
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return 0
    if info.samplerate == data.sample_rate:
        return info.frames
    if info.samplerate < LOWEST_RATE:
        return 0
    return int(info.frames * data.sample_rate / info.samplerate) + 1


def decode_into(job, data):
    """Decode one file into its place in the bank; the row of the index that says what was found."""
    path, bank, start, room = job
    row = dict(zip(STATE, file_state(path), strict=True))
    row |= {"checksum": "", "length": 0, "seconds": 0.0, "file_rate": 0, "channels": 0, "usable": False, "problems": []}
    try:
        content = Path(path).read_bytes()
        row["checksum"] = checksum_of(content)
        samples = _decode(content, data, row)
    except ValueError as error:
        row["problems"].append(error.args)
        return row
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        row["problems"].append((f"cannot be decoded: {reason}", "export or copy the recording again"))
        return row
    samples = samples[:room]
    with open(bank, "r+b") as file:
        file.seek(2 * int(start))
        file.write(samples.tobytes())
    row |= {"length": len(samples), "seconds": len(samples) / data.sample_rate, "usable": True}
    return row


def _decode(content, data, row):
    """(n,) int16 samples at the bank's rate; ValueError(problem, mend) for a clip that cannot be used."""
    if not content:
        raise ValueError("the file is empty (0 bytes)", "copy the recording again")
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        row |= {"file_rate": file.samplerate, "channels": file.channels}
        if file.channels > 1 and (data.channel is None or data.channel >= file.channels):
            choice = f"0 to {file.channels - 1}"
            raise ValueError(
                f"{file.channels} channels", f"set data.channel to one of {choice}, or export the file as mono"
            )
        if file.samplerate < LOWEST_RATE:
            raise ValueError(f"a sample rate of {file.samplerate} Hz", "correct the header or export the file again")
        if file.samplerate < data.sample_rate:
            heard = f"recorded at {file.samplerate} Hz: silent above {file.samplerate // 2} Hz"
            row["problems"].append((heard, f"record at {data.sample_rate} Hz, or lower data.sample_rate"))
        exact = file.subtype not in ("FLOAT", "DOUBLE") and file.samplerate == data.sample_rate
        samples = file.read(dtype="int16" if exact else "float32", always_2d=True)
        if len(samples) < file.frames:
            row["problems"].append((f"ends after {len(samples)} of {file.frames} samples", "copy the recording again"))
    samples = samples[:, data.channel or 0] if samples.shape[1] > 1 else samples[:, 0]
    if missing := _missing_bytes(content):
        row["problems"].append((f"truncated: {missing} bytes of audio are missing", "copy the recording again"))
    if not exact:
        samples = _to_int16(samples, row["file_rate"], data.sample_rate)
    if len(samples) < SHORTEST * data.sample_rate:
        raise ValueError(
            f"shorter than {SHORTEST} s ({len(samples) / data.sample_rate:.3f} s)", "record it again or delete it"
        )
    if not samples.any():
        row["problems"].append(("silent: every sample is zero", "check microphone and cable; delete the clip"))
    return samples


def _to_int16(samples, rate, target):
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise ValueError(f"{bad} samples are NaN or infinite", "export the recording again")
    if rate != target:
        samples = soxr.resample(samples, rate, target)
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _missing_bytes(content):
    """Bytes that a RIFF header promises beyond the end of the file (0 for other containers and streamed headers)."""
    if content[:4] != b"RIFF" or len(content) < 8:
        return 0
    promised = struct.unpack("<I", content[4:8])[0] + 8
    return 0 if promised >= 0xFFFFFFFF else max(0, promised - len(content))
