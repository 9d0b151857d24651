"""Rows of Tables 2–4 and their scores (Secs. 4.1, 4.3): average over parameters, detectors, then systems.

Two protocols. `all` takes every detector and never looked at a test label. `top20` takes the twenty that score best
over all machines of the run under the paper rule, as the paper did (Sec. 4.1, "based on the evaluation results"):
optimistic. A row is standardised again before rows are averaged into Submitted 1–4 (`systems.SUBMITTED`).
"""

import numpy as np
import pandas as pd

from lib.detection.metrics import RULES, SCORES, harmonic_mean, interval, machine_scores
from lib.paths import Run, readable
from lib.recordings.dcase import paper_order
from lib.systems import BASELINES, ROWS, SUBMITTED, SYSTEMS

PROTOCOLS = ("all", "top20")
TOP = 20
CLIP = ["machine", "system", "seed", "part", "clip", "domain", "label"]


def read_scores(run: Run, machines, systems=ROWS, seeds=()):
    """Clip scores of a run, long form.

    Table 1 decides what counts: the flow of OE-DFlow scores clips, too, but its row is of GMM and KNN alone.

    Args:
        run: its folder may hold more than is asked for, of earlier settings or another data root.
        machines, systems: names that are read. seeds: numbers that are read; none reads all.

    Raises:
        ValueError: there are none yet.
    """
    files = [file for file in run.scores() if file.relative_to(run.root).parts[0] in machines]
    if not files:
        raise ValueError(
            f"{run.root}: no scores.parquet, flow_scores.parquet or detector_scores.parquet; run a machine's training "
            "and notebooks/05_inlier_fitting.ipynb first"
        )
    tables = []
    for file in files:
        with readable(file, "delete it and run the notebook that wrote it (02, 04 or 05) again"):
            tables.append(pd.read_parquet(file))
    scores = pd.concat(tables, ignore_index=True)
    flow_counts = [name for name, system in SYSTEMS.items() if "flow" in system.detectors]
    counts = (scores["detector"] != "flow") | scores["system"].isin(flow_counts)
    asked = scores["system"].isin(systems) & (scores["seed"].isin(seeds) if len(seeds) else True)
    if lacking := sorted(set(seeds) - set(scores["seed"])):
        print(f"no scores of seed {', '.join(map(str, lacking))}")
    if not (counts & asked).any():
        held = ", ".join(scores.loc[counts, "system"].unique()) or "nothing but flow scores of OE-DFlow"
        raise ValueError(
            f"{run.root}: no scores of {', '.join(systems)}; it holds {held}. Run their notebooks (02 to 05) first"
        )
    return scores[counts & asked].reset_index(drop=True)


def detector_scores(scores, weighted_machines):
    """Standardised scores with each machine's own aggregator, averaged over attribute parameters.

    Args:
        scores: as `read_scores`. weighted_machines: machines whose aggregator is the weighted mean (Sec. 3.2).

    Returns:
        DataFrame with the columns `CLIP`, `detector` (e.g. "KNN-1 source", "flow") and `score`.
    """
    return parameter_means(own_aggregator(scores, weighted_machines))


def parameter_means(scores):
    """Standardised scores averaged over attribute parameters, of one aggregator; as `detector_scores` returns."""
    named = (scores["detector"] + " " + scores["fit_set"]).str.rstrip()
    table = scores.assign(detector=named, score=scores["standardized"])
    return complete_mean(table, "parameter", ["machine", "system", "seed", "detector"])


def own_aggregator(scores, weighted_machines):
    """The rows with each machine's own aggregator: the weighted mean for `weighted_machines`, else the plain mean.

    A baseline has the plain mean alone.
    """
    weighted = scores["machine"].isin(weighted_machines) & ~scores["system"].isin(BASELINES)
    return scores[scores["aggregator"] == np.where(weighted, "weighted", "plain")]


def complete_mean(table, member, group):
    """Mean `score` over the members of each group, of the clips that all members of the group scored.

    A clip that some member lacks would get a mean of fewer, on another scale; it is left out, with a line.

    Args:
        table: DataFrame with `score`, the columns `group` and `member`, and the clip's `part`, name, domain and label.
        member: column that is averaged over. group: columns within which all clips must have the same members.

    Returns:
        DataFrame with the columns `CLIP` that `table` has, the other columns of `group`, and `score`.
    """
    keys = list(dict.fromkeys([*(c for c in CLIP if c in group or c in ("part", "clip", "domain", "label")), *group]))
    clips = table.groupby(keys, sort=False)["score"].agg(["mean", "size"])
    clips = clips.rename(columns={"mean": "score"}).reset_index()
    members = table[[*group, member]].drop_duplicates().groupby(group).size().rename("members")
    clips = clips.merge(members, left_on=group, right_index=True, how="left")
    whole = clips["size"] == clips["members"]
    for names, left in clips[~whole].groupby(group, sort=False):
        some = ", ".join(sorted(left["clip"])[:3]) + " …" * (len(left) > 3)
        print(f"{', '.join(map(str, names))}: {len(left)} clips not scored for every {member}; left out: {some}")
    return clips.loc[whole, [*keys, "score"]].reset_index(drop=True)


def rank_detectors(detectors, max_fpr=0.1):
    """Overall score of each detector of each system under the paper rule, best first, and which are in `top20`.

    Args:
        detectors: as `detector_scores` returns. max_fpr: p of pAUC.

    Returns:
        DataFrame with `system`, `detector`, `overall` (harmonic mean over machines and scores, mean over seeds) and
        `top20`. Machines count that have labels of both kinds in both domains; a detector that some such machine of
        its system lacks comes last, with NaN. A system of no more than `TOP` detectors takes all. Empty without labels.
    """
    labelled = detectors[(detectors["part"] == "test") & (detectors["label"] != "")]
    keys, rows = ["system", "detector", "seed", "machine"], []
    for group, clips in labelled.groupby(keys, sort=False):
        found = machine_scores(clips["score"], clips["domain"], clips["label"], max_fpr)["paper"]
        rows.append((*group, *(found[name][0] for name in SCORES)))
    table = pd.DataFrame(rows, columns=[*keys, *SCORES]).dropna()
    machines = table.groupby(["system", "detector", "seed"], sort=False)["machine"].transform("nunique")
    table = table[machines == table.groupby(["system", "seed"])["machine"].transform("nunique")]
    groups = table.groupby(["system", "detector", "seed"], sort=False)[list(SCORES)]
    rows = [(*group, harmonic_mean(values.to_numpy().ravel())) for group, values in groups]
    table = pd.DataFrame(rows, columns=["system", "detector", "seed", "overall"])
    overall = table.groupby(["system", "detector"], sort=False)["overall"].mean().reset_index()
    if overall.empty:
        return overall.assign(top20=False)
    table = detectors[["system", "detector"]].drop_duplicates().merge(overall, how="left")
    table = table.assign(order=table["system"].map(ROWS.index))
    table = table.sort_values(["order", "overall", "detector"], ascending=[True, False, True], ignore_index=True)
    systems = table.groupby("system")
    top = (systems.cumcount() < TOP) & table["overall"].notna() | (systems["detector"].transform("size") <= TOP)
    return table.drop(columns="order").assign(top20=top)


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

    Raises:
        ValueError: no clip of the reference part was scored by all detectors of a row.
    """
    tables = []
    for protocol in PROTOCOLS[:1] if ranking is None or ranking.empty else PROTOCOLS:
        chosen = detectors
        if protocol == "top20":
            chosen = detectors.merge(ranking.loc[ranking["top20"], ["system", "detector"]])
        tables.append(complete_mean(chosen, "detector", ["machine", "system", "seed"]).assign(protocol=protocol))
    return _restandardize(pd.concat(tables, ignore_index=True), reference)


def add_submitted(rows, systems, reference="calibration"):
    """The rows of the systems and behind them Submitted 1–4: the mean of their systems' rows, standardised again.

    On a machine where a row of `systems.SUBMITTED` lacks some of its systems (no attribute of two values) it is the
    mean of those it has; `tables.gaps` names them.

    Args:
        rows: as `system_rows`. systems: names of the systems that the run was asked for; an ensemble with another one
            is left out. reference: as in `system_rows`.

    Returns:
        DataFrame as `rows`.
    """
    ensembles = []
    for name, (members, _) in SUBMITTED.items():
        own = rows[rows["system"].isin(members)]
        if set(members) <= set(systems) and len(own):
            ensembles.append(complete_mean(own, "system", ["machine", "seed", "protocol"]).assign(system=name))
    if not ensembles:
        return rows
    submitted = _restandardize(pd.concat(ensembles, ignore_index=True), reference)
    return pd.concat([rows, submitted[rows.columns]], ignore_index=True)


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


def evaluate(rows, max_fpr=0.1, resamples=0, seed=0):
    """Every score of every row.

    Args:
        rows: as `add_submitted`. max_fpr: p of pAUC. resamples, seed: of the bootstrap.

    Returns:
        DataFrame with `system`, `protocol`, `rule`, `machine` ("overall" for all), `score` (auc_source, auc_target,
        pauc, hmean), `value`, `low`, `high` (95 % interval, mean over seeds), `sd` and `seeds`, in percent.
    """
    labelled = rows[(rows["part"] == "test") & (rows["label"] != "")]
    found = []
    for (system, protocol, run_seed), group in labelled.groupby(["system", "protocol", "seed"], sort=False):
        scored = {}
        for i, machine in enumerate(paper_order(group["machine"])):
            clips = group[group["machine"] == machine]
            scored[machine] = machine_scores(
                clips["score"], clips["domain"], clips["label"], max_fpr, resamples, seed + i
            )
        for rule in RULES:
            here = {machine: scores[rule] for machine, scores in scored.items()} | {
                "overall": overall([scores[rule] for scores in scored.values()])
            }
            for machine, scores in here.items():
                for name, values in scores.items():
                    low, high = interval(values)
                    found.append((system, protocol, rule, machine, name, run_seed, values[0], low, high))
    table = pd.DataFrame(
        found, columns=["system", "protocol", "rule", "machine", "score", "seed", "value", "low", "high"]
    )
    table[["value", "low", "high"]] *= 100
    keys = ["system", "protocol", "rule", "machine", "score"]
    grouped = table.groupby(keys, sort=False)
    means = grouped[["value", "low", "high"]].mean()
    return means.assign(sd=grouped["value"].std(), seeds=grouped["seed"].nunique()).reset_index()


def overall(machines):
    """Harmonic means over machines, of each score and ("hmean") of all three together.

    Args:
        machines: list of {score: (1 + resamples,) values}, as `machine_scores` has for a rule. A machine that lacks a
            label in a domain, and so a score, is left out; in the tables it shows "–".

    Returns:
        {score: (1 + resamples,) values}, NaN without a machine.
    """
    machines = [scores for scores in machines if not np.isnan(scores["hmean"][0])]
    if not machines:
        return {name: np.array([np.nan]) for name in (*SCORES, "hmean")}
    means = {name: harmonic_mean([m[name] for m in machines]) for name in SCORES}
    return means | {"hmean": harmonic_mean([m[name] for m in machines for name in SCORES])}
