"""What the files of a finished run say; what is not there is empty, what cannot be read is an error with its mend."""

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pandas as pd
from pandas.errors import EmptyDataError

from lib.paths import Run, readable
from lib.recordings.dcase import paper_order
from lib.results.clock_table import ClockTable
from lib.results.page import Measured
from lib.settings import Settings
from lib.systems import ROWS

MEND = "run 06_ensemble_and_tables again"
FACTS = ("command", "synthetic", "training_clips", "seeds", "date", "commit", "settings")
AUDIT_COLUMNS = ["split", "stem", "path"]
SCORE_COLUMNS = ["machine", "system", "seed", "part", "clip", "domain", "label", "score", "protocol"]
EVALUATION_COLUMNS = ["system", "protocol", "rule", "machine", "score", "value", "low", "high", "sd"]


def read_table(path: Path, columns: tuple[str, ...] | list[str] = (), mend: str = MEND) -> pd.DataFrame:
    """A CSV file of the run, every cell as its text; empty where there is none, or nothing in it.

    Args:
        path: of the file. columns: that it must have. mend: what to do when it cannot be read.
    """
    with readable(path, mend):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)  # a clip may be called 0001, a machine NA
        except (FileNotFoundError, EmptyDataError):
            return pd.DataFrame(columns=list(columns))
        if missing := [name for name in columns if name not in table]:
            raise ValueError(f"it has no column {missing[0]}")
        return table


@dataclass(frozen=True)
class RunFiles:
    """A run's files, read when they are first wanted."""

    run: Run

    @property
    def name(self) -> str:
        return self.run.root.name

    @cached_property
    def measured(self) -> Measured:
        """Seconds and facts, as docs/results.md has them."""
        return Measured(self.run)

    @cached_property
    def facts(self) -> dict:
        """What 06 says of the run, with all of `FACTS`."""
        facts, path = self.measured.facts, self.run.tables / "run.json"
        if missing := [name for name in FACTS if not isinstance(facts, dict) or name not in facts]:
            raise ValueError(f"{path}: it has no {missing[0]}; {MEND}")
        return facts

    @cached_property
    def settings(self) -> Settings:
        facts = self.facts
        with readable(self.run.tables / "run.json", MEND):
            return Settings.model_validate(facts["settings"])

    def seconds(self, rows: list[str]) -> dict[str, float]:
        """{row: what it took to train and fit}; empty where no executed notebook says so, or one cannot be read."""
        try:
            found = {row: self.measured.seconds_of(row) for row in rows}
        except ValueError:  # its page says it
            return {}
        return found if any(found.values()) else {}

    @cached_property
    def evaluation(self) -> pd.DataFrame:
        """Every score of every row; empty where no test clip has a label."""
        return read_table(self.run.tables / "evaluation.csv", EVALUATION_COLUMNS).pipe(_numbers, EVALUATION_COLUMNS[5:])

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Clip scores of every row, protocol `all`."""
        table = read_table(self.run.tables / "clip_scores.csv", SCORE_COLUMNS)
        return table[table["protocol"] == "all"].pipe(_numbers, ["score"])

    @cached_property
    def machines(self) -> list[str]:
        """That have clip scores, in the paper's order."""
        return paper_order(set(self.scores["machine"]))

    def rows(self, machine: str) -> list[str]:
        """The rows that a machine has scores of, in the tables' order."""
        there = set(self.scores.loc[self.scores["machine"] == machine, "system"])
        return [row for row in ROWS if row in there] + sorted(there - set(ROWS))

    def audit(self, machine: str) -> pd.DataFrame:
        """A row a recording of a machine, with its `path`."""
        return read_table(self.run.machine(machine) / "audit.csv", AUDIT_COLUMNS, "run 01_data_audit again")

    @cached_property
    def problems(self) -> pd.DataFrame:
        """What is wrong with the recordings: of the index and the decoder, and what the audits measured."""
        columns, mend = ["machine", "file", "problem", "mend"], "run 01_data_audit again"
        files = [self.run.problems, *(self.run.machine(machine) / "problems.csv" for machine in self.machines)]
        tables = [read_table(path, columns, mend)[columns] for path in files]
        found = pd.concat(tables, ignore_index=True).drop_duplicates(ignore_index=True)
        names = [within(row.file, row.machine) for row in found.itertuples()]
        return found.assign(file=pd.Series(names, found.index, str))

    @cached_property
    def left_out(self) -> pd.DataFrame:
        """What the tables were to hold and do not."""
        return read_table(self.run.tables / "left_out.csv")

    @cached_property
    def failures(self) -> list[str]:
        """A line for each notebook of the last call that failed."""
        return _lines(self.run.failures)

    @cached_property
    def clocks(self) -> ClockTable:
        """Where the seconds of its steps went."""
        return ClockTable.of(self.run)

    @cached_property
    def refusals(self) -> list[str]:
        """A line for each submission file that could not be written."""
        return _lines(self.run.refusals)

    @cached_property
    def made_with(self) -> dict:
        """`data` and `versions` that the run's models name; what no model names is left out."""
        found = {}
        for path in sorted(self.run.root.glob("*/*/*/model.json")) + sorted(self.run.root.glob("*/*/*/*/model.json")):
            with readable(path, "run the notebook that trains it again"):
                facts = json.loads(path.read_text(encoding="utf-8"))
            found = {key: facts[key] for key in ("data", "versions") if key in facts} | found
            if len(found) == 2:
                break
        return found


def within(file: str, machine: str) -> str:
    """A recording's path from its machine's folder on, so that a page names no folder of this computer.

    >>> within("/data/raw/fan/test/a.wav", "fan"), within("a.csv", "")
    ('fan/test/a.wav', 'a.csv')
    """
    parts = PurePosixPath(file.replace("\\", "/")).parts
    places = [i for i, part in enumerate(parts) if part == machine]
    return "/".join(parts[places[-1] :]) if places else file


def slugs(names: list[str]) -> dict[str, str]:
    """{name: a different file name in plain letters for each}, also where a disk knows no capitals.

    >>> slugs(["fan", "ä & ö", "Fan", "?"])
    {'fan': 'fan', 'ä & ö': 'a-o', 'Fan': 'Fan-2', '?': 'x'}
    """
    found, taken = {}, set()
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        base = slug = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:60] or "x"
        number = 1
        while slug.lower() in taken:
            number += 1
            slug = f"{base}-{number}"
        taken.add(slug.lower())
        found[name] = slug
    return found


def _numbers(table, columns):
    return table.assign(**{name: pd.to_numeric(table[name], errors="coerce").astype(float) for name in columns})


def _lines(path):
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
