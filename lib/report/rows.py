"""The rows of a run, best first, and how sure that order is: what stands at the top of the report."""

import math
from dataclasses import dataclass

import pandas as pd

from lib.systems import SPECTRUM

OVERALL = "overall"
SCORES = {"auc_source": "AUC source", "auc_target": "AUC target", "pauc": "pAUC"}
STEP = 10  # percent, to which the axis of the intervals is rounded
CHANCE = 50.0  # percent


@dataclass(frozen=True)
class Ranking:
    """Rows of one machine, or of all, by the harmonic mean under the paper rule, protocol `all`.

    Attributes:
        rows: DataFrame, best first: `system`, `value`, `low`, `high`, `sd`, a column for each of `SCORES`, `official`
            (the harmonic mean under the official rule). axis: (lowest, highest) percent of the intervals.
    """

    rows: pd.DataFrame
    axis: tuple[float, float]

    @classmethod
    def of(cls, evaluation: pd.DataFrame, machine: str = OVERALL) -> "Ranking":
        """Of `RunFiles.evaluation`; a machine without labels has no rows."""
        own = evaluation[(evaluation["protocol"] == "all") & (evaluation["machine"] == machine)]
        paper = own[own["rule"] == "paper"].set_index("system")
        rows = paper[(paper["score"] == "hmean") & paper["value"].notna()][["value", "low", "high", "sd"]]
        official = own[(own["rule"] == "official") & (own["score"] == "hmean")].set_index("system")["value"]
        each = {score: paper.loc[paper["score"] == score, "value"] for score in SCORES} | {"official": official}
        rows = rows.assign(**{name: values.reindex(rows.index) for name, values in each.items()})
        rows = rows.sort_values("value", ascending=False, kind="stable").reset_index()
        edges = rows[["value", "low", "high"]].stack()
        low, high = (min(edges.min(), CHANCE), max(edges.max(), CHANCE)) if len(rows) else (0.0, 100.0)
        return cls(rows, (math.floor(low / STEP) * STEP, math.ceil(high / STEP) * STEP))

    @property
    def best(self) -> pd.Series | None:
        return self.rows.iloc[0] if len(self.rows) else None

    @property
    def level(self) -> int:
        """Rows below the best whose interval reaches up to it: the test clips do not tell them apart."""
        return int((self.rows["high"].iloc[1:] >= self.rows["value"].iloc[0]).sum()) if len(self.rows) else 0

    @property
    def recommended(self) -> pd.Series | None:
        """Spectrum, which no training of this run and no label had a part in."""
        found = self.rows[self.rows["system"] == SPECTRUM]
        return found.iloc[0] if len(found) else None

    def place(self, percent: float) -> float:
        """Where a value stands on the axis, from 0 to 100."""
        low, high = self.axis
        return 100 * (percent - low) / (high - low)

    @property
    def ticks(self) -> list[float]:
        """Of the axis: its ends, and chance."""
        low, high = self.axis
        return sorted({low, high, CHANCE if low < CHANCE < high else (low + high) / 2})
