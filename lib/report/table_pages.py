"""The run's tables as a page shows them: numbers apart from their intervals, by which columns are sorted."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from lib.paths import readable
from lib.report.files import MEND, read_table
from lib.report.notebook_pages import mathml
from lib.results.cells import TABLES
from lib.results.tables_text import MADE_OF

_NUMBER = re.compile(r"(–|[-−]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)([†‡§]*)((?: \([\d.]+\))?(?: \[[^\]]*\])?)")
_FORMULA = re.compile(r"\$([^$]+)\$")
TITLES = {
    1: "Table 1, systems",
    2: "Table 2, AUC of the source domain",
    3: "Table 3, AUC of the target domain",
    4: "Table 4, harmonic mean of AUCs and pAUC",
}
OTHERS = {  # file → what it holds
    "effects": "What each choice is worth: paired differences",
    "detector_ranking": "Detectors, best first on the test clips",
    "decisions": "Decisions: thresholds and what they make of the test clips",
}
LARGE = 400_000  # bytes, above which a CSV file is named and not copied


class Cell(NamedTuple):
    """A cell: its text, what stands small behind it (deviation, interval), and the value it is sorted by."""

    text: str | Markup
    more: str
    value: float | None


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        title, caption: its words. columns: names. numeric: which of them hold numbers. rows: of cells.
        file: CSV file that it was read from, "" where the page copies none.
    """

    title: str
    caption: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]
    file: str = ""

    @classmethod
    def of(cls, frame: pd.DataFrame, title: str = "", caption: str = "", file: str = "") -> "Table":
        """Of a DataFrame; a column holds numbers where each cell that is not empty begins with one."""
        columns = [[_cell(value) for value in frame[name]] for name in frame]
        numeric = [
            any(cell.value is not None for cell in cells)
            and all(cell.value is not None or cell.text in ("", "–") or cell.text[:1] == "–" for cell in cells)
            for cells in columns
        ]
        rows = [list(cells) for cells in zip(*columns, strict=True)]
        return cls(title, caption, [str(name) for name in frame], numeric, rows, file)


def _cell(value):
    """A value of a CSV file."""
    if isinstance(value, float | np.floating):
        return Cell("" if np.isnan(value) else f"{value:.4g}", "", None if not np.isfinite(value) else float(value))
    text = str(value)
    if not (found := _NUMBER.fullmatch(text)):
        return Cell(formulas(text), "", None)
    number, marks, more = found.groups()
    return Cell(number + marks, more.strip(), None if number == "–" else float(number.replace("−", "-")))


def formulas(text: str) -> Markup:
    """A text in which `$…$` becomes MathML and all else is escaped."""
    parts = _FORMULA.split(text)
    return Markup("").join(Markup(mathml(part)) if i % 2 else escape(part) for i, part in enumerate(parts))


def paper_tables(folder: Path) -> Iterable[list[Table]]:
    """Tables 1–4, each a list of what the run has of it: protocol `all` under the paper rule first."""
    for number in (1, *TABLES):
        files = sorted(folder.glob(f"table{number}*.csv"), key=_order)
        found = [_paper_table(number, path) for path in files]
        if found:
            yield found


def other_tables(folder: Path) -> list[Table]:
    """`OTHERS`, those that the run has and that are not empty."""
    tables = ((name, title, _numbers(read_table(folder / f"{name}.csv"))) for name, title in OTHERS.items())
    return [Table.of(frame, title, file=f"{name}.csv") for name, title, frame in tables if len(frame)]


def _numbers(frame):
    """With columns in which every cell is empty or a number as floats, or whole numbers."""
    for name in frame:
        values = pd.to_numeric(frame[name].replace("", np.nan), errors="coerce")
        if values.notna().sum() == (frame[name] != "").sum() > 0:
            frame = frame.assign(**{name: values})
    return frame.replace({"True": "yes", "False": "no"})


def _order(path):
    """Protocol `all` first, the paper rule before the official one."""
    which = path.stem.split("_")
    return "all" not in which, which[1:2], which[-1] != "paper"


def _paper_table(number, path):
    frame, which = read_table(path), path.stem.split("_")[1:]
    if "whose" in frame and (frame["whose"] == "ours").all():
        frame = frame.drop(columns="whose")
    title = TITLES[number] + (f": {which[0]}, {which[1]} rule" if len(which) == 2 else "")
    return Table.of(frame.rename(columns={MADE_OF: "made of"}), title, _caption(path), path.name)


def _caption(path):
    """The words above the table in its Markdown file, where there is one."""
    beside = path.with_suffix(".md")
    if not beside.exists():
        return ""
    with readable(beside, MEND):
        return beside.read_text(encoding="utf-8").partition("\n")[0].partition("** ")[2]
