"""The clips that one target machine's systems hear: its own, split and standardised, and all others'."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.recordings.clips import ClipBank
from lib.recordings.dcase import validation_mask
from lib.recordings.reading import FULL_SCALE
from lib.settings import Settings

SILENCE = 1e-8  # floor of a standard deviation, full scale = 1


@dataclass(frozen=True)
class MachineClips:
    """Rows of the bank's index with `mean` and `deviation`.

    Attributes:
        own: the machine's usable clips, with `part`: train, validation or test.
        pseudo: training clips of every other machine, the pseudo-anomalous sound.
    """

    own: pd.DataFrame
    pseudo: pd.DataFrame

    @classmethod
    def read(cls, bank: ClipBank, machine: str, settings: Settings) -> "MachineClips":
        """Split and standardise as the settings say.

        Raises:
            ValueError: unknown machine, no usable training or test clips, fewer than two source clips to train on, or
                no other machine.
        """
        training, pseudo = bank.training(machine), bank.pseudo_anomalous(machine)
        held = validation_mask(bank.dataset.of(machine, "train"), settings.data.validation_fraction)
        own = bank.of(machine)
        own = own.assign(part=own["split"].mask(held.reindex(own.index, fill_value=False), "validation"))
        source = int(((own["part"] == "train") & (own["domain"] == "source")).sum())
        if source < 2:
            raise ValueError(
                f"{machine}: {source} usable source clips to train on, of {len(training)} training clips; at least "
                f"2 are needed: record more into {machine}/train, named section_00_source_train_normal_…"
            )
        if not (own["part"] == "test").any():
            raise ValueError(f"{machine}: no usable test clips to score; see problems.csv of 01_data_audit")
        mode = settings.frontend.standardize
        return cls(standardized(bank, own, mode, training), standardized(bank, pseudo, mode, training))

    def part(self, part: str, domain: str | None = None) -> pd.DataFrame:
        """Own rows of one part (and domain)."""
        rows = self.own[self.own["part"] == part]
        return rows if domain is None else rows[rows["domain"] == domain]

    def facts(self) -> dict:
        """JSON-able: which clips were in which part, and the first training clip's standardisation (with mode
        `machine` every clip's)."""
        split = {part: rows["stem"].tolist() for part, rows in self.own.groupby("part")}
        first = self.part("train").iloc[0]
        standardization = {"mean": float(first["mean"]), "deviation": float(first["deviation"])}
        return {
            "split": split,
            "standardization": standardization,
            "pseudo_anomalous": self.pseudo["machine"].value_counts().to_dict(),
        }


def standardized(bank: ClipBank, rows: pd.DataFrame, mode: str, target: pd.DataFrame) -> pd.DataFrame:
    """Give each clip the mean and standard deviation (full scale = 1) it is standardised by.

    Args:
        bank: `clips.ClipBank`.
        rows: rows of its index.
        mode: "machine", one mean and deviation over the `target` rows; "clip", each clip's own.
        target: rows of the target machine's training clips.

    Returns:
        `rows` with the columns `mean` and `deviation`; a silent clip's deviation is a floor, not zero.
    """
    moments = _moments(bank, target if mode == "machine" else rows)
    if mode == "machine":
        moments = moments.sum(axis=0, keepdims=True)
    count, total, square = moments.T
    mean = total / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, SILENCE**2))
    return rows.assign(mean=np.broadcast_to(mean, len(rows)), deviation=np.broadcast_to(deviation, len(rows)))


def _moments(bank, rows):
    """(rows, 3) number of samples, their sum and the sum of their squares, full scale = 1."""
    moments = np.empty((len(rows), 3))
    for i, row in enumerate(rows.itertuples()):
        sound = bank.sound(row).astype(np.float64) / FULL_SCALE
        moments[i] = len(sound), sound.sum(), np.dot(sound, sound)
    return moments
