"""A machine's clips out of a zip, without trust in it: nothing lands outside the machine's folder or is overwritten."""

import filecmp
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lib.paths import readable
from lib.progress import progress
from lib.recordings.fetching import bytes_of
from lib.recordings.folders import LAYOUT, SPLITS
from lib.recordings.names import AUDIO_SUFFIXES

SWELLING = 20  # times its own size that a zip may unpack to; recordings come to less than 2
CHUNK = 1 << 20
AGAIN = "get it anew"


class Unpacked(NamedTuple):
    """What came of a zip: {file under the machine's folder: bytes}; attribute files of it that another stands for."""

    files: dict[str, int]
    left: list[str]

    @property
    def clips(self) -> int:
        return sum(name.lower().endswith(AUDIO_SUFFIXES) for name in self.files)


def unpack(archive: Path, machine: str, target: Path) -> Unpacked:
    """Put what a zip holds of a machine into its folder: all of it or nothing.

    It is unpacked beside the folder, every checksum of the zip looked at, and moved when it is whole. Files that are
    there stay: the same ones are left, an attribute file that differs is, too, any other that differs is refused.

    Args:
        archive: zip with `<machine>/train/…`, `<machine>/test/…`, `<machine>/attributes_00.csv`. target: the folder.

    Raises:
        ValueError: no zip, a broken one, one that is unsafe or holds other things; or files at hand differ.
        OSError: the disk is too small or cannot be written to.
    """
    with readable(archive, AGAIN):
        opened = zipfile.ZipFile(archive)
    with opened:
        members = _members(opened, archive, machine)
        check_room(target, sum(info.file_size for info in members.values()), f"unpack {archive.name}")
        temporary = target.parent / f".{archive.name}"
        if os.path.lexists(temporary):  # of a call that was killed
            shutil.rmtree(temporary)
        try:
            for name, info in progress(members.items(), f"unpacking {archive.name}", unit="file"):
                _write(opened, info, temporary / name)
            os.sync()  # once for all: a power cut shall leave no empty clips; fsync took 50 ms for each of 1200
            left = _move(temporary, target, list(members), archive)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Unpacked({name: info.file_size for name, info in members.items()}, left)


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """OSError where the disk of `folder`, which need not be there yet, has less than `needed` bytes free."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(place).free) < needed:
        raise OSError(
            f"{place}: {bytes_of(free)} free, {bytes_of(needed)} needed to {purpose}; free space there, or choose "
            "another folder (DATA) or fewer machines (MACHINES)"
        )


def _members(opened, archive, machine):
    """{path under the machine's folder: ZipInfo} of the machine's files; ValueError where any entry is unsafe."""
    members = {}
    for info in opened.infolist():
        if fault := _fault(info):
            raise ValueError(f"{archive}: {info.orig_filename!a} {fault}; nothing of it was unpacked: {AGAIN}")
        parts = list(PurePosixPath(info.filename).parts)
        while parts and parts[0] in LAYOUT:
            del parts[0]
        if info.is_dir() or len(parts) < 2 or parts[0] != machine:
            continue
        if (name := "/".join(parts[1:])) in members:
            raise ValueError(f"{archive}: {info.filename} is in it twice; nothing of it was unpacked: {AGAIN}")
        members[name] = info
    if not any(name.split("/")[0] in SPLITS and name.lower().endswith(AUDIO_SUFFIXES) for name in members):
        raise ValueError(f"{archive}: no clips in {machine}/train or {machine}/test in it; {AGAIN}")
    size, own = sum(info.file_size for info in members.values()), archive.stat().st_size
    if size > SWELLING * own:
        raise ValueError(f"{archive}: {bytes_of(own)} that would unpack to {bytes_of(size)}; {AGAIN}")
    return members


def _fault(info):
    """Why an entry is not to be unpacked; "" where it may be."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or re.match("[A-Za-z]:", name):
        return "leads out of the folder"
    if not name.isprintable():
        return "has a name that no file may have"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & 1 else ""


def _write(opened, info, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        for chunk in _content(opened, info):
            file.write(chunk)


def _content(opened, info) -> Iterator[bytes]:
    """An entry's bytes; at its end zipfile compares their checksum."""
    with readable(opened.filename, AGAIN), opened.open(info) as member:
        while chunk := member.read(CHUNK):
            yield chunk


def _move(temporary, target, names, archive):
    """Move files to where they belong; returns the attribute files that stay as they are there."""
    if not os.path.lexists(target):
        os.rename(temporary, target)
        return []
    there = [name for name in names if os.path.lexists(target / name)]
    differing = [name for name in there if not filecmp.cmp(temporary / name, target / name, shallow=False)]
    left = [name for name in differing if name.startswith("attributes")]
    if clips := sorted(set(differing) - set(left)):
        raise ValueError(
            f"{target}: {len(clips)} of {len(names)} files are others than in {archive.name}, first {clips[0]}; "
            "nothing was changed: move them away, or choose another folder (DATA)"
        )
    for name in sorted(set(names) - set(there)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.rename(temporary / name, target / name)
    return left
