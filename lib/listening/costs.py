"""What a threshold would have cost on labelled clips."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

MINUTES = 24 * 60  # of a day, a clip each


def costs(test: pd.DataFrame, threshold: float, thresholds: Sequence[float] = ()) -> pd.DataFrame:
    """Precision, recall and false alarms of some thresholds.

    Args:
        test: labelled clips, with `label` and `score`. threshold: the one that is set.
        thresholds: some; without them the one that is set and twenty along the scores.

    Returns:
        DataFrame with `threshold`, `precision`, `recall`, and `false_alarms_a_day` at a clip a minute; empty where
        no clip is there.
    """
    anomalous, score = (test["label"] == "anomaly").to_numpy(), test["score"].to_numpy()
    if not len(thresholds) and len(score):
        thresholds = np.unique([threshold, *np.quantile(score, np.linspace(0, 0.95, 20))])
    rows = []
    for value in thresholds if len(score) else ():
        called = score > value
        right = (called & anomalous).sum()
        rows.append({
            "threshold": value,
            "precision": right / called.sum() if called.any() else np.nan,
            "recall": right / anomalous.sum() if anomalous.any() else np.nan,
            "false_alarms_a_day": MINUTES * called[~anomalous].mean() if (~anomalous).any() else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["threshold", "precision", "recall", "false_alarms_a_day"])
