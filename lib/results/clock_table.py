"""Where the seconds of a run went: the clocks of its steps, summed by kind of work, by notebook and by step."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from lib import step_clock
from lib.clock import KINDS, Seconds
from lib.paths import Run

COLUMNS = ["notebook", "step", "call", "kind", "wall", "cpu"]
LONGEST = 10  # steps that are shown by themselves
OUTSIDE, WAITING = "outside the steps", "waiting"


@dataclass(frozen=True)
class ClockTable:
    """The steps of a run that kept a clock.

    Attributes:
        rows: DataFrame with `COLUMNS`, a row a step and kind, seconds; `call` tells the calls of `lib.batch` apart.
        without: how many executed notebooks of the run have no clock that can be read.
    """

    rows: pd.DataFrame
    without: int = 0

    @classmethod
    def of(cls, run: Run) -> "ClockTable":
        """Of all steps of a run, whichever call ran them."""
        rows, names = [], set()
        for path in run.clocks():
            kept, name = step_clock.read(path), run.step(path)
            if kept and kept["kinds"]:
                names.add(name)
                notebook, call = name.rpartition("/")[2].partition("-")[0], kept["call"]
                rows += [(notebook, name, call, kind, *seconds) for kind, seconds in kept["kinds"].items()]
        without = sum(run.step(path) not in names for path in run.executed())
        return cls(pd.DataFrame(rows, columns=COLUMNS), without)

    def of_call(self, call: str) -> "ClockTable":
        """The steps that one call ran."""
        return replace(self, rows=self.rows[self.rows["call"] == call])

    @property
    def steps(self) -> int:
        return self.rows["step"].nunique()

    @property
    def cpu(self) -> float:
        return float(self.rows["cpu"].sum())

    def by_kind(self) -> pd.DataFrame:
        """`wall` and `cpu` by kind; what ran at the same time counts each."""
        sums = self.rows.groupby("kind")[["wall", "cpu"]].sum()
        return sums.reindex([kind for kind in KINDS if kind in sums.index])

    def by(self, name: str) -> pd.DataFrame:
        """`steps`, `wall`, `cpu` and each kind's CPU seconds by "notebook" or "step", the longest first."""
        rows = self.rows
        whole = rows.groupby(name).agg(steps=("step", "nunique"), wall=("wall", "sum"), cpu=("cpu", "sum"))
        kinds = rows.groupby([name, "kind"])["cpu"].sum().unstack(fill_value=0.0)
        whole = whole.join(kinds[[kind for kind in KINDS if kind in kinds]])
        return whole.sort_values(["wall", "cpu"], ascending=False, kind="stable")


@dataclass(frozen=True)
class Call:
    """One call of `lib.batch`, as its own clock has it.

    Attributes:
        token: of its steps. cores: that it was given. whole: seconds that it took, of all that it started, too.
        own: {kind: seconds} of the work that it did itself.
    """

    token: str
    cores: int
    whole: Seconds
    own: dict[str, Seconds]


def of_kinds(sums: pd.DataFrame) -> pd.DataFrame:
    """`ClockTable.by_kind` in words, with each kind's share of the CPU seconds."""
    shares = 100 * sums["cpu"] / max(sums["cpu"].sum(), 1e-9)
    return _words(sums.rename_axis("kind").reset_index()).assign(share=[f"{share:.0f} %" for share in shares])


def of_steps(table: ClockTable) -> dict[str, pd.DataFrame]:
    """{caption: table in words} of the notebooks and of the longest steps."""
    notebooks, steps = table.by("notebook"), table.by("step").drop(columns="steps")
    longest = f"the {LONGEST} longest steps" if len(steps) > LONGEST else "each step"
    found = {"each notebook, all its steps together": notebooks, longest: steps.head(LONGEST)}
    return {f"{caption}; CPU seconds by kind": _words(frame.reset_index()) for caption, frame in found.items()}


def without_clock(table: ClockTable) -> str:
    """The line that says how many steps the tables lack."""
    return f"{table.without} executed notebooks have no clock: an older version ran them, or it could not be written"


def printed(table: ClockTable, call: Call) -> Iterator[str]:
    """What `lib.batch --clock` says after a run: of the steps that this call ran, and of its own time.

    Args:
        table: of the run, all its calls. call: this one.
    """
    ran = table.of_call(call.token)
    sums = ran.by_kind().add(pd.DataFrame(call.own, ["wall", "cpu"]).T, fill_value=0.0)
    sums = sums.reindex([kind for kind in KINDS if kind in sums.index])
    sums.loc[OUTSIDE] = float("nan"), max(call.whole.cpu - sums["cpu"].sum(), 0.0)
    kinds, computed = of_kinds(sums), sums["cpu"].sum()
    waited = max(call.cores * call.whole.wall - computed, 0.0)
    kinds.loc[len(kinds)] = WAITING, "", seconds(waited), ""
    wall = f"{seconds(call.whole.wall)} s on {call.cores} cores"
    yield f"clock      {ran.steps} steps, {wall}: {seconds(computed)} s computed, {seconds(waited)} s waited"
    if earlier := table.steps - ran.steps:
        yield f"           {earlier} steps ran in earlier calls and do not count"
    if table.without:
        yield f"           {without_clock(table)}"
    for caption, found in ({"all steps": kinds} | (of_steps(ran) if ran.steps else {})).items():
        yield f"\n{caption}\n{_plain(found)}"


def seconds(value: float) -> str:
    """Without decimals from 10 on.

    >>> seconds(0.04), seconds(9.96), seconds(1234.5), seconds(float("nan"))
    ('0.0', '10', '1234', '')
    """
    if value != value:
        return ""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _words(frame):
    named = {"wall": "wall [s]", "cpu": "CPU [s]"}
    numbers = {name: frame[name].map(seconds) for name in frame.select_dtypes("float")}
    return frame.assign(**numbers).rename(columns=named)


def _plain(frame):
    """A table of text for a terminal, the first column to the left."""
    first = frame.columns[0]
    width = max(len(str(first)), *frame[first].map(len))
    names = frame[first].str.ljust(width)
    return frame.assign(**{first: names}).rename(columns={first: first.ljust(width)}).to_string(index=False)
