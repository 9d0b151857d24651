"""Where the clips of a data root lie: its machines' folders, their train and test folders and the files in these.

What cannot be read, or is no recording, becomes an entry (machine, file, problem, mend) of the problem list. Listings
are sorted, so that the order of a file system changes nothing.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from lib.recordings.names import AUDIO_SUFFIXES, composed, label_of, without_copy_marks

LAYOUT = ("dev_data", "eval_data", "raw")
SPLITS = {
    "train": "train", "training": "train", "source_train": "train", "target_train": "train",
    "test": "test", "testing": "test", "source_test": "test", "target_test": "test",  # as in 2021
}  # fmt: skip
_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information", "icon\r"}
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000\u200b\ufeff"), " ")
_OTHER_FORMATS = (
    ".mp3", ".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".aifc", ".caf", ".w64", ".rf64",
    ".amr", ".3gp", ".webm", ".mov", ".mkv", ".ape", ".wv", ".au", ".raw", ".pcm", ".dat", ".mat", ".npy", ".tdms",
)  # fmt: skip
_LEFTOVERS = (".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", ".tmp", ".aria2", ".!ut")
_DEEPEST = 5  # folders below a root where recordings are still looked for, to name them in an error


def listing(folder: Path, machine: str, problems: list[tuple]) -> list[tuple[Path, bool]]:
    """(path, whether it is a folder) of what a folder holds, sorted by name, without what systems leave there."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _is_folder(entry)) for entry in entries)
    except OSError as error:
        mend = f"chmod -R a+rX {str(folder)!r}, or start as its owner"
        if folder.name == "lost+found":
            mend = "leave it: the file system's own"
        problems.append((machine, str(folder), f"a folder that cannot be read: {error.strerror}; left out", mend))
        return []
    return [(folder / name, folder_) for name, folder_ in found if not _is_junk(name)]


class MachineFolder(NamedTuple):
    """A machine's name, its folder, what that holds, as `listing` says it, and {split: folders} of it."""

    machine: str
    path: Path
    entries: list[tuple[Path, bool]]
    splits: dict[str, list[Path]]


def machine_folders(root: Path, problems: list[tuple]) -> list[MachineFolder]:
    """Every machine, in the official layout and as `<root>/<machine>`; each folder is listed once.

    A machine may lie one folder deeper, as where an archive was unpacked into a folder of its own.
    """
    found, deeper = [], []
    for parent in [root / part for part in ("", "dev_data", "dev_data/raw", "eval_data", "eval_data/raw", "raw")]:
        children = listing(parent, "", problems) if os.path.isdir(parent) else []
        _note_loose([child for child, is_folder in children if not is_folder], problems)
        for child, is_folder in children:
            if not is_folder or child.name in LAYOUT:
                continue
            entries = listing(child, child.name, problems)
            if splits := _splits(entries):
                found.append(MachineFolder(composed(child.name), child, entries, splits))
                continue
            count = 0
            for inner, is_inner in entries:
                inside = listing(inner, inner.name, problems) if is_inner else []
                if splits := _splits(inside):
                    deeper.append(MachineFolder(composed(inner.name), inner, inside, splits))
                else:
                    count += _recordings_below(inner) if is_inner else inner.suffix.lower() in AUDIO_SUFFIXES
            if count:
                said = f"no train or test folder: {count} recordings; not used"
                problems.append((composed(child.name), str(child), said, "put them into train and test, or leave them"))
    names = {folder.path.name for folder in found}
    for folder in deeper:
        if (name := folder.path.name) in names:
            said = f"a second folder of a machine: {name}, one folder deeper; left out"
            problems.append((name, str(folder.path), said, "put its clips into the other, or give it another name"))
        else:
            found.append(folder)
    return [folder for folder in found if _well_named(folder.path, problems)]


def _note_loose(files, problems):
    """List the recordings and attribute files that lie beside the machines' folders."""
    loose = [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES]
    if loose:
        said = f"in no machine's folder: {len(loose)} recordings, first {loose[0].name}; not used"
        problems.append(("", str(loose[0].parent), said, "move them into <machine>/train or test, or leave them"))
    for file in files:
        if file.name.lower().startswith("attribute"):
            said = "an attribute file in no machine's folder: ignored"
            problems.append(("", str(file), said, "move it into the folder of its machine, beside train and test"))


def recordings(folder: Path, machine: str, problems: list[tuple]) -> list[tuple[Path, tuple[str, ...]]]:
    """(path, folders between) of every .wav and .flac file under a train or test folder, at any depth."""
    found, others = [], defaultdict(list)
    for path, between in _walk(folder, machine, problems):
        if not path.name.translate(_BLANKS).isprintable():  # a name in another encoding than UTF-8, too
            said = "unreadable characters in the name: ignored"
            problems.append((machine, ascii(str(path)), said, "rename it"))
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            found.append((path, between))
        else:
            others[path.parent, path.suffix.lower()].append(path)
    problems.extend((machine, str(paths[0]), *_other(suffix, paths)) for (_, suffix), paths in others.items())
    return found


def note_unused(folder: MachineFolder, problems: list[tuple]) -> None:
    """List the recordings of a machine that lie beside its train and test folders."""
    machine, used = folder.machine, {path for folders in folder.splits.values() for path in folders}
    for path, is_folder in folder.entries:
        if path in used:
            continue
        files = [file for file, _ in _walk(path, machine, problems)] if is_folder else [path]
        count = sum(file.suffix.lower() in AUDIO_SUFFIXES for file in files)
        if count:
            said = f"outside train and test: {count} recordings; not used"
            problems.append((machine, str(path), said, "move them into train or test, or leave them"))


def nothing_found(root: Path, problems: list[tuple]) -> str:
    """Why a root holds no clips, and which path to give instead."""
    expected = "expected <root>/<machine>/{train,test}/*.wav (or .flac), or the same under <root>/dev_data/raw"
    if machines := _inside_out(root):
        return (
            f"{root}: the folders are the other way round: expected <root>/<machine>/train, found "
            f"<root>/train/{machines[0]}; move each machine's clips to <root>/{machines[0]}/train and so on"
        )
    if _split_folders(root):
        return f"{root}: this is one machine's folder; give the folder that holds all machines: {root.parent}"
    if root.name.lower() in SPLITS:
        return f"{root}: this is a machine's {root.name} folder; give the folder of all machines: {root.parent.parent}"
    first = None
    for folder, depth in _below(root):
        if _split_folders(folder):
            base = folder.parent
            while base.name in LAYOUT and base != root:
                base = base.parent
            if base != root:
                return f"{root}: no clips found; machines lie deeper, give the data root {base}"
        if first is None and depth and any(p.suffix.lower() in AUDIO_SUFFIXES for p, _ in listing(folder, "", [])):
            first = folder
    if first is not None:
        return f"{root}: no clips found; {first} holds recordings, but in no train or test folder: {expected}"
    unread = "".join(f"\n  {file}: {problem} ({mend})" for _, file, problem, mend in problems[:3])
    if any("\\" in path.name for path, _ in listing(root, "", [])):
        unread += "\n  names with backslashes: unpack the archive again, with 7z or bsdtar"
    return f"{root}: no clips found; {expected}{unread}"


def _inside_out(root):
    """Machines in `train/<machine>`; none where its folders say healthy or not, or recordings lie in it."""
    trains = _split_folders(root).get("train", [])
    entries = [entry for train in trains for entry in listing(train, "", [])]
    if any(not is_folder and path.suffix.lower() in AUDIO_SUFFIXES for path, is_folder in entries):
        return []
    names = [path.name for path, is_folder in entries if is_folder and _recordings_below(path)]
    tested = {path.name for test in _split_folders(root).get("test", []) for path, _ in listing(test, "", [])}
    return [name for name in names if name in tested and not label_of(name)[0]]


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, say
        return False


def _is_junk(name):
    return name.startswith(".") or name.lower() in _JUNK


def _split_folders(folder):
    """{split: folders} of the train and test folders in a folder."""
    return _splits(listing(folder, "", []))


def _splits(entries):
    """{split: folders} among what a folder holds."""
    found = defaultdict(list)
    for path, is_folder in entries:
        if is_folder and (split := SPLITS.get(without_copy_marks(path.name).lower())):
            found[split].append(path)
    return dict(found)


def _recordings_below(folder):
    return sum(path.suffix.lower() in AUDIO_SUFFIXES for path, _ in _walk(folder, folder.name, []))


def _well_named(folder, problems):
    name = folder.name
    if name.isprintable() and not set(name) & set("\\∕⁄／"):
        return True
    said = f"a machine's name with a line break, slash or other character that no file name may have: {name!a}"
    problems.append((ascii(name), ascii(str(folder)), f"{said}; left out", "rename the folder"))
    return False


def _walk(folder, machine, problems, between=(), seen=()):
    """Files under a folder with the names of the folders between; a link that leads back up is not followed."""
    try:
        state = os.stat(folder)
    except OSError:
        state = None
    if state and (state.st_dev, state.st_ino) in seen:
        problems.append((machine, str(folder), "a link that leads back: to a folder above it; left out", "delete it"))
        return
    seen = (*seen, (state.st_dev, state.st_ino)) if state else seen
    for path, is_folder in listing(folder, machine, problems):
        if is_folder:
            yield from _walk(path, machine, problems, (*between, path.name), seen)
        else:
            yield path, between


def _other(suffix, paths):
    """Problem and mend of files that are no .wav or .flac."""
    first, mend = paths[0], "rename or delete it"
    kind = "not a .wav or .flac file"
    if first.name.lower().startswith("attribute"):
        kind, mend = "an attribute file among the recordings", "move it up, beside train and test"
    elif suffix in _LEFTOVERS:
        kind, mend = f"an unfinished download ({suffix})", "download it again"
    elif suffix in _OTHER_FORMATS:
        kind, mend = f"another format ({suffix[1:]})", f"convert it: ffmpeg -i {first.name!r} {first.stem + '.wav'!r}"
    elif any(mark in first.name.lower() for mark in AUDIO_SUFFIXES):
        kind = "a copy or leftover of a recording"
    files = f"{len(paths)} files, first {first.name}, " if len(paths) > 1 else ""
    return f"{kind}: {files}ignored", mend


def _below(root):
    """Folders below a root, breadth first, with their depth."""
    waiting, seen = [(root, 0)], 0
    while waiting and seen < 2000:
        folder, depth = waiting.pop(0)
        yield folder, depth
        seen += 1
        if depth < _DEEPEST:
            waiting += [(path, depth + 1) for path, is_folder in listing(folder, "", []) if is_folder]
