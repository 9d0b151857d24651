"""What a file is, whatever its name says, and what to do where it is no recording that can be decoded."""

from pathlib import Path

from lib.recordings.flac import tag_end

_KINDS = (
    (b"RIFF", "WAV"), (b"RF64", "WAV"), (b"BW64", "WAV"), (b"RIFX", "WAV"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"),
    (b"FORM", "AIFF"), (b"ID3", "MP3"), (b"\xff\xfb", "MP3"), (b"\xff\xf3", "MP3"), (b"\xff\xf2", "MP3"),
    (b"\xff\xf1", "AAC"), (b"\xff\xf9", "AAC"), (b"caff", "CAF"), (b"riff", "W64"), (b"PK\x03\x04", "a ZIP archive"),
    (b"version https://git-lfs", "a git-lfs pointer"), (b"\x1aE\xdf\xa3", "Matroska"), (b"#!AMR", "AMR"),
    (b"\x1f\x8b", "a gzip archive"), (b"%PDF", "a PDF"), (b"{", "JSON"),
)  # fmt: skip
_MENDS = {
    "a git-lfs pointer": "fetch the recording: git lfs pull",
    "a web page": "download the recording again, logged in",
    "nothing but zeros": "copy it again; the recorder or the copy never wrote it",
}


def kind_of(content: bytes) -> str:
    """What a file is by its first bytes.

    >>> kind_of(b"fLaC..."), kind_of(b"<!DOCTYPE html>"), kind_of(b"version https://git-lfs.github.com/spec/v1")
    ('FLAC', 'a web page', 'a git-lfs pointer')
    """
    if content[4:8] == b"ftyp":
        return "MP4 (m4a)"
    if content[:64].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if behind := tag_end(content):
        return {b"fLaC": "FLAC", b"RIFF": "WAV"}.get(content[behind : behind + 4], "MP3")
    if found := next((kind for start, kind in _KINDS if content.startswith(start)), ""):
        return found
    if not content.strip(b"\0"):
        return "nothing but zeros"
    return "text" if content[:256].isascii() and b"\0" not in content[:256] else "no known format"


def undecodable(content: bytes, path: str, error: Exception) -> tuple[str, str]:
    """Problem and mend of a file that libsndfile refuses."""
    kind = kind_of(content)
    reason = getattr(error, "error_string", str(error)) if kind in ("WAV", "FLAC") else f"it is {kind}"
    mend = _MENDS.get(kind, f"export or copy the recording again, or ffmpeg -i {Path(path).name!r} new.wav")
    return f"cannot be decoded: {reason}", mend


def mend_of(error: OSError, path: str) -> str:
    """What to do about a file that the system does not read."""
    if isinstance(error, PermissionError):
        return f"chmod a+r {path!r}, or start as its owner"
    if isinstance(error, FileNotFoundError):
        return "a link to a file that is not there: copy the recording itself"
    return "copy the recording again"
