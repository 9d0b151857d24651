"""The clips that one target machine's systems hear: its own, split and standardised, and all others'."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.recordings.dcase import validation_mask
from lib.recordings.decoding import FULL_SCALE

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
    def read(cls, bank, machine, settings):
        """Split and standardise as the settings say.

        Raises:
            ValueError: unknown machine, no usable training or test clips, fewer than two source clips to train on, or
                no other machine.
        """
        training, pseudo = bank.training(machine), bank.pseudo_anomalous(machine)
        held = validation_mask(bank.dataset.of(machine, "train"), settings.data.validation_fraction)
        own = bank.of(machine)
        own = own.assign(part=own["split"].mask(held.reindex(own.index, fill_value=False), "validation"))
        if len(own[(own["part"] == "train") & (own["domain"] == "source")]) < 2:
            raise ValueError(f"{machine}: fewer than 2 usable source training clips; record more into {machine}/train")
        if not (own["part"] == "test").any():
            raise ValueError(f"{machine}: no usable test clips to score; see problems.csv of 01_data_audit")
        mode = settings.frontend.standardize
        return cls(standardized(bank, own, mode, training), standardized(bank, pseudo, mode, training))

    def part(self, part, domain=None):
        """Own rows of one part (and domain)."""
        rows = self.own[self.own["part"] == part]
        return rows if domain is None else rows[rows["domain"] == domain]

    def facts(self):
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


def standardized(bank, rows, mode, target):
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
