"""Clip scores of Spectrum's views (beyond the paper): whitened distance to the nearest training clip, by its density.

Nothing is trained, so all training clips of the machine are references, of both domains. The calibration normals are
the same clips, each scored by references that it is none of (folds): leaving out one clip of a whitening that all gave
would give every one the same score where there are fewer clips than numbers.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lib import clock
from lib.detection.density import Whitened
from lib.detection.scoring import folds_of, reference_part, standardize
from lib.paths import readable, whole_file, write_text
from lib.settings import Inliers
from lib.systems import ALL, SPECTRA, SPECTRUM_CLIPS

AGAIN = "delete it and run notebooks/08_spectrum_reference.ipynb again"


@dataclass(frozen=True)
class References:
    """The training clips that a clip is compared with.

    Attributes:
        views: {name: (clips, numbers) float64}, as `spectrum.views`, and what else is known of each clip.
        clips: DataFrame with `stem`, `domain`, `seconds` and `divisor` of each.
        neighbours: K of the density.
    """

    views: dict[str, np.ndarray]
    clips: pd.DataFrame
    neighbours: int
    _known: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, views: dict[str, np.ndarray], clips: pd.DataFrame, neighbours: int) -> "References":
        """Of the training clips among rows of the bank's index; ValueError where there are fewer than four."""
        training = (clips["split"] == "train").to_numpy()
        if training.sum() < SPECTRUM_CLIPS:
            raise ValueError(
                f"{training.sum()} usable training clips to compare with, at least {SPECTRUM_CLIPS} needed"
            )
        rows = clips.loc[training, ["stem", "domain", "seconds", "divisor"]].reset_index(drop=True)
        return cls({name: vectors[training] for name, vectors in views.items()}, rows, neighbours)

    def score(self, views: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{view: (m,) score} of the views of m clips, each as `density.Whitened.score`."""
        return {name: self._whitened(name).score(vectors) for name, vectors in views.items()}

    def _whitened(self, name):
        """A view's references, whitened; kept, since a listener asks again and again."""
        if name not in self._known:
            self._known[name] = Whitened(self.views[name], self.neighbours)
        return self._known[name]

    def shares(self, name: str, vectors: np.ndarray) -> np.ndarray:
        """(m, numbers) what each number of a view adds to the squared distance to the nearest reference; rows sum to 1.

        With δ the difference and Σ the covariance, number i adds δ_i (Σ⁻¹δ)_i, which may be negative.
        """
        known = self._whitened(name)
        apart = vectors - self.views[name][known.distances(vectors).argmin(axis=1)]
        added = apart * (apart @ known.matrix @ known.matrix.T)
        return added / np.maximum(added.sum(axis=1, keepdims=True), np.finfo(float).tiny)

    @clock.counts("writing")
    def save(self, folder: Path, facts: dict) -> None:
        """Write `references.npz` and, last, `model.json` of the JSON-able `facts`."""
        clips = {f"clip {name}": np.array(values.tolist()) for name, values in self.clips.items()}
        with whole_file(folder / "references.npz") as temporary:
            np.savez(temporary, neighbours=self.neighbours, **clips, **self.views)
        write_text(folder / "model.json", json.dumps(facts, indent=1))

    @classmethod
    def load(cls, folder: Path) -> tuple["References", dict]:
        """What `save` wrote, and its facts; ValueError, naming the mend, where it is not there or damaged."""
        with readable(folder / "references.npz", AGAIN), np.load(folder / "references.npz") as stored:
            arrays = {name: stored[name] for name in stored.files}
        with readable(folder / "model.json", AGAIN):
            facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        neighbours = int(arrays.pop("neighbours"))
        clips = pd.DataFrame({name[5:]: arrays.pop(name) for name in list(arrays) if name.startswith("clip ")})
        return cls(arrays, clips, neighbours), facts


@clock.counts("fitting")
def spectrum_scores(
    views: dict[str, np.ndarray], clips: pd.DataFrame, neighbours: int, inliers: Inliers
) -> pd.DataFrame:
    """Standardised clip scores of every view.

    Args:
        views: {name: (clips, numbers)} in the order of `systems.SPECTRA`, as `spectrum.views`.
        clips: rows of the bank's index. neighbours: K of the density. inliers: `settings.Inliers`, whose folds count.

    Returns:
        DataFrame as `detectors.score_machine`'s scores, with `system` and `parameter`; a detector is a view.

    Raises:
        ValueError: no test clips, fewer than four training clips, or no view that tells clips apart.
    """
    if not (clips["split"] == "test").any():
        raise ValueError("no usable test clips to score; see problems.csv of 01_data_audit")
    references, training = References.of(views, clips, neighbours), (clips["split"] == "train").to_numpy()
    table = clips[["stem", "domain", "label"]].rename(columns={"stem": "clip"})
    table = table.assign(fit_set="", aggregator="plain", part=clips["split"].replace("train", "calibration"))
    tables, tested = [], references.score({name: vectors[~training] for name, vectors in views.items()})
    for system, (name, vectors) in zip(SPECTRA, views.items(), strict=True):
        score = np.empty(len(clips))
        score[~training] = tested[name]
        score[training] = _held_out_scores(vectors[training], clips[training], neighbours, inliers.calibration_folds)
        tables.append(table.assign(detector=name, system=system, parameter=ALL, score=score))
    found = standardize(pd.concat(tables, ignore_index=True), reference_part(inliers))
    if found.empty:
        raise ValueError("every view scores all clips the same; are the clips silent? See problems.csv")
    return found


def _held_out_scores(vectors, clips, neighbours, folds):
    """(clips,) scores of training clips by the references of the other folds."""
    fold, score = folds_of(clips, min(folds, len(clips))).to_numpy(), np.empty(len(clips))
    for k in np.unique(fold):
        score[fold == k] = Whitened(vectors[fold != k], neighbours).score(vectors[fold == k])
    return score
