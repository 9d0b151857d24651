"""GMM and KNN on the three fit sets of Sec. 3.1: fitted, calibrated, kept; `score_machine` runs all of a system.

A detector is a family's member on a fit set, e.g. KNN-1 on "source". Its clip scores are standardised by the mean and
deviation over the calibration normals: validation clips, which neither extractor nor detector was fitted on, or, with
too few of them, training clips that the detector was not fitted on (5 folds).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib import clock
from lib.detection.inliers import GMM, KNN
from lib.detection.nearest import Cosine, Nearest
from lib.detection.scoring import AGGREGATORS, clip_scores, folds_of, of_each, reference_part, standardize
from lib.network.embeddings import Embeddings
from lib.paths import whole_file, write_text
from lib.settings import Inliers
from lib.systems import System

if TYPE_CHECKING:
    import torch

FAMILIES = {family.name: family for family in (GMM, KNN)}  # of segments, fitted on the sets of Sec. 3.1
OF_CLIPS = {family.name: family for family in (Cosine, Nearest)}  # of whole clips, whose references are of both domains
ON_DEVICE = (KNN.name,)  # of the families, those that compute where they are told
Fitted = dict[tuple[str, str], GMM | KNN | Nearest]  # by family name and fit set


def families_of(system: System, inliers: Inliers) -> tuple[str, ...]:
    """What is fitted on the embeddings of a system: its own families and, where the settings say so, `Nearest`."""
    return (*system.families, *((Nearest.name,) if inliers.extended and system.families else ()))


def fit_sets(embeddings: Embeddings, pseudo_target: str = "with_source") -> dict[str, np.ndarray]:
    """The three sets of Sec. 3.1 that a detector can be fitted on, as (segments, 512) arrays by name.

    Args:
        embeddings: `Embeddings` of the train-split and pseudo-target clips.
        pseudo_target: "with_source" or "alone", what the set "pseudo_target" holds.

    Returns:
        {"source": …, "pseudo_target": …, "source+target": …}; only the first where there are no target clips.
    """
    part, domain = embeddings.clips["part"], embeddings.clips["domain"]
    source = embeddings.take((part == "train") & (domain == "source")).vectors
    target = embeddings.take((part == "train") & (domain == "target")).vectors
    mixed = embeddings.take(part == "pseudo_target").vectors
    if not len(target):
        return {"source": source}
    return {
        "source": source,
        "pseudo_target": np.concatenate([source, mixed]) if pseudo_target == "with_source" else mixed,
        "source+target": np.concatenate([source, target]),
    }


def fit_detectors(
    embeddings: Embeddings,
    families: Sequence[str],
    inliers: Inliers,
    seed: int,
    device: "torch.device | str" = "cpu",
) -> Fitted:
    """Fit every family on every fit set, one of whole clips on the training clips; {(family name, fit set): fitted}.

    `device` computes those of `ON_DEVICE`.
    """
    sets = fit_sets(embeddings, inliers.pseudo_target)
    fitted = {
        (name, fit_set): FAMILIES[name]
        .from_settings(inliers, seed, *([device] if name in ON_DEVICE else []))
        .fit(vectors)
        for fit_set, vectors in sets.items()
        for name in families
        if name in FAMILIES
    }
    references = embeddings.part("train")
    return fitted | {
        (name, OF_CLIPS[name].fit_set): OF_CLIPS[name].from_settings(inliers, seed).fit(references)
        for name in families
        if name in OF_CLIPS
    }


def score_clips(detectors: Fitted, embeddings: Embeddings) -> pd.DataFrame:
    """Clip scores of every detector with both aggregators.

    Args:
        detectors: as `fit_detectors` returns. embeddings: `Embeddings` of the clips to score.

    Returns:
        DataFrame with `detector`, `fit_set`, `aggregator`, `clip` (stem), `domain`, `label`, `score`.
    """
    names, scores = [], []
    for (family, fit_set), fitted in detectors.items():
        of_clips = family in OF_CLIPS
        for detector, found in fitted.score(embeddings if of_clips else embeddings.vectors).items():
            for aggregator in AGGREGATORS:
                weights = embeddings.weight if aggregator == "weighted" else None
                names.append((detector, fit_set, aggregator))
                scores.append(found if of_clips else clip_scores(found, embeddings.clip, weights))
    return of_each(embeddings.clips, pd.DataFrame(names, columns=["detector", "fit_set", "aggregator"]), scores)


@dataclass(frozen=True)
class Scored:
    """Detectors of one trained system and what they say: `scores` has the parts "calibration" and "test"."""

    detectors: Fitted
    scores: pd.DataFrame
    calibration: str


@clock.counts("fitting")
def score_machine(
    embeddings: Embeddings,
    families: Sequence[str],
    inliers: Inliers,
    seed: int,
    device: "torch.device | str" = "cpu",
) -> Scored:
    """Fit the detectors, score calibration and test clips, standardise each detector by its calibration scores.

    Args:
        embeddings: `Embeddings` of all parts. families: names in `FAMILIES`.
        inliers: `settings.Inliers`. seed: of GMM's initialisation and the folds.
        device: that computes what can be computed on one.

    Returns:
        `Scored`, whose `scores` have `score`, `mean` and `deviation` of the detector and `standardized`.

    Raises:
        ValueError: no families, no test clips, or no detector that tells clips apart.
    """
    if not families:
        raise ValueError("this system has no GMM or KNN: its flow scored the clips when it was trained (notebook 04)")
    if inliers.fit_on == "all":
        parts = embeddings.clips["part"].replace("validation", "train")
        embeddings = replace(embeddings, clips=embeddings.clips.assign(part=parts))
    fitted, held, tested = (embeddings.part(*p) for p in (("train", "pseudo_target"), ("validation",), ("test",)))
    if not len(tested.clips):
        raise ValueError("no usable test clips to score; see problems.csv of 01_data_audit")
    detectors = fit_detectors(fitted, families, inliers, seed, device)
    if len(held.clips) >= inliers.calibration_minimum:
        rule, calibration = f"{len(held.clips)} validation clips", score_clips(detectors, held)
    else:
        calibration, folds = _cross_scores(fitted, families, inliers, seed, device)
        rule = f"{folds} folds over the training clips"
    if inliers.calibration == "test":
        rule = "the test clips"
    tables = [score_clips(detectors, tested).assign(part="test"), calibration.assign(part="calibration")]
    scores = standardize(pd.concat(tables, ignore_index=True), reference_part(inliers))
    if scores.empty:
        raise ValueError("no detector is left; are the clips silent? See problems.csv of 01_data_audit")
    return Scored(detectors, scores, rule)


def _cross_scores(fitted, families, inliers, seed, device="cpu"):
    """Scores of the training clips by detectors of the other folds, and the number of folds.

    A mixed clip is in its source clip's fold and is heard by no detector that scores its target clip either.
    """
    clips = fitted.clips
    real = clips["part"] == "train"
    ordered = clips[real]
    if not any(name in FAMILIES for name in families):  # references are of both domains
        ordered = ordered.assign(domain="source")
    folds = min(inliers.calibration_folds, int((ordered["domain"] == "source").sum()))
    fold_of = dict(zip(ordered["stem"], folds_of(ordered, folds), strict=True))
    fold, partner_fold = clips["stem"].map(fold_of), clips["partner"].map(fold_of)
    tables = []
    for k in range(folds):
        detectors = fit_detectors(fitted.take((fold != k) & (partner_fold != k)), families, inliers, seed, device)
        tables.append(score_clips(detectors, fitted.take((fold == k) & real)))
    return pd.concat(tables, ignore_index=True), folds


@clock.counts("writing")
def save_detectors(folder: Path, scored: Scored, facts: dict) -> None:
    """Write `detectors.npz` (arrays) and `detectors.json` (calibration and `facts`)."""
    arrays = {
        f"{family}|{fit_set}|{key}": value
        for (family, fit_set), fitted in scored.detectors.items()
        for key, value in fitted.state().items()
    }
    keys = ["detector", "fit_set", "aggregator", "mean", "deviation"]
    ranks = {f"{family}|{fit_set}": int(fitted.rank) for (family, fit_set), fitted in scored.detectors.items()}
    with whole_file(folder / "detectors.npz") as temporary:
        np.savez(temporary, **arrays)
    constants = scored.scores.drop_duplicates(keys)[keys].to_dict("records")
    text = json.dumps(
        facts | {"calibration": scored.calibration, "effective_rank": ranks, "detectors": constants}, indent=1
    )
    write_text(folder / "detectors.json", text)


def load_detectors(folder: Path) -> Fitted:
    """{(family, fit set): fitted family} as `save_detectors` wrote them."""
    grouped = {}
    with np.load(folder / "detectors.npz") as stored:
        for name in stored.files:
            family, fit_set, key = name.split("|")
            grouped.setdefault((family, fit_set), {})[key] = stored[name]
    known = FAMILIES | OF_CLIPS
    return {(family, fit_set): known[family].restore(state) for (family, fit_set), state in grouped.items()}
