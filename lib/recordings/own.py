"""A folder of healthy recordings, as an engineer has it, laid out as a data root: any names, any sub-folders."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lib.recordings.dcase import Dataset
from lib.recordings.folders import recordings

HELD_OUT = 0.15  # of the clips, that no training hears
LEAST = 10  # clips: of fewer nothing can be held out
OTHERS = "others"  # machine of a folder of sounds that is no data root
TABLE = "attributes_00.csv"


def lay_out(folder: Path, machine: str, root: Path) -> dict[str, int]:
    """Link the recordings under `folder` into `root`/<machine>/{train,test}; links of an earlier call go.

    Held out as test clips are those whose names have the smallest SHA-256: the same ones each time. A table of
    attributes is the one CSV in `folder`, or the one that is called attributes.csv.

    Args:
        folder: of healthy clips. machine: its name. root: data root, made here.

    Returns:
        How many clips are in `train` and in `test`.

    Raises:
        ValueError: no such folder, too few recordings, several tables; names the mend.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the folder of the machine's healthy recordings")
    found = [path.relative_to(folder) for path, _ in recordings(folder, machine, [])]
    if len(found) < LEAST:
        raise ValueError(f"{folder}: {len(found)} .wav or .flac files; at least {LEAST} healthy clips are needed")
    ordered = sorted(found, key=lambda path: hashlib.sha256(path.as_posix().encode()).hexdigest())
    held = set(ordered[: max(2, round(HELD_OUT * len(found)))])
    place = root / machine
    shutil.rmtree(place, ignore_errors=True)
    for path in found:
        _link(folder / path, place / ("test" if path in held else "train") / path)
    if table := _table(folder):
        _link(table, place / TABLE)
    return {"train": len(found) - len(held), "test": len(held)}


def link_others(root: Path, machine: str, others: Path) -> list[str]:
    """Link the training clips of other machines into `root`, as the sound that the machine is told from.

    Args:
        others: a data root, or any folder of recordings, which are one machine's then.

    Returns:
        Their names.

    Raises:
        ValueError: no recordings there.
    """
    try:
        clips = Dataset(others).clips
    except ValueError:
        if not (found := recordings(others, OTHERS, []) if others.is_dir() else []):
            raise ValueError(f"{others}: no .wav or .flac files; name a folder of other machines' sound") from None
        _relinked(root / OTHERS, {path: Path(*between, path.name) for path, between in found})
        return [OTHERS]
    clips = clips[(clips["split"] == "train") & (clips["machine"] != machine)]
    for name, rows in clips.groupby("machine"):
        _relinked(root / str(name), {Path(path): Path(Path(path).name) for path in rows["path"]})
    return sorted(clips["machine"].unique())


def _relinked(place, files):
    shutil.rmtree(place, ignore_errors=True)
    for path, name in files.items():
        _link(path, place / "train" / name)


def _link(path, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(path.resolve())
    except OSError:  # a disk without links
        shutil.copyfile(path, place)


def _table(folder):
    """The table of attributes in a folder, or None."""
    tables = sorted(folder / name for name in os.listdir(folder) if name.lower().endswith(".csv"))
    named = [path for path in tables if path.stem.lower().startswith("attribute")]
    if len(named or tables) > 1:
        names = ", ".join(path.name for path in named or tables)
        raise ValueError(f"{folder}: several tables ({names}); call the one of the attributes attributes.csv, alone")
    return next(iter(named or tables), None)


def names(machines: Iterable[str]) -> str:
    """`fan, pump and valve`."""
    *most, last = machines
    return f"{', '.join(most)} and {last}" if most else last
