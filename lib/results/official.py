"""The files of a submission to the challenge (DCASE 2023 Task 2), whoever wrote them, and what is wrong with them.

A score or decision file has no header and a row a clip, `section_00_0000.wav,0.123`. The official evaluator aligns rows
with the ground truth by their sorted order; here they are found by name, which is the same where the names agree and
an error, with the file and the row, where they do not.
"""

import math
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from lib.recordings.names import composed, stem_of
from lib.recordings.spreadsheets import table_of, text_of
from lib.results.submission import KINDS

SCORE, DECISION = KINDS
TRUTH = "ground_truth"
LISTED, SHOWN = 10, 80  # rows that a message names, and characters of each
_FILE = re.compile(
    r"(?P<kind>anomaly_?score|decision_?result|ground_?truth)[_ -]*(?P<machine>.+?)[_ -]*"
    r"section[_ -]*(?P<section>[0-9]+)([_ -]*test)?\.csv",
    re.IGNORECASE,
)


class Section(NamedTuple):
    """A section of a machine: what has a file of its own."""

    machine: str
    number: str  # two digits

    def __str__(self) -> str:
        return f"{self.machine} section_{self.number}"

    def file(self, kind: str) -> str:
        """Name of its file of a kind."""
        return f"{kind}_{self.machine}_section_{self.number}_test.csv"


def section_of(file_name: str) -> tuple[str, Section] | None:
    """Kind and section that a file's name says, with or without underscores; None for another file.

    >>> section_of("anomaly_score_ToyCar_section_00_test.csv")
    ('anomaly_score', Section(machine='ToyCar', number='00'))
    >>> section_of("anomaly_score_fansection1test.csv"), section_of("notes.csv")
    (('anomaly_score', Section(machine='fan', number='01')), None)
    """
    match = _FILE.fullmatch(composed(file_name))
    if not match:
        return None
    kind = next(kind for kind in (*KINDS, TRUTH) if kind.replace("_", "") == match["kind"].lower().replace("_", ""))
    return kind, Section(match["machine"], numbered(match["section"]))


def numbered(section: str) -> str:
    """A section's number as the files write it."""
    return f"{int(section):02d}" if section.isdecimal() else section


def same_machine(name: str, known: Collection[str]) -> str:
    """The one of the known names that is meant, whatever underscores and case; the name itself where none is.

    >>> same_machine("bigfan", ["fan", "big_fan"]), same_machine("pump", ["fan"])
    ('big_fan', 'pump')
    """
    alike = [other for other in dict.fromkeys(known) if _plain(other) == _plain(name)]
    return name if name in known or len(alike) != 1 else alike[0]


def _plain(name):
    return re.sub(r"[\s_-]+", "", name).casefold()


def folders(root: Path) -> dict[Path, dict[Section, dict[str, list[Path]]]]:
    """{folder: {section: {kind: its files}}} of every folder, at any depth, that holds score or decision files.

    Raises:
        ValueError: no folder, or none that holds one.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the one that holds {Section('fan', '00').file(SCORE)}, …")
    found, seen = {}, set()
    for place, inner, names in os.walk(root, onerror=_stop, followlinks=True):
        inner.sort()
        if os.path.realpath(place) in seen:  # a link that leads back
            inner.clear()
            continue
        seen.add(os.path.realpath(place))
        for name in sorted(names):
            kind, section = section_of(name) or ("", None)
            if kind in KINDS:
                sections = found.setdefault(Path(place), {})
                sections.setdefault(section, {}).setdefault(kind, []).append(Path(place, name))
    if not found:
        raise ValueError(f"{root}: no score files there, as {Section('fan', '00').file(SCORE)}")
    return found


def _stop(error):
    raise error


def strays(folder: Path) -> list[str]:
    """Names of files beside the score files that begin as these and are none, such as copies."""
    begins = tuple(kind.split("_")[0] for kind in KINDS)
    names = sorted(path.name for path in folder.iterdir() if path.name.lower().startswith(begins))
    return [name for name in names if section_of(name) is None]


def finite(text: str) -> float:
    """A score; ValueError, with what the text is, for what is none.

    >>> finite(" 1.5e-3")
    0.0015
    """
    try:
        number = float(text)
    except ValueError:
        raise ValueError("no number") from None
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def flag(text: str) -> float:
    """A label, a domain or a decision, 0 or 1; ValueError, with what the text is, for anything else."""
    try:
        return {0.0: 0.0, 1.0: 1.0}[float(text)]
    except (ValueError, KeyError):
        raise ValueError("neither 0 nor 1") from None


def read_values(
    path: Path, value: Callable[[str], float], clips: Collection[str] = ()
) -> tuple[dict[str, float], list[str]]:
    """{clip: value} of a file, and what is wrong with it, a line a kind of fault.

    A clip is named by its stem, with or without folders and suffix.

    Args:
        path: of the file. value: `finite` or `flag`. clips: that should have a row, where they are known.
    """
    found, lines, faults = {}, {}, {}
    rows = read_rows(path, clips, lambda said, mend: faults.setdefault(f"{said} ({mend})", []))
    for line, cells in rows or ():
        name, row = stem_of(cells[0]), f"row {line}"
        try:
            if name in lines:
                raise ValueError("a clip has a second row")
            lines[name] = line
            if clips and name not in clips:
                raise ValueError("no test clip of this name")
            if len(cells) != 2:
                raise ValueError("not a name and a value")
            found[name] = value(cells[1])
        except ValueError as error:
            faults.setdefault(str(error), []).append(f"{row}: {_short(','.join(cells))}")
    if rows is not None and (missing := [clip for clip in clips if clip not in lines]):
        faults["no row for a test clip"] = missing
    if not rows and not faults:
        faults["empty, without a row"] = []
    return found, [fault(path, what, where) for what, where in faults.items()]


def read_rows(
    path: Path, clips: Collection[str], note: Callable[[str, str], object]
) -> list[tuple[int, list[str]]] | None:
    """(line, cells) of the rows that are not blank, without empty cells behind them; None where it cannot be read.

    Args:
        path: of the file. clips: names that its rows begin with, as far as known. note: takes a fault and its mend.
    """
    problems = []
    text = text_of(path, "", problems)
    if text is None:
        _, _, said, mend = problems[0]
        note(re.split("[;:] (no|ignored)", said)[0], mend)
        return None
    rows = table_of(text, set(clips), note)
    return [(line, cells[: max(i + 1 for i, cell in enumerate(cells) if cell)]) for line, cells in rows]


def fault(path: Path, what: str, where: Iterable[str]) -> str:
    """One line: the file, what is wrong with how many rows, and the first of them.

    >>> print(fault(Path("a.csv"), "not finite", ["row 3: x.wav,nan"]))
    a.csv: not finite: row 3: x.wav,nan
    """
    where = list(where)
    more = f"; and {len(where) - LISTED} more" if len(where) > LISTED else ""
    count = f" ({len(where)} of them)" if len(where) > 1 else ""
    return ": ".join([f"{path}", f"{what}{count}", *(["; ".join(where[:LISTED]) + more] if where else [])])


def _short(text):
    """What a message shows of a row; a file of another kind may be one line of anything."""
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
