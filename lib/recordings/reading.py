"""The samples of one audio file's bytes, front to back, whatever its header claims."""

import contextlib
import io

import numpy as np
import soundfile

from lib.recordings import flac, formats, headers

UNKNOWN = 1 << 40  # frames; libsndfile gives more where a header does not say
FULL_SCALE = 32768  # of 16-bit samples
_BLOCK, _LITTLE = 1 << 20, 256  # frames read at a time; the latter where a file breaks off
_BEHIND = 4096  # frames read at a time behind those that a header claims


class Opened(soundfile.SoundFile):
    """A file that is read from front to back: libsndfile cannot seek in one that is cut off or has no length.

    `claimed` is the number of frames that its header claims. That of FLAC is not `believed` at first: such a file is
    read to its end.
    """

    def __init__(self, content: bytes, believed: bool = False):
        stream = io.BytesIO(content)
        self.believed = believed or formats.kind_of(content) != "FLAC"
        if not self.believed:
            with stream.getbuffer() as whole:
                flac.forget_claim(whole)
        super().__init__(stream)
        self.claimed = self.frames if self.believed else flac.claim(content)[1] or UNKNOWN

    def seekable(self) -> bool:
        return False


class Pcm16(contextlib.AbstractContextManager):
    """A WAV file of 16-bit samples as `Opened` would give it; there is nothing to decode."""

    subtype, believed = "PCM_16", True

    def __init__(self, sound: headers.Sound, content: bytes):
        """`content` as `headers.Sound.of` gives it."""
        self.samplerate, self.channels = sound.form.rate, sound.form.channels
        self.samples = np.frombuffer(content, "<i2", offset=len(content) - sound.length).reshape(-1, self.channels)
        self.frames = self.claimed = len(self.samples)

    def __exit__(self, *_):
        return None

    def read(self, frames: int, dtype: str, always_2d: bool) -> np.ndarray:
        """All of them, whatever is asked."""
        return self.samples if dtype == "int16" else self.samples.astype(dtype) / FULL_SCALE


def read_all(file: Opened | Pcm16, content: bytes, dtype: str) -> tuple[np.ndarray, bool]:
    """(n, channels) samples up to the end or to where the file breaks off, and whether it does."""
    blocks = []
    with contextlib.suppress(soundfile.LibsndfileError):
        samples = _blocks(file, dtype, _BLOCK, blocks)
        if file.believed or len(samples) >= file.claimed:
            return samples, False
    if not file.believed:  # a tag behind the sound, or it breaks off
        with Opened(content, believed=True) as again:
            return read_all(again, content, dtype)
    blocks.clear()
    with Opened(content, believed=True) as again, contextlib.suppress(soundfile.LibsndfileError):
        _blocks(again, dtype, _LITTLE, blocks)
    return np.concatenate([np.empty((0, file.channels), dtype), *blocks]), True


def _blocks(file, dtype, size, blocks):
    """(n, channels) samples, `size` frames at a time, put into `blocks` as they come.

    Never far more than are there, since libsndfile fills what is missing with zeros; what is behind the sound may be a
    tag, on which it stumbles.
    """
    read = 0
    while read < file.frames:
        count = min(size, file.frames - read, max(file.claimed - read, _BEHIND))
        if not len(block := file.read(count, dtype=dtype, always_2d=True)):
            break
        blocks.append(block)
        read += len(block)
    return blocks[0] if len(blocks) == 1 else np.concatenate([np.empty((0, file.channels), dtype), *blocks])
