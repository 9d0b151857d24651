"""From segment scores to clip scores (Eq. 4), calibration, decisions; `score_machine` runs all detectors of a system.

A detector is a family's member on a fit set, e.g. KNN-1 on "source". Its clip scores are standardised by the mean and
deviation over the calibration normals: clips that neither extractor nor detector was fitted on.
"""

import json
import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import gamma

from lib.inliers import GMM, KNN
from lib.paths import whole_file, write_text

FAMILIES = {family.name: family for family in (GMM, KNN)}
AGGREGATORS = ("plain", "weighted")


def clip_scores(segment_scores, clip, weights=None):
    """Aggregate segment scores into clip scores (the paper's 𝒜, Eq. 4 and Sec. 3.2).

    Args:
        segment_scores: (segments,) anomaly scores, larger is more anomalous.
        clip: (segments,) which clip each belongs to, 0 … clips − 1.
        weights: (segments,) power weights, each clip's summing to 1; None takes the plain mean.

    Returns:
        (clips,) anomaly scores.

    Raises:
        ValueError: a clip's weights do not sum to 1.
    """
    if weights is None:
        return np.bincount(clip, segment_scores) / np.bincount(clip)
    totals = np.bincount(clip, weights)
    if not np.allclose(totals, 1, atol=1e-6):
        raise ValueError(f"the weights of a clip must sum to 1; found {totals[np.argmax(np.abs(totals - 1))]:.6f}")
    return np.bincount(clip, np.asarray(segment_scores) * weights)


def fit_sets(embeddings, pseudo_target="with_source"):
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


def fit_detectors(embeddings, families, inliers, seed):
    """Fit every family on every fit set; {(family name, fit set): fitted family}."""
    sets = fit_sets(embeddings, inliers.pseudo_target)
    return {
        (name, fit_set): FAMILIES[name].from_settings(inliers, seed).fit(vectors)
        for fit_set, vectors in sets.items()
        for name in families
    }


def score_clips(detectors, embeddings):
    """Clip scores of every detector with both aggregators.

    Args:
        detectors: as `fit_detectors` returns. embeddings: `Embeddings` of the clips to score.

    Returns:
        DataFrame with `detector`, `fit_set`, `aggregator`, `clip` (stem), `domain`, `label`, `score`.
    """
    clips = embeddings.clips[["stem", "domain", "label"]].rename(columns={"stem": "clip"})
    tables = []
    for (_, fit_set), family in detectors.items():
        for detector, segments in family.score(embeddings.vectors).items():
            for aggregator in AGGREGATORS:
                weights = embeddings.weight if aggregator == "weighted" else None
                score = clip_scores(segments, embeddings.clip, weights)
                tables.append(clips.assign(detector=detector, fit_set=fit_set, aggregator=aggregator, score=score))
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class Scored:
    """Detectors of one trained system and what they say: `scores` has the parts "calibration" and "test"."""

    detectors: dict
    scores: pd.DataFrame
    calibration: str


def score_machine(embeddings, families, inliers, seed):
    """Fit the detectors, score calibration and test clips, standardise each detector by its calibration scores.

    Args:
        embeddings: `Embeddings` of all parts. families: names in `FAMILIES`.
        inliers: `settings.Inliers`. seed: of GMM's initialisation and the folds.

    Returns:
        `Scored`, whose `scores` have `score`, `mean` and `deviation` of the detector and `standardized`.
    """
    fitted = embeddings.part("train", "pseudo_target")
    detectors = fit_detectors(fitted, families, inliers, seed)
    test = score_clips(detectors, embeddings.part("test")).assign(part="test")
    held = embeddings.part("validation")
    if len(held.clips) >= inliers.calibration_minimum:
        rule, calibration = f"{len(held.clips)} validation clips", score_clips(detectors, held)
    else:
        rule, calibration = f"{inliers.calibration_folds} folds over the training clips", _cross_scores(
            fitted, families, inliers, seed
        )  # fmt: skip
    if inliers.calibration == "test":
        rule = "the test clips"
    scores = pd.concat([test, calibration.assign(part="calibration")], ignore_index=True)
    return Scored(detectors, standardize(scores, "test" if inliers.calibration == "test" else "calibration"), rule)


def _cross_scores(fitted, families, inliers, seed):
    """Scores of the training clips by detectors of the other folds; a mixed clip stays in its source clip's fold."""
    folds = inliers.calibration_folds
    fold = fitted.clips["stem"].map(lambda stem: zlib.crc32(stem.encode())).rank(method="dense").astype(int) % folds
    real, tables = fitted.clips["part"] == "train", []
    for k in sorted(set(fold[real])):
        detectors = fit_detectors(fitted.take(fold != k), families, inliers, seed)
        tables.append(score_clips(detectors, fitted.take((fold == k) & real)))
    return pd.concat(tables, ignore_index=True)


def standardize(scores, part):
    """Add `mean`, `deviation` (over the clips of `part`) and `standardized` to each detector's rows.

    A detector whose scores there do not vary is dropped, and a line says so.
    """
    keys = ["detector", "fit_set", "aggregator"]
    reference = scores[scores["part"] == part].groupby(keys)["score"].agg(["mean", lambda s: s.std(ddof=0)])
    reference.columns = ["mean", "deviation"]
    scores = scores.merge(reference, left_on=keys, right_index=True)
    tied = ~(scores["deviation"] > 1e-12 * np.maximum(scores["mean"].abs(), 1e-12))
    for row in scores[tied].drop_duplicates(keys).itertuples():
        print(f"{row.detector} on {row.fit_set} ({row.aggregator}) gives every {part} clip the same score; dropped")
    scores = scores[~tied].reset_index(drop=True)
    return scores.assign(standardized=(scores["score"] - scores["mean"]) / scores["deviation"])


def decision_threshold(scores, quantile=0.9):
    """Threshold above which a clip is called anomalous.

    The quantile of a gamma distribution fitted by maximum likelihood, its location fixed at min − 0.01·sd; where that
    fails or all scores are tied, the empirical quantile.

    Args:
        scores: (clips,) calibration scores. quantile: 0.9 in the challenge's baseline.

    Returns:
        threshold, "gamma" or "empirical".
    """
    scores = np.asarray(scores, float)
    spread = scores.std()
    if len(scores) < 2 or not spread > 1e-12 * max(abs(scores).max(), 1e-12):
        return float(np.quantile(scores, quantile)), "empirical"
    try:
        shape, location, scale = gamma.fit(scores, floc=scores.min() - 0.01 * spread)
        threshold = gamma.ppf(quantile, shape, location, scale)
    except (ValueError, RuntimeError, FloatingPointError):
        threshold = np.nan
    if not np.isfinite(threshold):
        return float(np.quantile(scores, quantile)), "empirical"
    return float(threshold), "gamma"


def save_detectors(folder, scored, facts):
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


def load_detectors(folder):
    """{(family, fit set): fitted family} as `save_detectors` wrote them."""
    grouped = {}
    with np.load(folder / "detectors.npz") as stored:
        for name in stored.files:
            family, fit_set, key = name.split("|")
            grouped.setdefault((family, fit_set), {})[key] = stored[name]
    return {(family, fit_set): FAMILIES[family].restore(state) for (family, fit_set), state in grouped.items()}
