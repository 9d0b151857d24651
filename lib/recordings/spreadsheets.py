"""Tables as spreadsheets and editors write them: encodings, separators, quotes, line ends."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

from lib.recordings.names import composed, stem_of

SEPARATORS = ",;\t|"
PAIR = re.compile(r"d\d+[pv]|(key|param|parameter|attribute|attr|value|val)[ _-]?\d*", re.IGNORECASE)
_COLUMNS = 8  # in which file names are looked for
_HEADERS = {
    "filename", "file", "name", "clip", "clipname", "wav", "wavfile", "audiofile", "path", "filepath", "dateiname",
    "datei",
}  # fmt: skip


def text_of(path: Path, machine: str, problems: list[tuple]) -> str | None:
    """What a file says; None, and a problem, where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        said = f"cannot be read: {error.strerror}; no attributes from it"
        problems.append((machine, str(path), said, f"chmod a+r {str(path)!r}, or start as its owner"))
        return None
    if content[:4] == b"PK\x03\x04" or content[:4] == b"\xd0\xcf\x11\xe0":
        problems.append((machine, str(path), "a spreadsheet, not a CSV file: ignored", "save it as CSV, UTF-8"))
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
            said = f"not UTF-8 text: read as {encoding}"
            problems.append((machine, str(path), said, "check letters with accents; save it as UTF-8"))
        return composed(text)
    return None


def is_header(cell: str) -> bool:
    """Whether a cell heads a column of file names.

    >>> is_header("File Name"), is_header("clip_0.wav")
    (True, False)
    """
    return re.sub(r"[\W_]+", "", cell.lower()) in _HEADERS


def table_of(text: str, stems: set[str], note: Callable[[str, str], None]) -> list[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank, by the separator under which most first cells are file names.

    Args:
        text: of the file. stems: of the clips. note: takes a problem and its mend.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    first, separators = text.split("\n", 1)[0].strip().strip('"').lower(), SEPARATORS
    if re.fullmatch(r"sep=.?", first):
        text = "\n" + text.split("\n", 1)[1] if "\n" in text else ""
        separators = (first[4:] or "\t") + SEPARATORS
    try:
        tables = [_parse(text, separator) for separator in separators]
    except csv.Error as error:
        note(f"not a CSV file: {error}; ignored", "correct quotes and commas")
        return []
    best = max(tables, key=lambda rows: _score(rows, stems))
    separator = separators[tables.index(best)]
    if any("\n" in cell for _, cells in best for cell in cells):
        note("a quote that does not end: quotes were left out", "correct the quotes")
        best = _parse(text, separator, csv.QUOTE_NONE)
    best = [(line, _unquoted(cells, separator)) for line, cells in best if any(cells) and cells[0][:1] != "#"]
    return _files_first(best, stems)


def _unquoted(cells, separator):
    """A row that stands in quotes as a whole, in its cells."""
    if len(cells) == 1 and separator in cells[0]:
        return [_clean(cell) for cell in next(csv.reader([cells[0]], delimiter=separator))]
    return cells


def _parse(text, separator, quoting=csv.QUOTE_MINIMAL):
    rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, quoting=quoting)
    return [(rows.line_num, [_clean(cell) for cell in cells]) for cells in rows if cells]


def _clean(cell):
    return cell.strip(' \t\u00a0\u202f\u200b\ufeff"')


def _score(rows, stems):
    """How well a separator fits: clips that are there, cells that are file names, rows of several cells."""
    column = _column(rows, stems)
    return *_names(rows, column, stems), -column, sum(len(cells) > 1 for _, cells in rows)


def _names(rows, column, stems):
    """How many cells of a column name clips that are there, files, a column of file names."""
    cells = [cells[column] for _, cells in rows if len(cells) > column]
    known = sum(stem_of(cell) in stems for cell in cells)
    files = sum(cell.lower().endswith((".wav", ".flac")) for cell in cells)
    return known, files, sum(map(is_header, cells))


def _column(rows, stems):
    """The column of file names: not the first where a program counts the rows in it."""
    width = max((len(cells) for _, cells in rows), default=1)
    return max(range(min(width, _COLUMNS)), key=lambda column: (*_names(rows, column, stems), -column))


def _files_first(rows, stems):
    """Rows that begin with the file; named columns before it go behind it, others go."""
    column = _column(rows, stems)
    if not column:
        return rows
    head = next((cells for _, cells in rows if len(cells) > column and is_header(cells[column])), [])
    named = any(head[:column]) and not any(map(PAIR.fullmatch, head[column + 1 :]))
    return [
        (line, cells[column : column + 1] + cells[column + 1 :] + (cells[:column] if named else []))
        for line, cells in rows
        if len(cells) > column
    ]
