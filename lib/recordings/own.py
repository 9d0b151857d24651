"""A folder of healthy recordings, as an engineer has it, laid out as a data root: any names, any sub-folders.

Only links are made, in a folder of the run's own; nothing of the user's is moved, changed or deleted.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lib.recordings.dcase import RESERVED, Dataset
from lib.recordings.folders import recordings

HELD_OUT = 0.15  # of the clips, that no training hears
LEAST = 10  # clips: of fewer nothing can be held out
OTHERS = "others"  # machine of a folder of sounds that is no data root
TABLE = "attributes_00.csv"
MADE = "made_by_fit"  # a file that says that this root is all links


def lay_out(folder: Path, machine: str, root: Path, problems: list[tuple]) -> dict[str, int]:
    """Link the recordings under `folder` into `root`/<machine>/{train,test}; links of an earlier call go.

    Held out as test clips are those whose names have the smallest SHA-256: the same ones each time. A table of
    attributes is the one CSV in `folder`, or the one that is called attributes.csv.

    Args:
        folder: of healthy clips. machine: its name. root: data root, made here. problems: entries (machine, file,
            problem, mend) are added, of what is not used.

    Returns:
        How many clips are in `train` and in `test`.

    Raises:
        ValueError: a name that no machine can have, no such folder, too few recordings, several tables, or a root that
            was not made here; names the mend.
    """
    if machine in ("", ".", "..", "data", OTHERS, *RESERVED) or set(machine) & set("/\\") or machine.startswith("."):
        raise ValueError(f"MACHINE={machine}: a machine cannot be called so; give it a plain name, such as mill_3")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the folder of the machine's healthy recordings")
    if root.is_relative_to(folder) or folder.is_relative_to(root):
        raise ValueError(f"{folder}: holds the run's own folder, or lies in it; give the recordings' own folder")
    os.scandir(folder).close()  # OSError of one that may not be read
    found = [path.relative_to(folder) for path, _ in recordings(folder, machine, problems)]
    if len(found) < LEAST:
        raise ValueError(
            f"{folder}: {len(found)} .wav or .flac files; at least {LEAST} healthy clips are needed; cut long "
            "recordings into clips of 5 to 10 s, such as by ffmpeg -i long.wav -f segment -segment_time 10 clip%04d.wav"
        )
    table = _table(folder)
    ordered = sorted(found, key=lambda path: hashlib.sha256(path.as_posix().encode(errors="replace")).hexdigest())
    held = set(ordered[: max(2, round(HELD_OUT * len(found)))])
    _clear(root)
    place = root / machine
    for path in found:
        _link(folder / path, place / ("test" if path in held else "train") / path)
    if table:
        _link(table, place / TABLE)
    return {"train": len(found) - len(held), "test": len(held)}


def link_others(root: Path, machine: str, others: Path) -> list[str]:
    """Link the training clips of other machines into `root`, as the sound that the machine is told from.

    Args:
        root: as `lay_out` made it. others: a data root, or any folder of recordings, which are one machine's then.
            Recordings that are the machine's own, by whatever name, are left out.

    Returns:
        Their names.

    Raises:
        ValueError: no recordings of another machine there.
    """
    own = {path.resolve() for path in (root / machine).rglob("*") if path.is_symlink()}
    try:
        clips = Dataset(others).clips
        clips = clips[(clips["split"] == "train") & (clips["machine"] != machine)]
        found = {str(name): [Path(path) for path in rows["path"]] for name, rows in clips.groupby("machine")}
    except ValueError:
        found = {OTHERS: [path for path, _ in recordings(others, OTHERS, [])] if others.is_dir() else []}
    found = {name: [path for path in paths if path.resolve() not in own] for name, paths in found.items()}
    found = {name: paths for name, paths in found.items() if paths}
    if not found:
        raise ValueError(f"{others}: no .wav or .flac file of another machine; name a folder of other machines' sound")
    for name, paths in found.items():
        taken = set()
        for i, path in enumerate(paths):  # two sub-folders may each hold 0.wav
            _link(path, root / name / "train" / (Path(str(i), path.name) if path.name in taken else Path(path.name)))
            taken.add(path.name)
    return sorted(found)


def _clear(root):
    """Take away what an earlier call linked; ValueError for a folder that another made."""
    if root.exists() and not (root / MADE).exists():
        raise ValueError(f"{root}: is there, and not of make fit; choose another run folder (RUN)")
    if root.exists():
        shutil.rmtree(root)  # links, which it does not follow
    root.mkdir(parents=True)
    (root / MADE).write_text("links to the recordings of a machine; make fit deletes and makes this folder\n")


def _link(path, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        raise ValueError(f"{place}: two recordings of one name; rename {path}")
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
