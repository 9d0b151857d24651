"""A system's row from its detectors (Sec. 4.1): average over parameters, then over detectors, under two protocols.

`all` takes every detector and never looked at a test label. `top20` takes the twenty that score best over all machines
of the run under the paper rule, as the paper did (Sec. 4.1, "based on the evaluation results"): optimistic.
"""

import numpy as np
import pandas as pd

from lib.metrics import SCORES, harmonic_mean, machine_scores
from lib.paths import Run

PROTOCOLS = ("all", "top20")
TOP = 20
CLIP = ["machine", "system", "seed", "part", "clip", "domain", "label"]


def read_scores(run: Run, machines):
    """All clip scores of a run, long form, of these machines (another data root's may lie beside them).

    Raises:
        ValueError: there are none yet.
    """
    files = [file for file in run.scores() if file.relative_to(run.root).parts[0] in machines]
    if not files:
        raise ValueError(
            f"{run.root}: no detector_scores.parquet; run notebooks/05_inlier_fitting.ipynb for a machine first"
        )
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def detector_scores(scores, weighted_machines):
    """Standardised scores with each machine's own aggregator, averaged over attribute parameters.

    Args:
        scores: as `read_scores`. weighted_machines: machines whose aggregator is the weighted mean (Sec. 3.2).

    Returns:
        DataFrame with the columns `CLIP`, `detector` (e.g. "KNN-1 source") and `score`.
    """
    own = own_aggregator(scores, weighted_machines)
    own = own.assign(detector=own["detector"] + " " + own["fit_set"])
    return own.groupby([*CLIP, "detector"], sort=False)["standardized"].mean().rename("score").reset_index()


def own_aggregator(scores, weighted_machines):
    """The rows with each machine's own aggregator: the weighted mean for `weighted_machines`, else the plain mean."""
    aggregator = np.where(scores["machine"].isin(weighted_machines), "weighted", "plain")
    return scores[scores["aggregator"] == aggregator]


def rank_detectors(detectors, max_fpr=0.1):
    """Overall score of each detector of each system under the paper rule, best first.

    Args:
        detectors: as `detector_scores` returns. max_fpr: p of pAUC.

    Returns:
        DataFrame with `system`, `detector`, `overall` (harmonic mean over machines and scores, mean over seeds), of
        the machines with labels of both kinds in both domains and the detectors that every such machine has.
    """
    labelled = detectors[(detectors["part"] == "test") & (detectors["label"] != "")]
    keys, rows = ["system", "detector", "seed", "machine"], []
    for group, clips in labelled.groupby(keys, sort=False):
        found = machine_scores(clips["score"], clips["domain"], clips["label"], max_fpr)["paper"]
        rows.append((*group, *(found[name][0] for name in SCORES)))
    table = pd.DataFrame(rows, columns=[*keys, *SCORES]).dropna()
    machines = table.groupby(["system", "detector", "seed"], sort=False)["machine"]
    table = table[machines.transform("nunique") == table["machine"].nunique()]
    groups = table.groupby(["system", "detector", "seed"], sort=False)[list(SCORES)]
    rows = [(*group, harmonic_mean(values.to_numpy().ravel())) for group, values in groups]
    table = pd.DataFrame(rows, columns=["system", "detector", "seed", "overall"])
    table = table.groupby(["system", "detector"], sort=False)["overall"].mean().reset_index()
    return table.sort_values(["system", "overall", "detector"], ascending=[True, False, True], ignore_index=True)


def evaluate_detectors(scores, evaluation):
    """Paper-rule scores of every detector of one trained system, in percent.

    Args:
        scores: as `read_scores`, of one machine, system and seed. evaluation: `settings.Evaluation`.

    Returns:
        DataFrame with `detector`, `fit_set`, `score` (auc_source, auc_target, pauc, hmean), `value`.
    """
    test = own_aggregator(scores, evaluation.weighted_machines).query("part == 'test' and label != ''")
    rows = []
    for (detector, fit_set), clips in test.groupby(["detector", "fit_set"], sort=False):
        found = machine_scores(clips["score"], clips["domain"], clips["label"], evaluation.max_fpr)["paper"]
        rows += [(detector, fit_set, name, 100 * values[0]) for name, values in found.items()]
    return pd.DataFrame(rows, columns=["detector", "fit_set", "score", "value"])


def system_rows(detectors, ranking=None, reference="calibration"):
    """Each system's clip scores under both protocols, standardised again.

    Args:
        detectors: as `detector_scores`. ranking: as `rank_detectors`; without one, or an empty one, `all` alone.
        reference: part whose mean and deviation standardise a row, as `scoring.reference_part`.

    Returns:
        DataFrame with the columns `CLIP`, `protocol` and `score`.
    """
    tables = []
    for protocol in PROTOCOLS[:1] if ranking is None or ranking.empty else PROTOCOLS:
        chosen = detectors
        if protocol == "top20":
            best = ranking.groupby("system", sort=False).head(TOP)
            chosen = detectors.merge(best[["system", "detector"]])
        rows = chosen.groupby(CLIP, sort=False)["score"].mean().reset_index()
        tables.append(rows.assign(protocol=protocol))
    return _restandardize(pd.concat(tables, ignore_index=True), reference)


def _restandardize(rows, reference):
    keys = ["machine", "system", "seed", "protocol"]
    calibration = rows[rows["part"] == reference].groupby(keys)["score"].agg(["mean", lambda s: s.std(ddof=0)])
    calibration.columns = ["mean", "deviation"]
    rows = rows.merge(calibration, left_on=keys, right_index=True, how="left")
    deviation = rows["deviation"].where(rows["deviation"] > 0, 1.0)
    return rows.assign(score=(rows["score"] - rows["mean"]) / deviation).drop(columns=["mean", "deviation"])
