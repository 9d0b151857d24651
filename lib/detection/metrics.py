"""AUC, pAUC and their harmonic means under both rules, bootstrap intervals, decisions.

Paper rule (Tables 2–4): a domain's AUC compares its normals with its own anomalies. Official rule (the challenge's
evaluator, arXiv:2305.07828): with the anomalies of both domains. pAUC pools both domains and is the same in both.

A machine with one domain has one AUC, and its harmonic mean is of what it has. Where no test clip's name says a domain,
all are one, "source", as training clips without one are.
"""

from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from lib import clock

DOMAINS = ("source", "target")
RULES = ("paper", "official")
SCORES = ("auc_source", "auc_target", "pauc")


def partial_auc(
    normal: ArrayLike,
    anomaly: ArrayLike,
    max_fpr: float = 1.0,
    normal_counts: np.ndarray | None = None,
    anomaly_counts: np.ndarray | None = None,
) -> float | np.ndarray:
    """Area under the ROC curve, McClish-standardised for max_fpr < 1, as sklearn's `roc_auc_score`.

    >>> partial_auc([1, 2, 3, 4], [3, 5])  # of 8 pairs 6 are in order, one is tied
    0.8125
    >>> partial_auc([2, 2], [2, 2], max_fpr=0.1)
    0.5

    Args:
        normal: (n,) scores of normal clips. anomaly: (m,) scores of anomalous clips.
        max_fpr: p, in (0, 1].
        normal_counts, anomaly_counts: (resamples, n) and (resamples, m) how often each clip was drawn.

    Returns:
        (resamples,) areas; a float without counts.

    Raises:
        ValueError: no normal or no anomalous clip.
    """
    if not len(normal) or not len(anomaly):
        raise ValueError(f"AUC needs normal and anomalous clips; found {len(normal)} and {len(anomaly)}")
    single = normal_counts is None
    counts = [np.ones((1, len(normal))), np.ones((1, len(anomaly)))] if single else [normal_counts, anomaly_counts]
    steps = np.unique(normal)[::-1]  # the curve goes to the right at each distinct score of a normal clip
    (left, right), (below, above) = (_rates(*each, steps) for each in zip((normal, anomaly), counts, strict=True))
    width = right - left
    kept = np.clip(max_fpr - left, 0, width)
    share = np.divide(kept, width, out=np.zeros_like(kept), where=width > 0)
    area = (kept * (below + share * (above - below) / 2)).sum(axis=0)
    if max_fpr < 1:
        least = max_fpr**2 / 2
        area = 0.5 * (1 + (area - least) / (max_fpr - least))
    return float(area[0]) if single else area


def _rates(scores, counts, steps):
    """Shares of clips above each step, and at or above it: two (steps, resamples); `steps` fall."""
    falling = -np.asarray(scores)
    order = np.argsort(falling, kind="stable")
    share = np.zeros((1 + len(order), len(counts)))
    np.cumsum(counts.T[order], axis=0, out=share[1:])
    share /= share[-1].copy()
    return tuple(share[np.searchsorted(falling[order], -steps, side)] for side in ("left", "right"))


def one_domain(domain: ArrayLike) -> np.ndarray:
    """The domains (clips,), all "source" where no clip's name says one; a clip without one among others stays "".

    >>> one_domain(["", ""]).tolist(), one_domain(["target", ""]).tolist()
    (['source', 'source'], ['target', ''])
    """
    domain = np.asarray(domain, str)
    return domain if np.any(domain != "") else np.full(domain.shape, "source")


@clock.counts("scoring")
def machine_scores(
    scores: ArrayLike, domain: ArrayLike, label: ArrayLike, max_fpr: float = 0.1, resamples: int = 0, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """AUC source, AUC target and pAUC of one machine, and their harmonic mean, under both rules.

    Args:
        scores: (clips,) larger is more anomalous. domain, label: (clips,) as the index has them.
        max_fpr: p of pAUC. resamples: bootstrap resamples, stratified by domain × label. seed: of the bootstrap.

    Returns:
        {rule: {name: (1 + resamples,) values}} with the names of `SCORES` and "hmean"; entry 0 is the score itself,
        the others its resamples. A domain without both labels is NaN, and "hmean" is of the others; without any
        domain's AUC it is NaN, too. A clip without a domain counts only as `one_domain` says.

    Raises:
        ValueError: a score is not finite.
    """
    scores, domain, label = np.asarray(scores, float), one_domain(domain), np.asarray(label)
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite")
    groups = {(d, a): (domain == d) & (label == a) for d in DOMAINS for a in ("normal", "anomaly")}
    counts = _resample(tuple(group.tobytes() for group in groups.values()), resamples, seed)
    normal, anomaly = ({d: np.flatnonzero(groups[d, a]) for d in DOMAINS} for a in ("normal", "anomaly"))
    every = {a: np.concatenate(list(places.values())) for a, places in (("normal", normal), ("anomaly", anomaly))}
    if len(every["normal"]) and len(every["anomaly"]):
        drawn = (counts[places].T for places in every.values())
        pauc = partial_auc(*(scores[places] for places in every.values()), max_fpr, *drawn)
    else:
        pauc = np.full(1 + resamples, np.nan)
    found = {rule: {"pauc": pauc} for rule in RULES}
    for d in DOMAINS:
        found["paper"][f"auc_{d}"] = _area(scores, normal[d], anomaly[d], counts)
        found["official"][f"auc_{d}"] = _area(scores, normal[d], every["anomaly"], counts)
    for named in found.values():
        named["hmean"] = _mean_of_what_is_there(named)
    return found


def _area(scores, normal, anomaly, counts):
    """(resamples,) AUC: the share of pairs in order, a tied one half, each as often as both its clips were drawn."""
    if not len(normal) or not len(anomaly):
        return np.full(counts.shape[1], np.nan)
    ahead = scores[anomaly][:, None] - scores[normal]  # (anomaly, normal)
    pairs = (0.5 + 0.5 * np.sign(ahead)) @ counts[normal]
    return np.einsum("ar,ar->r", pairs, counts[anomaly]) / (len(normal) * len(anomaly))


def _mean_of_what_is_there(scores):
    """Harmonic mean of those of `SCORES` that a machine has; NaN without an AUC of a domain."""
    there = [name for name in SCORES if not np.isnan(scores[name][0])]
    if set(there) <= {"pauc"}:
        return np.full_like(scores["pauc"], np.nan)
    return harmonic_mean([scores[name] for name in there])


@lru_cache(maxsize=32)  # every row of a machine draws the same
def _resample(groups, resamples, seed):
    """(clips, 1 + resamples) how often each clip is drawn; the first column draws each once.

    Args:
        groups: bytes of a boolean (clips,) for each group that is drawn by itself.
    """
    groups = [np.frombuffer(group, bool) for group in groups]
    rng, counts = np.random.default_rng(seed), np.ones((len(groups[0]), 1 + resamples))
    for group in groups:
        if size := int(group.sum()):
            counts[group, 1:] = rng.multinomial(size, np.full(size, 1 / size), resamples).T
    counts.setflags(write=False)
    return counts


def harmonic_mean(values: ArrayLike) -> np.ndarray | np.floating:
    """Harmonic mean over the first axis, floored at float eps; NaN where a value is NaN.

    >>> float(harmonic_mean([0.5, 1.0]).round(4))
    0.6667
    """
    values = np.maximum(np.asarray(values, float), np.finfo(float).eps)
    return len(values) / (1 / values).sum(axis=0)  # scipy's takes fifty times as long for a few values


def overall(machines: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Harmonic means over machines, of each score and ("hmean") of all of them together.

    Args:
        machines: list of {score: (1 + resamples,) values}, as `machine_scores` has for a rule. A machine with one
            domain adds the two scores that it has; one without an AUC is left out, and shows "–" in the tables.

    Returns:
        {score: (1 + resamples,) values}, NaN for a score that no machine has.
    """
    means = OverallMeans()
    for scores in machines:
        means.add(scores)
    return means.found()


class OverallMeans:
    """`overall` of machines that come one after another, none of which is kept."""

    def __init__(self):
        self._inverse, self._count = {name: 0.0 for name in (*SCORES, "hmean")}, Counter()

    def add(self, scores: dict[str, np.ndarray]) -> None:
        """One of `overall`'s machines."""
        if np.isnan(scores["hmean"][0]):
            return
        for name in SCORES:
            if not np.isnan(scores[name][0]):
                inverse = 1 / np.maximum(scores[name], np.finfo(float).eps)
                for mean in (name, "hmean"):
                    self._inverse[mean] = self._inverse[mean] + inverse
                    self._count[mean] += 1

    def found(self) -> dict[str, np.ndarray]:
        """As `overall` returns."""
        return {
            name: self._count[name] / inverse if self._count[name] else np.array([np.nan])
            for name, inverse in self._inverse.items()
        }


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval (low, high) of an array of `machine_scores`, whose entry 0 is not a resample."""
    return tuple(intervals(resampled[None])[0].tolist())


def intervals(resampled: np.ndarray) -> np.ndarray:
    """(n, 1 + resamples) → (n, 2) as `interval`, NaN where an entry is or where nothing was resampled."""
    if resampled.shape[1] < 2:
        return np.full((len(resampled), 2), np.nan)
    return np.quantile(resampled[:, 1:], (0.025, 0.975), axis=1).T


def decision_scores(decided: ArrayLike, domain: ArrayLike, label: ArrayLike) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of the decisions in each domain.

    Args:
        decided: (clips,) boolean, True for anomalous. domain, label: (clips,).

    Returns:
        {domain: {"precision", "recall", "f1"}}, without a domain that has no clips; 0 where undefined. Clips without a
        domain count as `one_domain` says.
    """
    decided, domain, anomalous = np.asarray(decided, bool), one_domain(domain), np.asarray(label) == "anomaly"
    found = {}
    for name in DOMAINS:
        here = domain == name
        if not here.any():
            continue
        hits = (decided & anomalous & here).sum()
        precision, recall = hits / max((decided & here).sum(), 1), hits / max((anomalous & here).sum(), 1)
        f1 = 2 * precision * recall / max(precision + recall, np.finfo(float).eps)
        found[name] = {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
    return found
