"""What the test clips are: labels and domains, from the official evaluator's ground truth or from the clips' names.

The official layout is `ground_truth_data/ground_truth_<machine>_section_00_test.csv` (0 normal, 1 anomaly) and the same
in `ground_truth_domain` (0 source, 1 target). Development clips carry both in their names.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.recordings.dcase import Dataset
from lib.recordings.folders import LAYOUT, SPLITS, recordings
from lib.recordings.names import parse_name, stem_of
from lib.recordings.spreadsheets import is_header
from lib.results.official import TRUTH, Section, fault, flag, numbered, read_rows, read_values, section_of

LABELS, DOMAINS = "ground_truth_data", "ground_truth_domain"
UNSAID = "the name does not say label and domain"
MEND = f"give the ground truth: a folder of {LABELS} and {DOMAINS}, a data root, or a list of the clips' names"


class Known(NamedTuple):
    """What is known of a section's test clips.

    Attributes:
        clips: DataFrame with `domain` (source, target) and `label` (normal, anomaly), indexed by the clips' stems.
        faults: what is wrong with it; without any it can be used.
    """

    clips: pd.DataFrame
    faults: list[str]


def read(place: Path) -> dict[Section, Known]:
    """The ground truth that a path names.

    Args:
        place: folder of the official layout, or up to two folders above it; a data root in DCASE layout; a folder of
            clips; or a file that lists names of clips. A machine is "" where nothing says which it is.

    Raises:
        ValueError: none of these.
    """
    if place.is_file():
        return _of_list(place)
    if not place.is_dir():
        raise ValueError(f"{place}: no such file or folder; {MEND}")
    root = official_root(place)
    return _of_clips(place) if root is None else _official(root)


def official_root(place: Path) -> Path | None:
    """The folder that holds the two of the official layout: `place`, the one above it, or up to two below; or None.

    Raises:
        ValueError: it has one of the two alone, or there are several such folders.
    """
    near = place.resolve()
    levels = [[near.parent] if near.name in (LABELS, DOMAINS) else [], [place]]
    levels += [sorted(place.glob("*/")), sorted(place.glob("*/*/"))]
    for level in levels:
        found = [folder for folder in level if (folder / LABELS).is_dir() or (folder / DOMAINS).is_dir()]
        if len(found) > 1:
            raise ValueError(f"{place}: several folders of ground truth, {found[0]} and {found[1]}; give one of them")
        for folder in found:
            if lacking := [name for name in (LABELS, DOMAINS) if not (folder / name).is_dir()]:
                raise ValueError(f"{folder}: no folder {lacking[0]} there; the ground truth needs both")
            return folder
    return None


def _official(root):
    files = {}
    for folder in (LABELS, DOMAINS):
        for path in sorted((root / folder).iterdir()):
            kind, section = section_of(path.name) or ("", None)
            if kind == TRUTH:
                files.setdefault(section, {}).setdefault(folder, path)
    if not files:
        raise ValueError(f"{root / LABELS}: no ground truth there, as {Section('fan', '00').file(TRUTH)}")
    return {section: _official_section(root, section, files[section]) for section in files}


def _official_section(root, section, files):
    lacking = [f"{root / name / section.file(TRUTH)}: no such file" for name in (LABELS, DOMAINS) if name not in files]
    if lacking:
        return Known(_table([]), lacking)
    labels, faults = read_values(files[LABELS], flag)
    domains, more = read_values(files[DOMAINS], flag, labels)
    clips = [
        (clip, "target" if domains.get(clip) else "source", "anomaly" if label else "normal")
        for clip, label in labels.items()
    ]
    return Known(_table(clips), faults + more)


def _of_clips(place):
    try:
        clips = Dataset(place).clips
    except ValueError as error:
        names = [path for path, _ in recordings(place, "", [])]
        if not names:
            raise ValueError(f"{error}; or {MEND}") from None
        above = place.resolve().parts[-2:]
        return _of_names(place, [(above + path.relative_to(place).parts[:-1], stem_of(path.name)) for path in names])
    found = {}
    for (machine, section), test in clips[clips["split"] == "test"].groupby(["machine", "section"], sort=False):
        rows = list(zip(test["stem"], test["domain"], test["label"], strict=True))
        found[Section(machine, numbered(section))] = _known(place, rows, one_domain=not any(test["domain"]))
    if not found:
        raise ValueError(f"{place}: no test clips there; {MEND}")
    return found


def _of_list(path):
    faults = []
    rows = read_rows(path, (), lambda said, mend: faults.append(f"{path}: {said} ({mend})"))
    names = [cells[0].replace("\\", "/") for _, cells in rows or () if not is_header(cells[0])]
    if faults or not names:
        raise ValueError(faults[0] if faults else f"{path}: lists no names; {MEND}")
    parts = [tuple(name.split("/")[:-1]) for name in names]
    return _of_names(path, list(zip(parts, map(stem_of, names), strict=True)), last=True)


def _of_names(place, names, last=False):
    """Truth by (folders, stem); `last`: a clip's folder is its machine where it lies in no train or test folder."""
    sections = {}
    for folders, stem in names:
        splits = [i for i, part in enumerate(folders) if SPLITS.get(part.lower())]
        if splits and SPLITS[folders[splits[-1]].lower()] == "train":
            continue
        before = folders[: splits[-1]] if splits else folders if last else ()
        machine = before[-1] if before and before[-1] not in LAYOUT else ""
        name = parse_name(stem)
        if name is None or name.split != "train":
            number = numbered(name.section) if name else "00"
            sections.setdefault(Section(machine, number), {})[stem] = name
    if not sections:
        raise ValueError(f"{place}: no test clips there; {MEND}")
    return {section: _known(place, _said(clips)) for section, clips in sections.items()}


def of_names(path: Path, section: Section, stems: Iterable[str]) -> Known:
    """What the names in a score file say themselves, where there is no other truth."""
    known = _known(path, _said({stem: parse_name(stem) for stem in stems}))
    other = [stem for stem in known.clips.index if numbered(parse_name(stem).section) != section.number]
    return known._replace(faults=known.faults + ([fault(path, f"not of {section}", other)] if other else []))


def _said(names):
    """(stem, domain, label) by the names' grammar; a training clip is none that is tested."""
    found = {stem: name if name and name.split != "train" else None for stem, name in names.items()}
    return [(stem, name.domain if name else "", name.label if name else "") for stem, name in found.items()]


def _known(place, rows, one_domain=False):
    """`Known` of (stem, domain, label); a clip that lacks one of the two is a fault."""
    silent = [stem for stem, domain, label in rows if not label or not (domain or one_domain)]
    faults = [fault(place, f"{UNSAID}; {MEND}", silent)] if silent else []
    return Known(_table([row for row in rows if row[0] not in silent]), faults)


def _table(rows):
    return pd.DataFrame(rows, columns=["clip", "domain", "label"]).set_index("clip")
