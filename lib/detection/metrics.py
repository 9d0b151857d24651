"""AUC, pAUC and their harmonic means under both rules, bootstrap intervals, decisions.

Paper rule (Tables 2–4): a domain's AUC compares its normals with its own anomalies. Official rule (the challenge's
evaluator, arXiv:2305.07828): with the anomalies of both domains. pAUC pools both domains and is the same in both.
"""

from functools import lru_cache

import numpy as np
from scipy.stats import hmean

RULES = ("paper", "official")
SCORES = ("auc_source", "auc_target", "pauc")


def partial_auc(normal, anomaly, max_fpr=1.0, normal_counts=None, anomaly_counts=None):
    """Area under the ROC curve, McClish-standardised for max_fpr < 1, as sklearn's `roc_auc_score`.

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
    scores = np.concatenate([normal, anomaly])
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # the curve has one point for each distinct score
    false, true = (
        _rates(np.hstack([c if i == j else np.zeros_like(c) for j, c in enumerate(counts)])[:, order], last)
        for i in range(2)
    )
    width, height = np.diff(false), np.diff(true)
    kept = np.clip(max_fpr - false[:, :-1], 0, width)
    share = np.divide(kept, width, out=np.zeros_like(kept), where=width > 0)
    area = (kept * (true[:, :-1] + share * height / 2)).sum(axis=1)
    if max_fpr < 1:
        least = max_fpr**2 / 2
        area = 0.5 * (1 + (area - least) / (max_fpr - least))
    return float(area[0]) if single else area


def _rates(counts, last):
    """Cumulative share of clips above each distinct score, (resamples, distinct scores + 1)."""
    cumulative = np.cumsum(counts, axis=1)[:, last]
    return np.hstack([np.zeros((len(counts), 1)), cumulative / cumulative[:, -1:]])


def machine_scores(scores, domain, label, max_fpr=0.1, resamples=0, seed=0):
    """AUC source, AUC target and pAUC of one machine, and their harmonic mean, under both rules.

    Args:
        scores: (clips,) larger is more anomalous. domain, label: (clips,) as the index has them.
        max_fpr: p of pAUC. resamples: bootstrap resamples, stratified by domain × label. seed: of the bootstrap.

    Returns:
        {rule: {name: (1 + resamples,) values}} with the names of `SCORES` and "hmean"; entry 0 is the score itself,
        the others its resamples. A domain without both labels is NaN.
    """
    scores, domain, label = map(np.asarray, (scores, domain, label))
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite")
    groups = {(d, a): (domain == d) & (label == a) for d in ("source", "target") for a in ("normal", "anomaly")}
    counts = _resample(tuple(group.tobytes() for group in groups.values()), resamples, seed)

    def area(normal, anomaly, p=1.0):
        normal, anomaly = (np.any([groups[g] for g in part], axis=0) for part in (normal, anomaly))
        if not normal.any() or not anomaly.any():
            return np.full(1 + resamples, np.nan)
        return partial_auc(scores[normal], scores[anomaly], p, counts[:, normal], counts[:, anomaly])

    anomalies = [("source", "anomaly"), ("target", "anomaly")]
    pauc = area([("source", "normal"), ("target", "normal")], anomalies, max_fpr)
    found = {}
    for rule in RULES:
        found[rule] = {"pauc": pauc} | {
            f"auc_{d}": area([(d, "normal")], [(d, "anomaly")] if rule == "paper" else anomalies)
            for d in ("source", "target")
        }
        found[rule]["hmean"] = harmonic_mean([found[rule][name] for name in SCORES])
    return found


@lru_cache(maxsize=32)  # every row of a machine draws the same
def _resample(groups, resamples, seed):
    """(1 + resamples, clips) how often each clip is drawn; the first row draws each once.

    Args:
        groups: bytes of a boolean (clips,) for each group that is drawn by itself.
    """
    groups = [np.frombuffer(group, bool) for group in groups]
    rng, counts = np.random.default_rng(seed), np.ones((1 + resamples, len(groups[0])))
    for group in groups:
        if size := int(group.sum()):
            counts[1:, group] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    counts.setflags(write=False)
    return counts


def harmonic_mean(values):
    """Harmonic mean over the first axis, floored at float eps; NaN where a value is NaN."""
    return hmean(np.maximum(np.asarray(values, float), np.finfo(float).eps), axis=0)


def interval(resampled):
    """95 % percentile interval (low, high) of an array of `machine_scores`, whose entry 0 is not a resample."""
    if len(resampled) < 2 or np.isnan(resampled).any():
        return float("nan"), float("nan")
    low, high = np.quantile(resampled[1:], (0.025, 0.975))
    return float(low), float(high)


def decision_scores(decided, domain, label):
    """Precision, recall and F1 of the decisions in each domain.

    Args:
        decided: (clips,) boolean, True for anomalous. domain, label: (clips,).

    Returns:
        {domain: {"precision", "recall", "f1"}}, without a domain that has no clips; 0 where undefined.
    """
    decided, domain, anomalous = np.asarray(decided, bool), np.asarray(domain), np.asarray(label) == "anomaly"
    found = {}
    for name in ("source", "target"):
        here = domain == name
        if not here.any():
            continue
        hits = (decided & anomalous & here).sum()
        precision, recall = hits / max((decided & here).sum(), 1), hits / max((anomalous & here).sum(), 1)
        f1 = 2 * precision * recall / max(precision + recall, np.finfo(float).eps)
        found[name] = {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
    return found
