"""A row's score of a new clip as one sum over its detectors, so that a clip costs no table.

The tables standardise, average and standardise again. All of it is affine in the raw scores of a clip once the
calibration clips are known: the functions that make the tables say once, of made clips, what each detector counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.detection import ensembles

CONSTANTS = ["system", "parameter", "detector", "fit_set", "aggregator"]  # tell a detector's scores from others'


class Term(NamedTuple):
    """What one detector adds: `weight` times its score, standardised by `mean` and `deviation`."""

    weight: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class RowScore:
    """The score of one row: `offset` and the `terms` of its detectors, by `CONSTANTS`."""

    offset: float
    terms: dict[tuple, Term]

    @classmethod
    def of(
        cls,
        row: str,
        scores: pd.DataFrame,
        reference: str,
        weighted_machines: Iterable[str],
        tables: Callable[[pd.DataFrame], pd.DataFrame],
    ) -> "RowScore":
        """By made clips: one whose detectors all give their mean, and for each detector one where it gives more.

        Args:
            row: of the tables. scores: of the run, of one machine and of the trainings that the row is made of.
            reference: part by which rows are standardised. weighted_machines: as the settings name them.
            tables: makes every row's scores of a table of scores, as 06 does.
        """
        counted = ensembles.own_aggregator(ensembles.of_the_paper(scores), weighted_machines)
        each = counted.drop_duplicates(CONSTANTS)
        size = len(each)
        made = each.iloc[np.repeat(np.arange(size), size + 1)].assign(
            part="new", domain="", label="", clip=np.tile(np.arange(size + 1).astype(str), size),
            standardized=np.eye(size, size + 1, 1).ravel(),
        )  # fmt: skip
        rows = tables(pd.concat([counted[counted["part"] == reference], made], ignore_index=True))
        rows = rows[(rows["system"] == row) & (rows["part"] == "new")].set_index("clip")["score"]
        offset, *shifted = rows.loc[[str(i) for i in range(size + 1)]]
        keys = each[CONSTANTS].itertuples(index=False, name=None)
        constants = zip([score - offset for score in shifted], each["mean"], each["deviation"], strict=True)
        terms = {key: Term(*map(float, term)) for key, term in zip(keys, constants, strict=True)}
        return cls(offset, {key: term for key, term in terms.items() if term.weight})  # others are of other rows

    def score(self, tables: Iterable[pd.DataFrame], clips: int) -> np.ndarray:
        """(clips,) scores, NaN for a clip that some detector did not score.

        Args:
            tables: raw scores of the row's detectors, with the columns `CONSTANTS`, `clip` (its number) and `score`.
            clips: how many.
        """
        total, count = np.full(clips, self.offset), np.zeros(clips, int)
        for table in tables:
            columns = (table[name].tolist() for name in (*CONSTANTS, "clip", "score"))
            for *key, clip, score in zip(*columns, strict=True):
                if term := self.terms.get(tuple(key)):
                    total[int(clip)] += term.weight * (score - term.mean) / term.deviation
                    count[int(clip)] += 1
        return np.where(count == len(self.terms), total, np.nan)
