"""Clip scores of Spectrum's views (beyond the paper): whitened distance to the nearest training clip, by its density.

Nothing is trained, so all training clips of the machine are references, of both domains. The calibration normals are
the same clips, each scored by references that it is none of (folds): leaving out one clip of a whitening that all gave
would give every one the same score where there are fewer clips than numbers.
"""

import numpy as np
import pandas as pd

from lib.detection.density import whitened_score
from lib.detection.scoring import folds_of, reference_part, standardize
from lib.settings import Inliers
from lib.systems import ALL, SPECTRA, SPECTRUM_CLIPS


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
    training = (clips["split"] == "train").to_numpy()
    if training.sum() < SPECTRUM_CLIPS:
        raise ValueError(f"{training.sum()} usable training clips to compare with, at least {SPECTRUM_CLIPS} needed")
    table = clips[["stem", "domain", "label"]].rename(columns={"stem": "clip"})
    table = table.assign(fit_set="", aggregator="plain", part=clips["split"].replace("train", "calibration"))
    tables = []
    for system, (name, vectors) in zip(SPECTRA, views.items(), strict=True):
        score = np.empty(len(clips))
        score[~training] = whitened_score(vectors[~training], vectors[training], neighbours)
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
        score[fold == k] = whitened_score(vectors[fold == k], vectors[fold != k], neighbours)
    return score
