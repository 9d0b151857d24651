"""The attribute files of a machine, `attributes_<section>.csv`, as spreadsheets, editors and other years leave them.

A row is a file name and keys and values in turn (`file_name,d1p,d1v,…`), or values below keys that the header names
(`file_name,speed,mic`). Whatever is read otherwise than it stands becomes a problem with the file and the row.
"""

import re
from collections import Counter
from typing import NamedTuple

from lib.recordings import spreadsheets
from lib.recordings.folders import SPLITS, MachineFolder
from lib.recordings.names import parse_name, stem_of, without_copy_marks
from lib.recordings.values import tidy

_FILE = re.compile(r"attributes?(?:[_ -]+(?:section[_ -]*)?(?P<section>\d+))?", re.IGNORECASE)
_KEY = re.compile(r"[^\W\d_][\w.-]*")
TAKEN = {"all", "raw", "section"}  # what the project calls by these names
_ROW = "correct the row: keys and values in turn"


class Row(NamedTuple):
    """Attributes of one clip, the section of the file that lists it, and where."""

    attributes: dict
    section: str
    where: str


class AttributeRows:
    """All rows of a machine's attribute files.

    Attributes:
        files: paths that were read; empty without any.
    """

    def __init__(self, folder: MachineFolder, stems: dict[str, set[str]], problems: list[tuple]):
        """Read every attribute file in the machine's folder.

        Args:
            folder: of the machine. stems: of its clips, by split. problems: entries are added.
        """
        machine = folder.machine
        self.files, self._rows, self._used, self._stems = [], {}, set(), stems
        every = set().union(*stems.values())
        for path, section in _files(folder, problems):
            text = spreadsheets.text_of(path, machine, problems)
            if text is None:
                continue
            self.files.append(path)
            reader = _Reader(machine, path, problems)
            for key, attributes, where in reader.rows(text, every):
                self._add(key, Row(attributes, section, where), machine, problems)

    def find(self, split: str, stems: tuple[str, ...]) -> Row | None:
        """Row of a clip by the first of its stems that has one.

        A row with a folder is of that folder's clip, and of the other's where that folder has none of its name.
        """
        other = "test" if split == "train" else "train"
        for stem in stems:
            elsewhere = [] if stem in self._stems.get(other, ()) else [other]
            for folder in (split, "", *elsewhere):
                for spelling in (stem, stem.casefold()):
                    if (folder, spelling) in self._rows:
                        row = self._rows[folder, spelling]
                        self._used.add(row.where)
                        return row
        return None

    def unused(self) -> list[str]:
        """Stems of the rows that `find` never gave."""
        return sorted({stem for (_, stem), row in self._rows.items() if row.where not in self._used})

    def _add(self, key, row, machine, problems):
        split, stem = key
        known = self._rows.get(key)
        if known is None:
            self._rows[key] = row
            self._rows.setdefault((split, stem.casefold()), row)
            return
        own = (parse_name(stem) or row).section
        if known.section != row.section and own == row.section:  # the file of the clip's own section wins
            self._rows[key], known, row = row, row, known
        if known.section == row.section or known.attributes != row.attributes:
            said = f"a second row: {stem}; ignored"
            problems.append((machine, row.where, said, f"delete one of the two rows; the other is {known.where}"))


class _Reader:
    """Reads the rows of one file."""

    def __init__(self, machine, path, problems):
        self.machine, self.path, self.problems = machine, path, problems

    def note(self, problem, mend, line=None):
        where = str(self.path) if line is None else f"{self.path}, row {line}"
        self.problems.append((self.machine, where, problem, mend))

    def rows(self, text, stems):
        """((split or "", stem), attributes, where) of each good row."""
        keys, missing = None, Counter()
        for line, cells in spreadsheets.table_of(text, stems, self.note):
            name, cells = cells[0], cells[1:]
            stem = stem_of(name)
            if stem not in stems and spreadsheets.is_header(name):
                keys = self.header(cells, line)
                continue
            pairs = self.pairs(stem, cells, keys, line)
            if pairs is None:
                continue
            for key, value in pairs:
                missing[key] += not value
            folders = {SPLITS.get(part.lower(), "") for part in name.replace("\\", "/").split("/")[:-1]} - {""}
            split = folders.pop() if len(folders) == 1 else ""
            yield (split, stem), {k: v for k, v in pairs if v}, f"{self.path}, row {line}"
        for key, count in sorted((+missing).items()):
            said = f"no value: {key} is blank in {count} row(s); taken as clips without {key}"
            self.note(said, "fill it in, or leave it")

    def header(self, cells, line):
        """Keys that a header names; None where the rows name them."""
        named = [cell for cell in cells if cell]
        if not named or all(spreadsheets.PAIR.fullmatch(cell) for cell in named):
            return None
        keys = [_key(cell) if cell else "" for cell in cells]
        for cell, key in zip(cells, keys, strict=True):
            if cell and (not _KEY.fullmatch(key) or key in TAKEN):
                self.note(f"no key: the column {cell!r}; ignored", _key_mend(key), line)
        for i, key in enumerate(keys):
            if key and key in keys[:i]:
                self.note(f"a second column {key}: {cells[i]!r}; ignored", "give each column a name of its own", line)
                keys[i] = ""
        return [key if _KEY.fullmatch(key) and key not in TAKEN else None for key in keys]

    def pairs(self, stem, cells, keys, line):
        """[(key, value or "")] of one row; None for a row that is none, which becomes a problem."""
        if keys is not None and not any(cells[len(keys) :]):
            return [(key, tidy(value)) for key, value in zip(keys, cells, strict=False) if key]
        if [cell for cell in cells if cell] == ["noAttribute"]:
            return []
        cells = cells[:-1] if len(cells) % 2 and not cells[-1] else cells
        pairs = list(zip(map(_key, cells[::2]), map(tidy, cells[1::2]), strict=False))
        pairs = [(key, value) for key, value in pairs if key or value]
        named = [key for key, _ in pairs]
        bad = next((key for key in named if not _KEY.fullmatch(key) or key in TAKEN), None)
        if len(cells) % 2 or len(set(named)) < len(named) or bad is not None:
            mend = _key_mend(bad) if bad in TAKEN else _ROW
            self.note(
                f"a row without pairs: {stem}: {[c for c in cells if c]} are not keys and values; row ignored",
                mend,
                line,
            )
            return None
        return pairs


def _files(folder, problems):
    """(path, section) of the attribute files, without copies of one that is there."""
    machine, named = folder.machine, {}
    for path, is_folder in folder.entries:
        stem = without_copy_marks(path.name.rsplit(".", 1)[0].removesuffix(".csv"))
        if is_folder or not stem.lower().startswith("attribute"):
            continue
        if not (match := _FILE.fullmatch(stem)):
            said = "an attribute file of another name: ignored"
            problems.append((machine, str(path), said, "call it attributes_00.csv, 00 being its section"))
            continue
        if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
            said = f"an attribute file in another format ({path.suffix}): ignored"
            problems.append((machine, str(path), said, "save it as CSV, UTF-8"))
            continue
        section = (match["section"] or "0").zfill(2)
        exact = path.stem == stem and path.suffix.lower() == ".csv"
        named.setdefault(section, []).append((not exact, path.name, path))
    for section, found in sorted(named.items()):
        (_, _, first), *copies = sorted(found)
        for _, _, copy in copies:
            said = f"a second attribute file of section {section}: ignored, {first.name} was read"
            problems.append((machine, str(copy), said, "keep one of the two"))
        yield first, section


def _key(cell):
    """A key as it names a folder: without blanks and units in brackets."""
    return re.sub(r"[\s_]+", "_", re.sub(r"\s*[(\[].*[)\]]$", "", cell)).strip("_ ")


def _key_mend(key):
    if key in TAKEN:
        return f"call it otherwise: {key} is a name of the project's own"
    return "a key begins with a letter and has letters, digits, hyphens and underscores"
