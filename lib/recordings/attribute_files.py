"""The attribute files of a machine, `attributes_<section>.csv`, as spreadsheets, editors and other years leave them.

A row is a file name and keys and values in turn (`file_name,d1p,d1v,…`), or values below keys that the header names
(`file_name,speed,mic`). Whatever is read otherwise than it stands becomes a problem with the file and the row.
"""

import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from lib.recordings.folders import SPLITS, listing
from lib.recordings.names import composed, parse_name, stem_of, without_copy_marks
from lib.recordings.values import tidy

SEPARATORS = ",;\t|"
_FILE = re.compile(r"attributes?(?:_(?P<section>\d+))?", re.IGNORECASE)
_HEADERS = {
    "filename", "file", "name", "clip", "clipname", "wav", "wavfile", "audiofile", "path", "filepath", "dateiname",
    "datei",
}  # fmt: skip
_PAIR = re.compile(r"d\d+[pv]|(key|param|parameter|attribute|attr|value|val)[ _-]?\d*", re.IGNORECASE)
_KEY = re.compile(r"[^\W\d_][\w.-]*")
_TAKEN = {"all", "raw", "section"}  # what the project calls by these names
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

    def __init__(self, machine: str, folder: Path, stems: set[str], problems: list[tuple]):
        """Read every attribute file in `folder`.

        Args:
            machine: its name. folder: its folder. stems: of its clips. problems: entries are added.
        """
        self.files, self._rows, self._used = [], {}, set()
        for path, section in _files(folder, machine, problems):
            text = _text(path, machine, problems)
            if text is None:
                continue
            self.files.append(path)
            reader = _Reader(machine, path, problems)
            for key, attributes, where in reader.rows(text, stems):
                self._add(key, Row(attributes, section, where), machine, problems)

    def find(self, split: str, stems: tuple[str, ...]) -> Row | None:
        """Row of a clip by the first of its stems that has one; a row with a folder is of that folder's clip."""
        other = "test" if split == "train" else "train"
        for stem in stems:
            for folder in (split, "", other):
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
            said = f"{stem}: a second row; ignored"
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
        for line, cells in self.cells(text, stems):
            name, cells = cells[0], cells[1:]
            stem = stem_of(name)
            if stem not in stems and re.sub(r"[\W_]+", "", name.lower()) in _HEADERS:
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

    def cells(self, text, stems):
        """(line, cells) of each row that is not blank, by the separator under which most first cells are file names."""
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        first, separators = text.split("\n", 1)[0].strip().strip('"').lower(), SEPARATORS
        if re.fullmatch(r"sep=.?", first):
            text = "\n" + text.split("\n", 1)[1] if "\n" in text else ""
            separators = (first[4:] or "\t") + SEPARATORS
        try:
            tables = [_parse(text, separator) for separator in separators]
        except csv.Error as error:
            self.note(f"not a CSV file ({error}); ignored", "correct quotes and commas")
            return []
        best = max(tables, key=lambda rows: _score(rows, stems))
        separator = separators[tables.index(best)]
        if any("\n" in cell for _, cells in best for cell in cells):
            self.note("a quote that does not end; quotes were left out", "correct the quotes")
            best = _parse(text, separator, csv.QUOTE_NONE)
        return [(line, self.unquoted(cells, separator)) for line, cells in best if any(cells) and cells[0][:1] != "#"]

    @staticmethod
    def unquoted(cells, separator):
        """A row that stands in quotes as a whole, in its cells."""
        if len(cells) == 1 and separator in cells[0]:
            return [_clean(cell) for cell in next(csv.reader([cells[0]], delimiter=separator))]
        return cells

    def header(self, cells, line):
        """Keys that a header names; None where the rows name them."""
        named = [cell for cell in cells if cell]
        if not named or all(_PAIR.fullmatch(cell) for cell in named):
            return None
        keys = [_key(cell) if cell else "" for cell in cells]
        for cell, key in zip(cells, keys, strict=True):
            if cell and (not _KEY.fullmatch(key) or key in _TAKEN):
                self.note(f"a column {cell!r} that is no key; ignored", _key_mend(key), line)
        return [key if _KEY.fullmatch(key) and key not in _TAKEN else None for key in keys]

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
        bad = next((key for key in named if not _KEY.fullmatch(key) or key in _TAKEN), None)
        if len(cells) % 2 or len(set(named)) < len(named) or bad is not None:
            mend = _key_mend(bad) if bad in _TAKEN else _ROW
            self.note(f"{stem}: {[c for c in cells if c]} are not keys and values; row ignored", mend, line)
            return None
        return pairs


def _files(folder, machine, problems):
    """(path, section) of the attribute files, without copies of one that is there."""
    named = {}
    for path, is_folder in listing(folder, machine, []):
        stem = without_copy_marks(path.name.rsplit(".", 1)[0].removesuffix(".csv"))
        if is_folder or not (match := _FILE.fullmatch(stem)):
            continue
        if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
            said = f"an attribute file in another format ({path.suffix}); ignored"
            problems.append((machine, str(path), said, "save it as CSV, UTF-8"))
            continue
        section = match["section"] or "00"
        exact = path.stem == stem and path.suffix.lower() == ".csv"
        named.setdefault(section, []).append((not exact, path.name, path))
    for section, found in sorted(named.items()):
        (_, _, first), *copies = sorted(found)
        for _, _, copy in copies:
            said = f"a second attribute file of section {section}; ignored, {first.name} was read"
            problems.append((machine, str(copy), said, "keep one of the two"))
        yield first, section


def _text(path, machine, problems):
    """What a file says; None, and a problem, where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        said = f"cannot be read: {error.strerror}; no attributes from it"
        problems.append((machine, str(path), said, f"chmod a+r {str(path)!r}, or start as its owner"))
        return None
    if content[:4] == b"PK\x03\x04" or content[:4] == b"\xd0\xcf\x11\xe0":
        problems.append((machine, str(path), "a spreadsheet, not a CSV file; ignored", "save it as CSV, UTF-8"))
        return None
    encodings = ["utf-8-sig", "cp1252", "latin-1"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0" or content[:1] == b"\0":
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    for encoding in [*encodings, "latin-1"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding in ("cp1252", "latin-1"):
            said = f"not UTF-8 text; read as {encoding}"
            problems.append((machine, str(path), said, "check letters with accents; save it as UTF-8"))
        return composed(text)
    return None


def _parse(text, separator, quoting=csv.QUOTE_MINIMAL):
    rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, quoting=quoting)
    return [(rows.line_num, [_clean(cell) for cell in cells]) for cells in rows if cells]


def _clean(cell):
    return cell.strip(' \t\u00a0\u202f\u200b\ufeff"')


def _score(rows, stems):
    """How well a separator fits: clips that are there, first cells that are file names, rows of several cells."""
    firsts = [cells[0] for _, cells in rows]
    known = sum(stem_of(first) in stems for first in firsts)
    files = sum(first.lower().endswith((".wav", ".flac")) for first in firsts)
    heads = sum(re.sub(r"[\W_]+", "", first.lower()) in _HEADERS for first in firsts)
    return known, files, heads, sum(len(cells) > 1 for _, cells in rows)


def _key(cell):
    """A key as it names a folder: without blanks and units in brackets."""
    return re.sub(r"[\s_]+", "_", re.sub(r"\s*[(\[].*[)\]]$", "", cell)).strip("_ ")


def _key_mend(key):
    if key in _TAKEN:
        return f"call it otherwise: {key} is a name of the project's own"
    return "a key begins with a letter and has letters, digits, hyphens and underscores"
