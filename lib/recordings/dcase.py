"""The data root in DCASE 2023 Task 2 layout: the index of clips and the split.

Paper: Sec. 4.2; task description arXiv:2305.07828. A clip is identified by machine, split and stem. Whatever
does not fit becomes an entry of the problem list (machine, file, problem, mend), never a stop. A problem begins with
its kind, up to the first colon, by which a run's first lines count it.
"""

import filecmp
import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib.recordings.attribute_files import TAKEN, AttributeRows
from lib.recordings.folders import MachineFolder, machine_folders, note_unused, nothing_found, recordings
from lib.recordings.names import ClipName, composed, label_of, parse_name, stem_of, without_copy_marks, without_number
from lib.recordings.values import abbreviates, same_value, settle
from lib.systems import DEVELOPMENT_MACHINES

RESERVED = (
    "overall",
    "hmean",
    "tables",
    "figures",
    "notebooks",
    "teams",
    "shared",
    "report",
)  # columns of tables, folders of a run
CLIP_COLUMNS = ("machine", "split", "stem", "path", "section", "domain", "label", "attributes")
PROBLEM_COLUMNS = ("machine", "file", "problem", "mend")


class Dataset:
    """The index of a data root.

    Attributes:
        root: folder that was read.
        clips: DataFrame, one row a clip (`CLIP_COLUMNS`), sorted by machine, split, stem; `attributes` is JSON.
        problems: DataFrame (`PROBLEM_COLUMNS`).
        synthetic: whether the root holds demo data, beside which no figure of the paper is shown.
    """

    def __init__(self, root: str | Path):
        """Read the names and attribute files under `root`.

        Raises:
            ValueError: no folder, no machine with clips in it, or one with a name in `RESERVED`.
        """
        self.root = Path(root).expanduser().resolve()
        if os.path.isfile(self.root):
            raise ValueError(f"{self.root}: a file; give the data root, which holds a folder a machine")
        if not os.path.isdir(self.root):  # unlike Path.is_dir it also answers where a folder above is closed to us
            closed = "" if os.access(self.root.parent, os.X_OK) else " that this user may reach"
            raise ValueError(f"{self.root}: no such folder{closed}; give the data root, which holds a folder a machine")
        self.synthetic = os.path.exists(self.root / "synthetic.json")
        clips, problems = [], []
        for folder in machine_folders(self.root, problems):
            if (name := folder.machine) in RESERVED:
                raise ValueError(f"{folder.path}: a machine cannot be called {name!r}, a run's results are; rename it")
            clips += _machine_clips(folder, problems)
        if not clips:
            raise ValueError(nothing_found(self.root, problems))
        clips = pd.DataFrame(clips, columns=CLIP_COLUMNS)
        clips = clips.sort_values(["machine", "split", "stem", "path"], kind="stable", ignore_index=True)
        twice = clips.duplicated(["machine", "split", "stem"])
        for row in clips[twice].itertuples():
            problems.append(
                (row.machine, row.path, "a second clip of this name: ignored", "keep one and delete the other")
            )
        self.clips = clips[~twice].reset_index(drop=True)
        self.problems = pd.DataFrame(problems, columns=PROBLEM_COLUMNS)

    def targets(self) -> list[str]:
        """Machines with training and test clips, the development machines first in the paper's order."""
        splits = self.clips.groupby("machine")["split"].agg(set)
        found = [machine for machine, has in splits.items() if has == {"train", "test"}]
        return paper_order(found)

    def of(self, machine: str, split: str | None = None) -> pd.DataFrame:
        """Rows of one machine (and one split), keeping the index of `clips`.

        Raises:
            ValueError: the machine is not under the root.
        """
        return self.clips.iloc[self.places(machine, split)]

    def places(self, machine: str, split: str | None = None) -> np.ndarray:
        """Positions in `clips` of what `of` gives; ValueError likewise."""
        found = self._places.get(composed(machine))
        if found is None:
            raise ValueError(f"unknown machine {composed(machine)!r}; {self.root} has {', '.join(self._places)}")
        return np.concatenate([found[name] for name in sorted(found) if split in (None, name)] or [[]]).astype(int)

    @cached_property
    def _places(self):
        """{machine: {split: positions in `clips`}}, so that thousands of machines are not searched for each."""
        places = {}
        for (machine, split), found in self.clips.groupby(["machine", "split"]).indices.items():
            places.setdefault(machine, {})[split] = found
        return places


def paper_order(machines: Iterable[str]) -> list[str]:
    """Machines sorted as in the paper's tables, others behind them by name.

    >>> paper_order(["valve", "drill", "fan"])
    ['fan', 'valve', 'drill']
    """
    order = {machine: i for i, machine in enumerate(DEVELOPMENT_MACHINES)}
    return sorted(set(machines), key=lambda machine: (order.get(machine, len(order)), machine))


def attribute_table(clips: pd.DataFrame) -> pd.DataFrame:
    """One column a parameter (never `raw`), "" where a clip lacks it; the index is that of `clips`."""
    table = pd.DataFrame([json.loads(text) for text in clips["attributes"]], index=clips.index)
    return table.drop(columns="raw", errors="ignore").fillna("").astype(str)


def validation_mask(clips: pd.DataFrame, fraction: float = 0.15) -> pd.Series:
    """Which training clips are held out (Sec. 4.2: 85 % of source and six of ten target clips train).

    Source: in each group of n clips whose names give the same attributes, ordered by SHA-256 of the stem, the first
    ⌊fraction·n + 0.5⌋, none where n ≤ 3. Target: every third by name, none where there are fewer than three. By names
    alone.

    Args:
        clips: training rows of one machine, as `Dataset.of(machine, "train")`.
        fraction: share of the source clips, in [0, 1).

    Returns:
        Boolean Series on the index of `clips`.
    """
    groups, target = {}, []
    for i, (stem, domain) in enumerate(zip(clips["stem"], clips["domain"], strict=True)):
        if domain == "source":
            digest = hashlib.sha256(stem.encode()).hexdigest()
            groups.setdefault(_joint_attributes(stem), []).append((digest, i))
        elif domain == "target":
            target.append((stem, i))
    chosen = sorted(target)[::3] if len(target) >= 3 and fraction > 0 else []
    for group in groups.values():
        if len(group) > 3:
            chosen += sorted(group)[: int(fraction * len(group) + 0.5)]
    held = np.zeros(len(clips), bool)
    held[[i for _, i in chosen]] = True
    return pd.Series(held, index=clips.index)


def _joint_attributes(stem):
    """What a name says of a clip's attributes, to tell groups apart; a tail that is no list of them says nothing."""
    found = getattr(parse_name(without_copy_marks(stem)), "attributes", ())
    return () if found and found[0][0] == "raw" else found


def _machine_clips(folder: MachineFolder, problems):
    """Rows of the index, as dictionaries, of the clips in one machine's folder."""
    machine, splits, chosen = folder.machine, folder.splits, []
    note_unused(folder, problems)
    for split, folders in sorted(splits.items(), reverse=True):  # train first
        for place in folders:
            found = recordings(place, machine, problems)
            chosen += [(split, *clip) for clip in _without_copies(machine, found, problems)]
    stems = {split: set() for split in splits}
    for split, path, own, clean, _ in chosen:
        stems[split] |= {own, clean, stem_of(path.name)}
    rows = AttributeRows(folder, stems, problems)
    clips, unlisted = [], []
    for split, path, stem, clean, between in chosen:
        row = rows.find(split, (stem, stem_of(path.name), clean))
        if rows.files and row is None and split == "train":
            unlisted.append(stem)
        clips.append(_clip(path, machine, split, stem, clean, between, row, problems))
    if unlisted:
        said = f"rows missing: no row for {len(unlisted)} training clips, first {min(unlisted)}; their names were used"
        problems.append((machine, str(rows.files[0]), said, "add the rows, or leave it: file names win"))
    if absent := rows.unused():
        said = f"rows without clips: rows for {len(absent)} clips that are not there, first {absent[0]}"
        problems.append((machine, str(rows.files[0]), said, "add the clips or delete the rows"))
    settle(machine, clips, problems)
    for clip in clips:
        clip["attributes"] = json.dumps(clip["attributes"])
    return clips


def _without_copies(machine, found, problems):
    """(path, stem, stem without marks of copies, folders between) of the recordings that are no copy of another."""
    stems = {}
    for path, between in sorted(found, key=lambda each: (len(each[0].name), str(each[0]))):  # originals are shorter
        stem, plain = stem_of(path.name), composed(path.stem)
        own, clean = stem, without_number(without_copy_marks(stem), stems)
        if parse_name(clean) is None and clean not in stems:
            clean = stem
        elif clean != plain:
            first = next((other for other in stems.get(clean, ()) if _same_file(path, other)), None)
            if first:
                said = f"a copy: the same audio as {first.name}; ignored"
                problems.append((machine, str(path), said, "delete it"))
                continue
            own = plain if clean in stems else clean
            which = f"other audio than {stems[clean][0].name}" if clean in stems else "no other file of this name"
            said = f"named as a copy: {which}; used with the attributes of {clean}"
            problems.append((machine, str(path), said, "rename it, or delete it"))
        if parse_name(clean) is None:
            own = "_".join((*between, own))  # 0000 in normal/ and 0000 in abnormal/ are two clips
        stems.setdefault(clean, []).append(path)
        yield path, own, clean, between


def _same_file(one, other):
    try:
        return one.suffix.lower() == other.suffix.lower() and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _clip(path, machine, split, stem, clean, between, row, problems):
    """One row of the index; the folder decides the split, the name the rest."""

    def note(problem, mend):
        problems.append((machine, str(path), problem, mend))

    name = parse_name(clean)
    if name is None:
        name = _outside(clean, between, split, row, note)
    elif name.split and name.split != split:
        note(f"the name says {name.split}, the folder {split}: the folder wins", "move or rename the file")
    if split == "train" and name.label == "anomaly":
        note("an anomalous clip among the training clips: used as normal", f"move it to {machine}/test")
    named = dict(name.attributes)
    for key in sorted(named.keys() & (TAKEN - {"raw"})):
        note(f"no key: {key} in the name has another meaning here; {key}={named.pop(key)} ignored", "rename the key")
    attributes = _merge_attributes(named, row, note)
    return {
        "machine": machine, "split": split, "stem": stem, "path": str(path), "section": name.section or "00",
        "domain": name.domain or ("source" if split == "train" else ""),
        "label": "normal" if split == "train" else name.label, "attributes": attributes,
    }  # fmt: skip


def _outside(stem, between, split, row, note):
    """What is taken from a name outside the grammar: a label that it or a folder begins with, its row's section."""
    label, section = next((found for text in (stem, *reversed(between)) if (found := label_of(text))[0]), ("", ""))
    kind = "source normal without attributes" if split == "train" else "unlabelled"
    if split == "test" and label:
        kind = f"{label} of the source domain, as its name begins"
    note(f"name outside the grammar: taken as {kind}", "rename to section_00_source_train_normal_0000_key_value.wav")
    return ClipName(section or (row.section if row else ""), "source" if label else "", "", label)


def _meant(key, value, listed):
    """Which column a name's key abbreviates; of several the one with its value, then the shortest."""
    columns = [] if key in listed else [column for column in listed if abbreviates(key, column)]
    return min(columns, key=lambda column: (not same_value(value, listed[column]), len(column), column), default="")


def _merge_attributes(named, row, note):
    """File name and attribute row of one clip; the name wins, the file adds what the name lacks."""
    listed = row.attributes if row else {}
    if listed and "_".join(itertools.chain(*listed.items())) == named.get("raw"):
        named = {}  # the row says where its keys end
    if "raw" in named:
        said = f"no list of keys and values: the tail {named['raw']!r}; kept as `raw`, used nowhere"
        note(said, "list its keys and values in the attribute file, or leave it")
    merged = dict(named)
    for key, value in listed.items():
        alias = next((k for k in named if _meant(k, named[k], listed) == key), key)
        if alias not in named:
            merged[alias] = value
            continue
        if not same_value(named[alias], value):
            said = (
                f"contradiction: name says {alias}={named[alias]}, {Path(row.where).name} {key}={value}; the name wins"
            )
            note(said, "correct one of them")
        elif alias != key:
            note(f"another key: {Path(row.where).name} calls {alias} {key}; the name wins", f"write {alias} there")
    return merged
