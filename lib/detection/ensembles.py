"""Rows of Tables 2–4 and their scores (Secs. 4.1, 4.3): average over parameters, detectors, then systems.

Protocols. `all` takes every detector of the paper and never looked at a test label. `top20` takes the twenty that score
best over all machines of the run under the paper rule, as the paper did (Sec. 4.1, "based on the evaluation results"):
optimistic. Beyond the paper, `extended` adds the detectors by the nearest clips (`nearest`) to `all`. A row is
standardised again before rows are averaged into Submitted 1–4 (`systems.SUBMITTED`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import clock
from lib.detection.metrics import RULES, SCORES, intervals, machine_scores, overall
from lib.detection.nearest import EXTENDED
from lib.recordings.dcase import paper_order
from lib.settings import Evaluation
from lib.systems import BASELINES, ENSEMBLES, FUSIONS, SPECTRA, SUBMITTED

PROTOCOLS = ("all", "top20", EXTENDED)
CLIP = ["machine", "system", "seed", "part", "clip", "domain", "label"]


@clock.counts("scoring")
def detector_scores(scores: pd.DataFrame, weighted_machines: Sequence[str], extended: bool = False) -> pd.DataFrame:
    """Standardised scores with each machine's own aggregator, averaged over attribute parameters.

    Args:
        scores: as `collected.collect`. weighted_machines: machines whose aggregator is the weighted mean (Sec. 3.2).
        extended: whether with the detectors that are in protocol `extended` alone.

    Returns:
        DataFrame with the columns `CLIP`, `detector` (e.g. "KNN-1 source", "flow") and `score`.
    """
    chosen = scores if extended else of_the_paper(scores)
    return parameter_means(own_aggregator(chosen, weighted_machines))


def of_the_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of the detectors that protocols `all` and `top20` take."""
    return scores[scores["fit_set"] != EXTENDED]


def parameter_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Standardised scores averaged over attribute parameters, of one aggregator; as `detector_scores` returns."""
    named = (scores["detector"] + " " + scores["fit_set"]).str.rstrip()
    table = scores.assign(detector=named, score=scores["standardized"])
    return complete_mean(table, "parameter", ["machine", "system", "seed", "detector"])


def own_aggregator(scores: pd.DataFrame, weighted_machines: Sequence[str]) -> pd.DataFrame:
    """The rows with each machine's own aggregator: the weighted mean for `weighted_machines`, else the plain mean.

    A baseline and Spectrum have the plain mean alone.
    """
    weighted = scores["machine"].isin(weighted_machines) & ~scores["system"].isin((*BASELINES, *SPECTRA))
    return scores[scores["aggregator"] == np.where(weighted, "weighted", "plain")]


def complete_mean(table: pd.DataFrame, member: str, group: list[str], silent: bool = False) -> pd.DataFrame:
    """Mean `score` over the members of each group, of the clips that all members of the group scored.

    A clip that some member lacks would get a mean of fewer, on another scale; it is left out, with a line.

    Args:
        table: DataFrame with `score`, the columns `group` and `member`, and the clip's `part`, name, domain and label.
        member: column that is averaged over. group: columns within which all clips must have the same members.
        silent: without the line, where the members are known to be calibrated by other clips.

    Returns:
        DataFrame with the columns `CLIP` that `table` has, the other columns of `group`, and `score`.
    """
    keys = list(dict.fromkeys([*(c for c in CLIP if c in group or c in ("part", "clip", "domain", "label")), *group]))
    clips = table.groupby(keys, sort=False)["score"].agg(["mean", "size"])
    clips = clips.rename(columns={"mean": "score"}).reset_index()
    members = table[[*group, member]].drop_duplicates().groupby(group).size().rename("members")
    clips = clips.merge(members, left_on=group, right_index=True, how="left")
    whole = clips["size"] == clips["members"]
    for names, left in () if silent else clips[~whole].groupby(group, sort=False):
        some = ", ".join(sorted(left["clip"])[:3]) + " …" * (len(left) > 3)
        print(f"{', '.join(map(str, names))}: {len(left)} clips not scored for every {member}; left out: {some}")
    return clips.loc[whole, [*keys, "score"]].reset_index(drop=True)


@clock.counts("scoring")
def evaluate_detectors(scores: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """Paper-rule scores of every detector of one trained system, in percent.

    Args:
        scores: as `collected.collect`, of one machine, system and seed. evaluation: `settings.Evaluation`.

    Returns:
        DataFrame with `detector`, `fit_set`, `score` (auc_source, auc_target, pauc, hmean), `value`.
    """
    test = own_aggregator(scores, evaluation.weighted_machines).query("part == 'test' and label != ''")
    rows = []
    for (detector, fit_set), clips in test.groupby(["detector", "fit_set"], sort=False):
        found = machine_scores(clips["score"], clips["domain"], clips["label"], evaluation.max_fpr)["paper"]
        rows += [(detector, fit_set, name, 100 * values[0]) for name, values in found.items()]
    return pd.DataFrame(rows, columns=["detector", "fit_set", "score", "value"])


@clock.counts("scoring")
def system_rows(
    detectors: pd.DataFrame,
    ranking: pd.DataFrame | None = None,
    reference: str = "calibration",
    extended: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Each system's clip scores under every protocol, standardised again.

    Args:
        detectors: as `detector_scores`. ranking: as `rank_detectors`; without one, or an empty one, `all` alone.
        reference: part whose mean and deviation standardise a row, as `scoring.reference_part`.
        extended: as `detector_scores` with what is extended; without it, or where that adds none, no such protocol.

    Returns:
        DataFrame with the columns `CLIP`, `protocol` and `score`.

    Raises:
        ValueError: no clip of the reference part was scored by all detectors of a row.
    """
    chosen = {"all": detectors}
    if ranking is not None and not ranking.empty:
        chosen["top20"] = detectors.merge(ranking.loc[ranking["top20"], ["system", "detector"]])
    if extended is not None and len(extended) > len(detectors):
        chosen[EXTENDED] = extended
    tables = [
        complete_mean(table, "detector", ["machine", "system", "seed"]).assign(protocol=protocol)
        for protocol, table in chosen.items()
    ]
    return _restandardize(pd.concat(tables, ignore_index=True), reference)


@clock.counts("scoring")
def add_submitted(rows: pd.DataFrame, systems: Sequence[str], reference: str = "calibration") -> pd.DataFrame:
    """The rows of the systems and behind them the ensembles: the mean of their rows, standardised again.

    Submitted 1–4, and beyond the paper `systems.FUSIONS`. On a machine where one of them lacks some of its rows (no
    attribute of two values) it is the mean of those it has; `results.cells.Marks` names them.

    Args:
        rows: as `system_rows`. systems: names of the systems that the run was asked for; an ensemble with another one
            is left out. reference: as in `system_rows`.

    Returns:
        DataFrame as `rows`.
    """
    for name, (members, _) in ENSEMBLES.items():
        own = rows[rows["system"].isin(members)]
        if {name, *members} & set(SUBMITTED):  # the paper's, which nothing is added to
            own = own[own["protocol"] != EXTENDED]
        asked = set(own["system"]) if name in FUSIONS else set(systems)
        if set(members) <= asked and len(own):
            mean = complete_mean(own, "system", ["machine", "seed", "protocol"], silent=name in FUSIONS).assign(
                system=name
            )
            rows = pd.concat([rows, _restandardize(mean, reference)[rows.columns]], ignore_index=True)
    return rows


def _restandardize(rows, reference):
    keys = ["machine", "system", "seed", "protocol"]
    calibration = rows[rows["part"] == reference].groupby(keys)["score"].agg(["mean", lambda s: s.std(ddof=0)])
    calibration.columns = ["mean", "deviation"]
    rows = rows.merge(calibration, left_on=keys, right_index=True, how="left")
    if rows["mean"].isna().any():
        machine, system = rows.loc[rows["mean"].isna(), ["machine", "system"]].iloc[0]
        raise ValueError(
            f"{machine}, {system}: no {reference} clip has all the scores that are averaged; score the machine again "
            "with one preset (notebooks 04 and 05)"
        )
    deviation = rows["deviation"].where(rows["deviation"] > 0, 1.0)
    return rows.assign(score=(rows["score"] - rows["mean"]) / deviation).drop(columns=["mean", "deviation"])


def _evaluated(group, max_fpr, resamples, seed):
    """DataFrame with `rule`, `machine`, `score`, `value`, `low`, `high` of one row, protocol and seed."""
    columns = {name: group[name].to_numpy() for name in ("score", "domain", "label")}
    places, scored = group.groupby("machine").indices, {}
    for i, machine in enumerate(paper_order(places)):
        clips = [values[places[machine]] for values in columns.values()]
        scored[machine] = machine_scores(*clips, max_fpr, resamples, seed + i)
    found = []
    for rule in RULES:
        here = {machine: scores[rule] for machine, scores in scored.items()}
        here["overall"] = overall(list(here.values()))
        for name in (*SCORES, "hmean"):
            values = [scores[name] for scores in here.values() if name in scores]
            wide = np.array([np.broadcast_to(each, 1 + resamples) for each in values])
            low, high = intervals(wide).T
            found.append(pd.DataFrame({"rule": rule, "machine": list(here), "score": name, "value": wide[:, 0],
                                       "low": low, "high": high}))  # fmt: skip
    return pd.concat(found)


@clock.counts("scoring")
def evaluate(rows: pd.DataFrame, max_fpr: float = 0.1, resamples: int = 0, seed: int = 0) -> pd.DataFrame:
    """Every score of every row.

    Args:
        rows: as `add_submitted`. max_fpr: p of pAUC. resamples, seed: of the bootstrap.

    Returns:
        DataFrame with `system`, `protocol`, `rule`, `machine` ("overall" for all), `score` (auc_source, auc_target,
        pauc, hmean), `value`, `low`, `high` (95 % interval, mean over seeds), `sd` and `seeds`, in percent.
    """
    labelled = rows[(rows["part"] == "test") & (rows["label"] != "")]
    found, earlier = [], {}
    for (system, protocol, run_seed), group in labelled.groupby(["system", "protocol", "seed"], sort=False):
        scores, known = group["score"].to_numpy(), earlier.get((system, run_seed))
        if known is None or not np.array_equal(known[0], scores):  # with few detectors `top20` is `all`
            known = earlier[system, run_seed] = scores, _evaluated(group, max_fpr, resamples, seed)
        found.append(known[1].assign(system=system, protocol=protocol, seed=run_seed))
    keys, values = ["system", "protocol", "rule", "machine", "score"], ["value", "low", "high"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*keys, "seed", *values])
    table[values] *= 100
    grouped = table.groupby(keys, sort=False)
    means = grouped[values].mean()
    return means.assign(sd=grouped["value"].std(), seeds=grouped["seed"].nunique()).reset_index()
