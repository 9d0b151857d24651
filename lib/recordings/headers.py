"""The headers of WAV files as recorders, streams and crashes leave them: where the sound really begins and ends.

RIFF, RF64 and BW64: chunks of a name, a size and their bytes. A recorder writes the sizes last, so that a crash leaves
0 or a guess, a stream leaves 0xFFFFFFFF, a copy that breaks off leaves more than is there. What goes to libsndfile is a
new header and all the sound that the file holds.
"""

import itertools
import mmap
import re
import struct
from dataclasses import dataclass

import numpy as np

from lib.recordings.flac import tag_end

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_STREAMED = 0x7FFFF000  # a size from here on says that the writer did not know it
_AFTER = (
    b"LIST", b"bext", b"iXML", b"id3 ", b"ID3 ", b"cue ", b"smpl", b"axml", b"aXML", b"_PMX", b"PEAK", b"fact", b"JUNK",
    b"FLLR", b"PAD ", b"afsp", b"chna", b"acid", b"inst", b"SAUR", b"LGWV", b"umid", b"UMID", b"link", b"regn", b"minf",
    b"elm1", b"SyLp", b"Cr8r", b"ovwf", b"strc", b"guan", b"DISP",
)  # fmt: skip
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_ ]{3}")
_LIKE, _QUIET = 4.0, 0.35  # what is more times louder than the sound before it, and this loud, is no sound
_METADATA = 1 << 20  # bytes, within which the sound begins behind a broken chunk
_SEARCHED = 4096  # bytes, before which a header begins
_LEAST = 4097  # bytes: less behind the sound is padding


@dataclass(frozen=True)
class Format:
    """What a `fmt ` chunk says of one frame.

    Attributes:
        bytes: of one sample, 0 where a codec packs several in a block. block: bytes of such a block.
        chunk: as it stands. bits: of a sample that count. doubt: how it contradicts itself, "" if it does not.
    """

    tag: int
    channels: int
    rate: int
    bytes: int
    block: int = 1
    chunk: bytes = b""
    bits: int = 0
    doubt: str = ""

    @classmethod
    def read(cls, chunk: bytes) -> "Format":
        """Of the chunk's bytes; the bits of a sample count, sizes of blocks that contradict them do not.

        Raises:
            ValueError: (problem, mend) for a chunk that describes no sound.
        """
        if len(chunk) < 14:
            raise ValueError("a header without sample rate: its fmt chunk is cut off", "export the recording again")
        tag, channels, rate, second, block = struct.unpack("<HHIIH", chunk[:14])
        bits = struct.unpack("<H", chunk[14:16])[0] if len(chunk) >= 16 else 0
        if tag == EXTENSIBLE:
            tag = struct.unpack("<H", chunk[24:26])[0] if len(chunk) >= 26 else PCM
        if not channels or not rate:
            said = f"a header that describes no sound: {channels} channels at {rate} Hz"
            raise ValueError(said, "export the recording again")
        each = -(-bits // 8) if bits else block // channels
        if bits in (20, 24) and block == 4 * channels:  # in the upper bytes of four
            each = 4
        tag = tag or PCM
        allowed = {PCM: (1, 2, 3, 4), FLOAT: (4, 8), ALAW: (1,), MULAW: (1,)}
        each = each if each in allowed.get(tag, ()) else 0
        doubt = ""
        if each and block > each * channels and block % each == 0 and second == block * rate:
            doubt = f"a header that contradicts itself: {channels} × {each} bytes in frames of {block}; the former read"
        return cls(tag, channels, rate, each, block or 1, chunk, bits, doubt)

    @property
    def frame(self) -> int:
        """Bytes of one frame, of one block where a codec packs several."""
        return self.bytes * self.channels or self.block

    def header(self, length: int) -> bytes:
        """A header for `length` bytes of sound."""
        rate = min(self.rate * self.frame, 0xFFFFFFFF)
        chunk = struct.pack("<HHIIHH", self.tag, self.channels, self.rate, rate, self.frame, 8 * self.bytes)
        chunk = chunk if self.bytes else self.chunk
        sizes = [min(size, 0xFFFFFFFF) for size in (length + 20 + len(chunk), length)]
        start = struct.pack("<4sI8sI", b"RIFF", sizes[0], b"WAVEfmt ", len(chunk))
        return start + chunk + struct.pack("<4sI", b"data", sizes[1])


@dataclass(frozen=True)
class Sound:
    """Where a WAV file's sound lies: `length` bytes, whole frames, from `start`, and (problem, mend) of its header.

    `shift`: bits by which samples of four bytes stand too low.
    """

    form: Format
    start: int
    length: int
    problems: tuple[tuple[str, str], ...]
    shift: int = 0

    def of(self, content: bytes) -> bytes:
        """The file as libsndfile reads it: a header that fits, and the sound."""
        header = self.form.header(self.length)
        if not self.shift and len(content) == len(header) + self.length and content.startswith(header):
            return content
        sound = content[self.start : self.start + self.length]
        if self.shift:
            sound = (np.frombuffer(sound, "<i4") << self.shift).tobytes()
        return header + sound


def find_sound(content: bytes | mmap.mmap) -> Sound | None:
    """Where the sound is; None for another kind of file.

    Args:
        content: bytes of the file, or a memory map, of which only the header is read as long as it is right.

    Raises:
        ValueError: (problem, mend), a WAV file that holds no sound.
    """
    begin = _begin(content)
    if begin is None:
        return None
    chunks, wide, sound = _chunks(content, begin)
    if sound is None:
        raise ValueError("a header without sound: no data chunk in it", "copy or record it again")
    if b"fmt " not in chunks:
        raise ValueError("a header without format: no fmt chunk before the sound", "export the recording again")
    form = Format.read(chunks[b"fmt "])
    start, claimed = sound
    if content[begin : begin + 4] != b"RIFF" and claimed == 0xFFFFFFFF and wide:
        claimed = wide
    stop, problems = _extent(content, start, claimed, form)
    length = (stop - start) // form.frame * form.frame
    if not length:
        raise ValueError(f"a header without sound: {claimed} bytes of sound claimed, none there", "record it again")
    if begin:
        said = f"bytes before the header: {begin}; left out"
        problems.append((said, "nothing, or export the recording again"))
    if form.doubt:
        problems.append((form.doubt, "listen to it; export it for a right header"))
    if shift := _too_low(content, start, length, form):
        said = f"samples in the lower bits: {form.bits} of 32; read so"
        problems.append((said, "nothing, or export it with 24 or 16 bits"))
    return Sound(form, start, length, tuple(problems), shift)


def _begin(content):
    """Where the header begins: behind a tag that some programs put before it, say; None in another kind of file."""
    for start in dict.fromkeys((tag_end(content), 0)):  # a tag may say a wrong size
        for name in (b"RIFF", b"RF64", b"BW64"):
            position = content.find(name, start, start + _SEARCHED)
            if position >= 0 and content[position + 8 : position + 12] == b"WAVE":
                return position
    return None


def _chunks(content, begin):
    """({name: bytes} before the sound, length of the sound by `ds64`, (start, claimed size) of the sound or None)."""
    found, wide, position = {}, 0, begin + 12
    while position + 8 <= len(content):
        name, size = content[position : position + 4], struct.unpack("<I", content[position + 4 : position + 8])[0]
        if name == b"data":
            return found, wide, (position + 8, size)
        following = position + 8 + size
        if not _NAME.fullmatch(name) or following > len(content):
            break
        found[name] = content[position + 8 : following]
        if name == b"ds64" and size >= 16:
            wide = struct.unpack("<Q", found[name][8:16])[0]
        padded = following + (size & 1)
        position = following if _NAME.fullmatch(content[following : following + 4]) and size & 1 else padded
    if b"fmt " not in found and (form := content.find(b"fmt ")) >= 0:
        found[b"fmt "] = content[form + 8 : form + 24]
    return found, wide, _sound_after(content, position)


def _sound_after(content, position):
    """(start, claimed size) of the sound behind a chunk of wrong size or name, in which the word "data" may stand.

    The first whose size leads to the end or to a known chunk; else the first that the writer left open; else the first.
    """
    candidates, searched = [], position + _METADATA
    while 0 <= (position := content.find(b"data", position, searched)) <= len(content) - 8:
        candidates.append((position + 8, struct.unpack("<I", content[position + 4 : position + 8])[0]))
        position += 4
    fits = (start for start, size in candidates if _fits(content, start + size))
    opened = (start for start, size in candidates if size == 0 or size >= _STREAMED)
    first = next(itertools.chain(fits, opened, (start for start, _ in candidates)), None)
    return next((each for each in candidates if each[0] == first), None)


def _fits(content, stop):
    """Whether a sound that ends here ends where the file or a known chunk says so."""
    ends = (len(content), len(content) - 1)
    return stop in ends or any(content[at : at + 4] in _AFTER for at in (stop, stop + 1) if at < len(content))


def _too_low(content, start, length, form):
    """Bits by which samples stand too low: 20 or 24 that count belong into the upper bits of 32."""
    if form.tag != PCM or form.bytes != 4 or form.bits not in (20, 24):
        return 0
    samples = np.frombuffer(content[start : start + length], "<i4")
    above = samples >> form.bits  # of samples that stand low the sign at most
    low = samples & ((1 << (32 - form.bits)) - 1)
    return 32 - form.bits if np.isin(above, (0, -1)).all() and low.any() else 0


def _extent(content, start, claimed, form):
    """End of the sound, and (problem, mend) where the header says otherwise."""
    there, mend = len(content) - start, "nothing, or export it again for a right header"
    if (claimed >= _STREAMED and claimed > there) or not claimed:
        stop = _before_chunks(content, start, form)
        if not stop - start:
            return stop, []
        size = f"{claimed:#X}".replace("X", "x") if claimed else "0"
        said = f"a header without length: {size} bytes claimed; all {stop - start} bytes of sound read"
        return stop, [(said, mend)]
    if claimed > there:
        said = f"truncated: {claimed - there} of {claimed} bytes of audio are missing"
        return len(content), [(said, "copy the recording again")]
    stop = start + claimed
    tail, problems = content[stop:], []
    if rest := claimed % form.frame:
        said = f"a header with half a frame: {claimed} bytes are no multiple of {form.frame}; {rest} left out"
        problems.append((said, mend))
    if second := _second(content, stop):
        said = f"a second sound: {len(content) - second} bytes with a header of their own behind the first; left out"
        return stop, [*problems, (said, "split the file in two")]
    if not tail.strip(b"\0") or _follow(content, stop) or _follow(content, stop + (claimed & 1)):
        return stop, problems
    last = _before_chunks(content, stop, form)
    stop -= rest
    if _sounds_like(content[start:stop], content[stop:last], form):
        said = f"a header that claims too little: {claimed} of {last - start} bytes of sound; all read"
        return last, [(said, mend)]
    said = f"bytes behind the sound: {len(tail)}, neither sound nor a chunk; left out"
    return start + claimed, [*problems, (said, "nothing, or check the end of the recording")]


def _second(content, position):
    """Where another sound begins behind the first, or behind known chunks that follow it; 0 without one."""
    for place, name, _ in _in_turn(content, position):
        if name not in _AFTER:
            return place if name in (b"RIFF", b"data") else 0
    return 0


def _follow(content, position):
    """Whether known chunks, one behind the other, fill the file from here to its end (the last may be cut off)."""
    return all(
        _NAME.fullmatch(name) and (size <= len(content) - place or name in _AFTER)
        for place, name, size in _in_turn(content, position)
    )


def _in_turn(content, position):
    """(position, name, size) of the chunks that lie one behind the other; some writers leave out the padding byte."""
    while position + 8 <= len(content):
        name, size = content[position : position + 4], struct.unpack("<I", content[position + 4 : position + 8])[0]
        yield position, name, size
        position += 8 + size
        if size & 1 and not _NAME.fullmatch(content[position : position + 4]):
            position += 1


def _before_chunks(content, start, form):
    """End of the sound that reaches to the end of the file, or to known chunks that do."""
    stop = len(content)
    for name in _AFTER:
        position = content.rfind(name, start)
        while position >= 0:
            size = struct.unpack("<I", content[position + 4 : position + 8].ljust(4, b"\xff"))[0]
            if size <= len(content) - position - 8 and _follow(content, position):
                stop = min(stop, position)
            position = content.rfind(name, start, position + 3) if position > start else -1
    return stop


def _sounds_like(sound, tail, form):
    """Whether what stands behind the sound is more of it: long, no random bytes, not mostly zeros, not too loud."""
    if len(tail) < _LEAST:
        return False
    last = np.frombuffer(tail[: len(tail) // form.bytes * form.bytes], np.uint8)[form.bytes - 1 :: form.bytes]
    counts = np.sort(np.bincount(last, minlength=256))[::-1]
    if counts[:32].sum() < 0.2 * len(last) or tail.count(0) > 0.5 * len(tail):
        return False
    return _level(tail, form) <= max(_QUIET, _LIKE * _level(sound, form))


def _level(content, form):
    """Root mean square, full scale = 1."""
    content = content[: len(content) // form.frame * form.frame]
    if form.tag == FLOAT:
        samples = np.frombuffer(content, f"<f{form.bytes}").astype(np.float64)
        samples = np.nan_to_num(np.where(np.abs(samples) < 1e12, samples, 1e12))
    elif form.tag == PCM and form.bytes in (2, 4):
        samples = np.frombuffer(content, f"<i{form.bytes}") / 2.0 ** (8 * form.bytes - 1)
    else:  # the first byte of 24 bits says little, the last one enough; 8 bits and companded ones rest at 128
        last = np.frombuffer(content, np.uint8)[form.bytes - 1 :: form.bytes]
        samples = last.view(np.int8) / 128 if form.bytes == 3 else (last.astype(float) - 128) / 128
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
