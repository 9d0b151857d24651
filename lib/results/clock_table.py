"""Where the seconds of a run went: the clocks of its steps, summed by kind of work, by notebook and by step."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from lib import step_clock
from lib.clock import KINDS, Seconds
from lib.paths import Run

COLUMNS = ["notebook", "step", "call", "kind", "wall", "cpu"]
LONGEST = 10  # steps that are shown by themselves
NAMED = 3  # kinds of a step or notebook
ALL = "all steps; CPU seconds in each notebook"
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

    def by_kind(self) -> pd.DataFrame:
        """`wall`, `cpu`, and the CPU seconds in each notebook, by its number; indexed by kind.

        Steps that ran at the same time count each.
        """
        sums = self.rows.groupby("kind")[["wall", "cpu"]].sum()
        number = self.rows["notebook"].str.replace(r"^(\d\d)_.*", r"\1", regex=True)
        return in_order(sums.join(self.rows.groupby(["kind", number])["cpu"].sum().unstack()))

    def by(self, name: str) -> pd.DataFrame:
        """`steps`, `wall`, `cpu` and `mostly`, the kinds that take most; by "notebook" or "step", the longest first."""
        sums = {"steps": ("step", "nunique"), "wall": ("wall", "sum"), "cpu": ("cpu", "sum")}
        found = self.rows.groupby(name).agg(**sums)
        kinds = self.rows.groupby([name, "kind"])["cpu"].sum().unstack(fill_value=0.0)
        found["mostly"] = [_mostly(kinds.loc[each]) for each in found.index]
        return found.sort_values(["wall", "cpu"], ascending=False, kind="stable")


def in_order(sums: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ClockTable.by_kind` in the order of `KINDS`."""
    return sums.loc[[kind for kind in KINDS if kind in sums.index]]


def _mostly(cpu):
    """`training 85 %, start-up 9 %` of CPU seconds by kind."""
    shares = (100 * cpu / max(cpu.sum(), 1e-9)).nlargest(NAMED)
    return ", ".join(f"{kind} {share:.0f} %" for kind, share in shares.items() if share >= 5)


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
    sums = sums.rename_axis(index="kind", columns=None)
    sums.insert(2, "share", [f"{share:.0f} %" for share in shares])
    return _words(sums.reset_index())


def of_steps(table: ClockTable) -> dict[str, pd.DataFrame]:
    """{caption: table in words} of the notebooks and of the longest steps."""
    steps = table.by("step").drop(columns="steps")
    longest = f"the {LONGEST} longest steps" if len(steps) > LONGEST else "each step"
    found = {"each notebook, its steps together": table.by("notebook"), longest: steps.head(LONGEST)}
    return {caption: _words(frame.reset_index()) for caption, frame in found.items()}


def without_clock(table: ClockTable) -> str:
    """The line that says how many steps the tables lack."""
    return f"{table.without} executed notebooks have no clock: an older version ran them, or it could not be written"


def printed(table: ClockTable, call: Call) -> Iterator[str]:
    """What `lib.batch --clock` says after a run: of the steps that this call ran, and of its own time.

    Args:
        table: of the run, all its calls. call: this one.
    """
    ran = table.of_call(call.token)
    sums = ran.by_kind()
    sums = in_order(sums.add(pd.DataFrame(call.own, ["wall", "cpu"]).T, fill_value=0.0)[list(sums)])
    sums.loc[OUTSIDE, "cpu"] = max(call.whole.cpu - sums["cpu"].sum(), 0.0)
    computed, words = sums["cpu"].sum(), of_kinds(sums)
    waited = max(call.cores * call.whole.wall - computed, 0.0)
    words.loc[len(words), ["kind", "CPU [s]"]] = WAITING, seconds(waited)
    wall = f"{seconds(call.whole.wall)} s on {call.cores} cores"
    yield f"clock      {ran.steps} steps, {wall}: {seconds(computed)} s computed, {seconds(waited)} s waited"
    if earlier := table.steps - ran.steps:
        yield f"           {earlier} steps ran in earlier calls and do not count"
    if table.without:
        yield f"           {without_clock(table)}"
    for caption, found in ({ALL: words.fillna("")} | (of_steps(ran) if ran.steps else {})).items():
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
