"""Rows of a run's tables, by which a listener decides: their scores, what each is made of, its score of a new clip."""

from collections.abc import Collection, Sequence

import pandas as pd

from lib.detection import ensembles, scoring
from lib.listening.row_score import RowScore
from lib.settings import Settings
from lib.systems import ENSEMBLES, ROWS, ROWS_OF, folder_of


class TableRows:
    """Rows of one machine, protocol `all`, by the functions of 06.

    Attributes:
        names: of the rows, in the order of the tables.
    """

    def __init__(self, scores: pd.DataFrame, settings: Settings, asked: Sequence[str], wanted: Collection[str] = ROWS):
        """Of the scores of trainings.

        Args:
            scores: with the columns `score_files.COLUMNS`. settings: by which the tables are made.
            asked: systems of the run, of which Submitted 1–4 are made. wanted: rows that may be listened with.
        """
        self._scores, self._asked = scores, asked
        self._reference = scoring.reference_part(settings.inliers)
        self._weighted = settings.evaluation.weighted_machines
        self._folders = set(scores["system"].map(folder_of))
        self._every, self._sums = self._tables(scores), {}
        self.names = [name for name in ROWS if name in set(self._every["system"]) and name in wanted]

    def _tables(self, scores):
        each = ensembles.detector_scores(scores, self._weighted)
        rows = ensembles.system_rows(each, reference=self._reference)
        return ensembles.add_submitted(rows, self._asked, self._reference)

    def of(self, row: str) -> pd.DataFrame:
        """Scores of the run's own clips by a row, as the tables have them."""
        return self._every[self._every["system"] == row]

    @staticmethod
    def members(row: str) -> set[str]:
        """The row, the rows that it is a mean of, and theirs."""
        rows, waiting = set(), [row]
        while waiting:
            name = waiting.pop()
            rows.add(name)
            waiting += ENSEMBLES[name][0] if name in ENSEMBLES else ()
        return rows

    def needed(self, row: str) -> set[str]:
        """Folders of the trainings that a row is made of."""
        members = self.members(row)
        return {folder for folder in self._folders if members & {folder, *ROWS_OF.get(folder, ())}}

    def raw(self, folders: Collection[str]) -> pd.DataFrame:
        """The scores of the trainings of some folders, as they were given."""
        return self._scores[self._scores["system"].map(folder_of).isin(folders)]

    def sum_of(self, row: str) -> RowScore:
        """A row's score of a new clip as one sum; made when it is first wanted."""
        if row not in self._sums:
            own = self.raw(self.needed(row))
            self._sums[row] = RowScore.of(row, own, self._reference, self._weighted, self._tables)
        return self._sums[row]
