"""What the header of a FLAC file claims, and the ID3 tag that some programs put before a header."""

import mmap

_RATE = 18  # byte of a FLAC header where the rate begins


def tag_end(content: bytes | mmap.mmap) -> int:
    """Where an ID3 tag before the file ends, 0 without one; of its size each byte has 7 bits."""
    if content[:3] != b"ID3" or len(content) <= 10:
        return 0
    return 10 + sum((byte & 127) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))


def claim(content: bytes | mmap.mmap) -> tuple[int, int]:
    """Rate [Hz] and number of samples that the header of a FLAC file claims; 0 samples where it does not know."""
    start = tag_end(content) + _RATE
    numbers = int.from_bytes(content[start : start + 8])  # 20 bits of rate, 8 of channels and depth, 36 of samples
    return numbers >> 44, numbers & (1 << 36) - 1


def forget_claim(content: memoryview) -> None:
    """Set the number of samples in the header of a FLAC file, where it is whole, to 0, which says unknown."""
    at = tag_end(bytes(content[:11])) + _RATE + 3
    if at + 5 <= len(content):
        content[at] &= 0xF0
        content[at + 1 : at + 5] = bytes(4)
