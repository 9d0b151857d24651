"""The test clips of a machine by one row of the tables, the strangest first, and what a threshold makes of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.detection.scoring import decision_threshold
from lib.report.files import RunFiles
from lib.systems import SPECTRUM

MARGIN = 0.04  # of the axis, beyond the lowest and the highest score
TICKS = (-100, -50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LABELS = {"anomaly": "anomalous", "normal": "normal", "": "unlabelled"}


@dataclass(frozen=True)
class Ranked:
    """Clips in the order of their scores.

    Attributes:
        machine, row: whose scores. clips: DataFrame, highest score first: `clip`, `domain`, `label`, `score`.
        calibration: (n,) scores of the calibration clips, which are normal. threshold: of the run's decisions.
        unscored: test clips without a finite score, which are left out.
    """

    machine: str
    row: str
    clips: pd.DataFrame
    calibration: np.ndarray
    threshold: float
    unscored: int

    @classmethod
    def of(cls, files: RunFiles, machine: str, row: str = "") -> "Ranked":
        """Of a run; a clip's score is the mean over the seeds, as in the submission files.

        Args:
            files: of the run. machine: one of its. row: of the tables; one that the machine lacks, or none, is
                `default_row`.
        """
        rows = files.rows(machine)
        row = row if row in rows else default_row(rows)
        own = files.scores[(files.scores["machine"] == machine) & (files.scores["system"] == row)]
        means = own.groupby(["part", "clip", "domain", "label"], sort=False)["score"].mean().reset_index()
        known = means[np.isfinite(means["score"])]
        test = known[known["part"] == "test"].sort_values("score", ascending=False, kind="stable")
        calibration = known.loc[known["part"] == "calibration", "score"].to_numpy()
        quantile = files.settings.evaluation.decision_quantile
        threshold = decision_threshold(calibration, quantile)[0] if len(calibration) else float("inf")
        columns = ["clip", "domain", "label", "score"]
        unscored = int((means["part"] == "test").sum()) - len(test)
        return cls(machine, row, test[columns].reset_index(drop=True), calibration, threshold, unscored)

    @property
    def labelled(self) -> bool:
        """Whether any label is known."""
        return bool((self.clips["label"] != "").any())

    @property
    def domains(self) -> list[str]:
        """Of the clips, in their usual order."""
        return sorted(set(self.clips["domain"]) - {""})

    def counts(self, threshold: float | None = None, domain: str = "") -> dict[str, int]:
        """How many clips are `called` anomalous of all (`clips`), and of the normal and anomalous ones each.

        Args:
            threshold: in place of the run's. domain: of the clips that count; none counts all.
        """
        clips = self.clips[self.clips["domain"] == domain] if domain else self.clips
        called = clips["score"] > (self.threshold if threshold is None else threshold)
        anomaly, normal = clips["label"] == "anomaly", clips["label"] == "normal"
        return {
            "clips": len(clips), "called": int(called.sum()), "anomalous": int(anomaly.sum()),
            "caught": int((called & anomaly).sum()), "normal": int(normal.sum()),
            "alarms": int((called & normal).sum()),
        }  # fmt: skip

    @property
    def axis(self) -> "Axis":
        """That all scores and the threshold stand on."""
        scores = [*self.clips["score"], *self.calibration, *([self.threshold] if np.isfinite(self.threshold) else [])]
        return Axis.of(scores)


@dataclass(frozen=True)
class Axis:
    """An axis of scores, linear near 0 and logarithmic beyond: places from 0 to 1, by the inverse hyperbolic sine.

    Attributes:
        low, high: asinh of the score at its ends.
    """

    low: float
    high: float

    @classmethod
    def of(cls, scores: list[float]) -> "Axis":
        """With room beyond the lowest and the highest."""
        low, high = np.arcsinh([min(scores, default=0), max(scores, default=0)])
        room = max(MARGIN * (high - low), 1e-3)
        return cls(float(low - room), float(high + room))

    def place(self, score: float) -> float:
        return float((np.arcsinh(score) - self.low) / (self.high - self.low))

    @property
    def ticks(self) -> dict[str, float]:
        """{score: place} of round scores, none closer to the one before than a twentieth."""
        found = {}
        for tick in TICKS:
            place = self.place(tick)
            if 0.01 < place < 0.99 and place - max(found.values(), default=-1) > 0.05:
                found[str(tick).replace("-", "−")] = place
        return found


def default_row(rows: list[str]) -> str:
    """Spectrum, the row to begin with, where there is one, else the first of the tables: never one that labels chose.

    >>> default_row(["OE", "Spectrum"]), default_row(["OE", "Shared"])
    ('Spectrum', 'OE')
    """
    return SPECTRUM if SPECTRUM in rows else rows[0]
