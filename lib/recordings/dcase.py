"""The data root in DCASE 2023 Task 2 layout: file names, attribute files, the index of clips, the split.

Paper: Sec. 4.2; task description arXiv:2305.07828. A clip is identified by machine, split and stem. Whatever
does not fit the grammar becomes an entry of the problem list (file, problem, mend), never a stop.
"""

import csv
import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.systems import DEVELOPMENT_MACHINES

AUDIO_SUFFIXES = (".wav", ".flac")
RESERVED = ("overall", "hmean", "tables", "figures", "notebooks", "teams")  # columns of tables, folders of a run
CLIP_COLUMNS = ("machine", "split", "stem", "path", "section", "domain", "label", "attributes")
PROBLEM_COLUMNS = ("machine", "file", "problem", "mend")

_LABELLED = re.compile(
    r"section_(?P<section>\d+)_(?P<domain>source|target)_(?P<split>train|test)_(?P<label>normal|anomaly)"
    r"_(?P<number>\d+)(?:_(?P<tail>.+))?"
)
_UNLABELLED = re.compile(r"section_(?P<section>\d+)_(?P<number>\d+)")
_KEY = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*")


@dataclass(frozen=True)
class ClipName:
    """What a file name says. `domain` and `label` are "" where it is silent."""

    section: str = ""
    domain: str = ""
    split: str = ""
    label: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


def parse_attributes(tail):
    """`car_B1_spd_31V` → (("car", "B1"), ("spd", "31V")); a tail that is no key–value list → (("raw", tail),)."""
    if not tail or tail == "noAttribute":
        return ()
    parts = tail.split("_")
    keys, values = parts[::2], parts[1::2]
    paired = len(keys) == len(values) == len(set(keys)) and all(values)
    if paired and all(_KEY.fullmatch(key) for key in keys):
        return tuple(zip(keys, values, strict=True))
    return (("raw", tail),)


def parse_name(stem):
    """Read a file's stem by the challenge's grammar; None when it is outside it."""
    if match := _LABELLED.fullmatch(stem):
        found = match.groupdict()
        attributes = parse_attributes(found["tail"])
        return ClipName(found["section"], found["domain"], found["split"], found["label"], attributes)
    if match := _UNLABELLED.fullmatch(stem):
        return ClipName(section=match["section"])
    return None


def format_name(domain, split, label, number, attributes):
    """The inverse of `parse_name` for a labelled clip of section 00; `attributes` maps key to value."""
    tail = "".join(f"_{key}_{value}" for key, value in attributes.items())
    return f"section_00_{domain}_{split}_{label}_{number:04d}{tail}"


class Dataset:
    """The index of a data root.

    Attributes:
        root: folder that was read.
        clips: DataFrame, one row a clip (`CLIP_COLUMNS`), sorted by machine, split, stem; `attributes` is JSON.
        problems: DataFrame (`PROBLEM_COLUMNS`).
        synthetic: whether the root holds demo data, beside which no figure of the paper is shown.
    """

    def __init__(self, root):
        """Read the names and attribute files under `root`.

        Raises:
            ValueError: no folder, no machine with clips in it, or one with a name in `RESERVED`.
        """
        self.root = Path(root).expanduser().resolve()
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: no such folder; give the data root, which holds one folder a machine")
        self.synthetic = (self.root / "synthetic.json").exists()
        clips, problems = [], []
        for folder in _machine_folders(self.root):
            _read_machine(folder, clips, problems)
        clips = pd.DataFrame(clips, columns=CLIP_COLUMNS)
        if clips.empty:
            raise ValueError(
                f"{self.root}: no clips found; expected <root>/<machine>/{{train,test}}/*.wav (or .flac), or the same "
                "under <root>/dev_data/raw or <root>/eval_data/raw"
            )
        clips = clips.sort_values(["machine", "split", "stem", "path"], kind="stable", ignore_index=True)
        twice = clips.duplicated(["machine", "split", "stem"])
        for row in clips[twice].itertuples():
            problems.append(
                (row.machine, row.path, "a second clip of this name; ignored", "keep one and delete the other")
            )
        self.clips = clips[~twice].reset_index(drop=True)
        self.problems = pd.DataFrame(problems, columns=PROBLEM_COLUMNS)

    def targets(self):
        """Machines with training and test clips, the development machines first in the paper's order."""
        splits = self.clips.groupby("machine")["split"].agg(set)
        found = [machine for machine, has in splits.items() if has == {"train", "test"}]
        return paper_order(found)

    def of(self, machine, split=None):
        """Rows of one machine (and one split), keeping the index of `clips`.

        Raises:
            ValueError: the machine is not under the root.
        """
        known = sorted(self.clips["machine"].unique())
        if machine not in known:
            raise ValueError(f"unknown machine {machine!r}; {self.root} has {', '.join(known)}")
        rows = self.clips[self.clips["machine"] == machine]
        return rows if split is None else rows[rows["split"] == split]


def paper_order(machines):
    """Machines sorted as in the paper's tables, others behind them by name."""
    order = {machine: i for i, machine in enumerate(DEVELOPMENT_MACHINES)}
    return sorted(set(machines), key=lambda machine: (order.get(machine, len(order)), machine))


def attribute_table(clips):
    """One column a parameter (never `raw`), "" where a clip lacks it; the index is that of `clips`."""
    table = pd.DataFrame([json.loads(text) for text in clips["attributes"]], index=clips.index)
    return table.drop(columns="raw", errors="ignore").fillna("").astype(str)


def validation_mask(clips, fraction=0.15):
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
    held = pd.Series(False, index=clips.index)
    source = clips[clips["domain"] == "source"]
    joint = source["stem"].map(lambda stem: str(getattr(parse_name(stem), "attributes", ())))
    joint = joint.where(~joint.str.startswith("(('raw'"), "()")
    for _, group in source.groupby(joint):
        if len(group) > 3:
            digests = group["stem"].map(lambda stem: hashlib.sha256(stem.encode()).hexdigest())
            held[digests.sort_values().index[: int(fraction * len(group) + 0.5)]] = True
    target = clips[clips["domain"] == "target"].sort_values("stem")
    if len(target) >= 3 and fraction > 0:
        held[target.index[::3]] = True
    return held


def _machine_folders(root):
    """Folders that hold `train` or `test`, from the official layout and from `<root>/<machine>`."""
    parents = [root, root / "dev_data" / "raw", root / "eval_data" / "raw"]
    folders = [folder for parent in parents if parent.is_dir() for folder in sorted(parent.iterdir())]
    return [f for f in folders if f.is_dir() and ((f / "train").is_dir() or (f / "test").is_dir())]


def _read_machine(folder, clips, problems):
    machine = folder.name
    if machine in RESERVED:
        raise ValueError(f"{folder}: a machine cannot be called {machine!r}, a run's results are; rename the folder")
    listed = _read_attribute_file(folder / "attributes_00.csv", machine, problems)
    stems = set()
    for split in ("train", "test"):
        files = sorted((folder / split).glob("*")) if (folder / split).is_dir() else []
        for path in files:
            if path.name.startswith("."):  # left by a file system or a killed copy
                continue
            if not path.name.isprintable():  # a name in another encoding than UTF-8, too
                problems.append((machine, ascii(str(path)), "unreadable characters in the name; ignored", "rename it"))
                continue
            if path.suffix.lower() in AUDIO_SUFFIXES:
                stems.add(path.stem)
                clips.append(_clip_row(path, machine, split, listed, problems))
            elif path.is_file():
                problems.append(
                    (machine, str(path), "not a .wav or .flac file; ignored", "convert it to .wav or delete it")
                )
    trained = {row[2] for row in clips if row[0] == machine and row[1] == "train"}
    if listed is not None and (missing := sorted((trained & stems) - listed.keys())):
        problems.append((
            machine, str(folder / "attributes_00.csv"),
            f"no row for {len(missing)} training clips, first {missing[0]}; their names were used",
            "add the rows, or leave it: file names win",
        ))  # fmt: skip
    if absent := sorted((listed or {}).keys() - stems):
        problems.append((
            machine, str(folder / "attributes_00.csv"),
            f"rows for {len(absent)} clips that are not there, first {absent[0]}", "add the clips or delete the rows",
        ))  # fmt: skip


def _clip_row(path, machine, split, listed, problems):
    """One row of the index; the folder decides the split, the name the rest."""

    def note(problem, mend):
        problems.append((machine, str(path), problem, mend))

    name = parse_name(path.stem)
    if name is None:
        kind = "source normal without attributes" if split == "train" else "unlabelled"
        note(
            f"name outside the grammar; taken as {kind}", "rename to section_00_source_train_normal_0000_key_value.wav"
        )
        name = ClipName()
    elif name.split and name.split != split:
        note(f"the name says {name.split}, the folder {split}; the folder wins", "move or rename the file")
    if split == "train" and name.label == "anomaly":
        note("an anomalous clip among the training clips; used as normal", f"move it to {machine}/test")
    attributes = _merge_attributes(dict(name.attributes), (listed or {}).get(path.stem, {}), note)
    domain = name.domain or ("source" if split == "train" else "")
    label = "normal" if split == "train" else name.label
    return (machine, split, path.stem, str(path), name.section or "00", domain, label, json.dumps(attributes))


def _merge_attributes(named, listed, note):
    """File name and attribute row of one clip; the name wins, the file adds what the name lacks."""
    if "raw" in named:
        note(
            f"the tail {named['raw']!r} is no list of keys and values; kept as `raw`, used nowhere",
            "rename, or leave it",
        )
    merged = dict(named)
    for key, value in listed.items():
        alias = next((k for k in named if k not in listed and _abbreviates(k, key)), key)
        if alias not in named:
            merged[alias] = value
            continue
        if named[alias] != value:
            note(
                f"name says {alias}={named[alias]}, attributes_00.csv {key}={value}; the name wins",
                "correct one of them",
            )
        elif alias != key:
            note(f"attributes_00.csv calls {alias} {key}; the name wins", f"write {alias} in attributes_00.csv")
    return merged


def _abbreviates(short, long):
    """Whether `short` (spd) can be read in `long` (speed) from left to right, or the other way round."""
    if len(short) > len(long):
        short, long = long, short
    letters = iter(long.lower())
    return short[:1].lower() == long[:1].lower() and all(letter in letters for letter in short.lower())


def _read_attribute_file(path, machine, problems):
    """`attributes_00.csv` as {stem: {key: value}}, None without a file; irregular rows become problems."""
    if not path.exists():
        return None
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        problems.append((machine, str(path), "not UTF-8 text; ignored", "save it as UTF-8"))
        return None
    rows = {}
    try:
        lines = list(csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"))))
    except csv.Error as error:
        problems.append((machine, str(path), f"not a CSV file ({error}); ignored", "correct quotes and commas"))
        return None
    for line, cells in enumerate(lines, start=1):
        cells = [cell.strip() for cell in cells]
        if not any(cells) or cells[0] == "file_name":
            continue
        stem = _stem(cells[0])
        pairs = [cell for cell in cells[1:] if cell]
        where = f"{path}, row {line}"
        keys = pairs[::2]
        if len(pairs) % 2 or len(set(keys)) < len(keys) or not all(_KEY.fullmatch(key) for key in keys):
            mend = "correct the row: keys and values in turn, separated by commas"
            problems.append((machine, where, f"{stem}: {pairs} are not keys and values; row ignored", mend))
        elif stem in rows:
            problems.append((machine, where, f"{stem}: a second row; ignored", "delete one of the two rows"))
        else:
            rows[stem] = dict(zip(keys, pairs[1::2], strict=True))
    return rows


def _stem(file_name):
    """`ToyCar/train/x.wav` → `x`; a name without folder or suffix stays whole although values hold dots."""
    name = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if name.lower().endswith(AUDIO_SUFFIXES) else name
