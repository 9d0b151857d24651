"""From segment scores to clip scores (Eq. 4), their standardisation by calibration clips, and decisions.

Scores of a flow and of the baselines, which need no further fitting, are made here; GMM and KNN in `detectors`.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import gamma

from lib import clock
from lib.network.embeddings import Embeddings
from lib.settings import Inliers
from lib.systems import BASELINES

AGGREGATORS = ("plain", "weighted")


def clip_scores(segment_scores: ArrayLike, clip: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """Aggregate segment scores into clip scores (the paper's 𝒜, Eq. 4 and Sec. 3.2).

    >>> clip_scores([1, 3, 5], clip=[0, 0, 1]).tolist()
    [2.0, 5.0]
    >>> clip_scores([1, 3, 5], clip=[0, 0, 1], weights=[0.75, 0.25, 1]).tolist()
    [1.5, 5.0]

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


def reference_part(inliers: Inliers) -> str:
    """The part whose mean and deviation standardise scores: "calibration", or "test" where the settings say so."""
    return "test" if inliers.calibration == "test" else "calibration"


def folds_of(clips: pd.DataFrame, count: int) -> pd.Series:
    """The fold, 0 … count − 1, of each clip: even in each domain, by a checksum of its name alone.

    Args:
        clips: with `stem` and `domain`. count: of folds.

    >>> folds_of(pd.DataFrame({"stem": ["a", "b", "c", "d"], "domain": "source"}), 2).value_counts().tolist()
    [2, 2]
    """
    checksums = clips["stem"].map(lambda stem: zlib.crc32(stem.encode()))
    return checksums.groupby(clips["domain"]).rank(method="first").astype(int) % count


@clock.counts("scoring")
def flow_scores(embeddings: Embeddings, inliers: Inliers) -> pd.DataFrame:
    """Clip scores of a flow (Sec. 3): its map's mean over frequency, (weighted) mean over time and segments.

    Calibrated like the other detectors, but a flow cannot be fitted again for each fold: with too few validation clips
    (or `fit_on` "all") its calibration clips are the ones it was trained on.

    Args:
        embeddings: `Embeddings` with score maps, of the train, validation and test clips. inliers: `settings.Inliers`.

    Returns:
        DataFrame as `score_machine`'s scores, detector "flow"; empty when it scores all calibration clips the same.
    """
    everything = inliers.fit_on == "all"
    held = embeddings.part("validation")
    if everything or len(held.clips) < inliers.calibration_minimum:
        held = embeddings.part("train", "validation") if everything else embeddings.part("train")
        print("flow: calibrated on clips that it was trained on, like the detectors of this machine on training clips")
    tables = [flow_clip_scores(embeddings.part("test")).assign(part="test")]
    tables.append(flow_clip_scores(held).assign(part="calibration"))
    return standardize(pd.concat(tables, ignore_index=True), reference_part(inliers))


def of_each(clips: pd.DataFrame, names: pd.DataFrame, scores: Sequence[np.ndarray]) -> pd.DataFrame:
    """The scores of several detectors as one table, made at once: thousands of clips come one by one.

    Args:
        clips: of the index, with `stem`, `domain` and `label`. names: a row a detector. scores: (clips,) of each.

    Returns:
        DataFrame with `clip`, `domain`, `label`, the columns of `names`, and `score`.
    """
    clips = clips[["stem", "domain", "label"]].rename(columns={"stem": "clip"})
    name, clip = (places.ravel() for places in np.indices((len(names), len(clips))))
    parts = (clips.iloc[clip].reset_index(drop=True), names.iloc[name].reset_index(drop=True))
    return pd.concat(parts, axis=1).assign(score=np.concatenate(scores))


def flow_clip_scores(embeddings: Embeddings) -> pd.DataFrame:
    """Clip scores of a flow with both aggregators, not standardised.

    Args:
        embeddings: `Embeddings` with score maps, of the clips to score.

    Returns:
        DataFrame as `detectors.score_clips`, detector "flow".
    """
    columns = embeddings.maps.mean(axis=1)  # (segments, width)
    owner = np.repeat(embeddings.clip, columns.shape[1])
    scores = [clip_scores(columns.ravel(), owner, weights) for weights in (None, embeddings.columns.ravel())]
    names = pd.DataFrame({"detector": "flow", "fit_set": "", "aggregator": AGGREGATORS})
    return of_each(embeddings.clips, names, scores)


@clock.counts("scoring")
def baseline_scores(scores: dict[str, np.ndarray], clips: pd.DataFrame, inliers: Inliers) -> pd.DataFrame:
    """Clip scores of the autoencoder's modes, standardised: the baselines' rows.

    The calibration clips are the training clips, which the autoencoder was fitted on, as in the organisers' code.

    Args:
        scores: {mode: (clips,)} in the order of `systems.BASELINES`, as `autoencoder.Baseline.scores`.
        clips: rows of the bank's index. inliers: `settings.Inliers`.

    Returns:
        DataFrame as `score_machine`'s scores, with `system` and `parameter`; a detector is a mode.

    Raises:
        ValueError: no test clips, or neither mode's scores vary.
    """
    if not (clips["split"] == "test").any():
        raise ValueError("no usable test clips to score; see problems.csv of 01_data_audit")
    table = clips[["stem", "domain", "label"]].rename(columns={"stem": "clip"})
    table = table.assign(fit_set="", aggregator="plain", part=clips["split"].replace("train", "calibration"))
    modes = [
        table.assign(detector=mode, system=system, parameter="all", score=score)
        for system, (mode, score) in zip(BASELINES, scores.items(), strict=True)
    ]
    found = standardize(pd.concat(modes, ignore_index=True), reference_part(inliers))
    if found.empty:
        raise ValueError("both modes score all clips the same; are the clips silent? See problems.csv")
    return found


def usual_map(embeddings: Embeddings) -> np.ndarray:
    """(height, width) mean score map of healthy segments: of held-out clips, or of training clips without any."""
    part = embeddings.clips["part"].to_numpy()[embeddings.clip]
    return embeddings.maps[part == ("validation" if "validation" in part else "train")].mean(axis=0)


def clip_map(maps: np.ndarray, starts: ArrayLike, segment: int, length: int) -> np.ndarray:
    """One score map of a clip from the maps of its overlapping segments, averaged where they overlap.

    Args:
        maps: (segments, height, width) as `Embeddings.maps` of the clip. starts: (segments,) first samples, as
            `frontend.segment_starts`. segment, length: samples of a segment and of the clip.

    Returns:
        (height, columns) nats, with columns of about segment / width samples each.
    """
    height, width = maps.shape[1:]
    columns = max(1, round(width * length / segment))
    centres = (np.arange(columns) + 0.5) * length / columns
    total, heard = np.zeros((height, columns)), np.zeros(columns)
    for score, start in zip(maps, starts, strict=True):
        inside = (centres >= start) & (centres < start + segment)
        total[:, inside] += score[:, ((centres[inside] - start) * width // segment).astype(int)]
        heard += inside
    return total / heard


def standardize(scores: pd.DataFrame, part: str) -> pd.DataFrame:
    """Add `mean`, `deviation` (over the clips of `part`) and `standardized` to each detector's rows.

    A detector whose scores there do not vary, that could not score all of those clips, or whose scores are not finite,
    is dropped with a line.

    >>> clips = {"part": ["calibration", "calibration", "test"], "clip": ["a", "b", "c"], "score": [1.0, 3.0, 5.0]}
    >>> known = pd.DataFrame(clips).assign(detector="KNN-1", fit_set="source", aggregator="plain")
    >>> standardize(known, "calibration")["standardized"].tolist()
    [-1.0, 1.0, 3.0]
    """
    keys = ["detector", "fit_set", "aggregator"]
    groups = scores[scores["part"] == part].groupby(keys)["score"]
    reference = pd.DataFrame({"mean": groups.mean(), "deviation": groups.std(ddof=0), "clips": groups.size()})
    reference["finite"] = np.isfinite(scores["score"]).groupby([scores[key] for key in keys]).all()
    scores = scores.merge(reference, left_on=keys, right_index=True, how="left")
    varies = scores["deviation"] > 1e-12 * np.maximum(scores["mean"].abs(), 1e-12)
    whole = scores["clips"] == scores.loc[scores["part"] == part, "clip"].nunique()
    finite = scores["finite"].eq(True)
    for wrong, reason in (
        (~whole, f"could not score all {part} clips"),
        (whole & ~finite, "gives scores that are not finite; is the fit set silent or far too small?"),
        (whole & finite & ~varies, f"scores all {part} clips the same"),
    ):
        for row in scores[wrong].drop_duplicates(keys).itertuples():
            print(f"{row.detector} on {row.fit_set} ({row.aggregator}) {reason}; dropped")
    scores = scores[whole & finite & varies].drop(columns=["clips", "finite"]).reset_index(drop=True)
    return scores.assign(standardized=(scores["score"] - scores["mean"]) / scores["deviation"])


def decision_threshold(scores: ArrayLike, quantile: float = 0.9) -> tuple[float, str]:
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
