"""Tables 2–4 of a run in the paper's layout, beside the paper's own figures where that is fair.

Table 2 is the AUC of the source domain, Table 3 of the target domain, Table 4 the harmonic mean of AUCs and pAUC; each
under both rules and both protocols, in percent, with 95 % bootstrap intervals and, over several seeds, mean (sd).
The paper's rows of its systems follow the paper rule.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lib import ensembles, metrics
from lib.dcase import DEVELOPMENT_MACHINES, paper_order
from lib.paths import write_text
from lib.scoring import decision_threshold
from lib.systems import SYSTEMS

TABLES = {2: "auc_source", 3: "auc_target", 4: "hmean"}
CAPTIONS = {
    2: "Evaluation results in the source domain: AUC [%]; hmean is over machines.",
    3: "Evaluation results in the target domain: AUC [%]; hmean is over machines.",
    4: "Harmonic mean of AUC and pAUC [%]; overall is over machines, domains and pAUC.",
}
PAPER_FILE = Path(__file__).with_name("paper_tables.csv")


def evaluate(rows, max_fpr=0.1, resamples=0, seed=0):
    """Every score of every row.

    Args:
        rows: as `ensembles.system_rows`. max_fpr: p of pAUC. resamples, seed: of the bootstrap.

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
            scored[machine] = metrics.machine_scores(
                clips["score"], clips["domain"], clips["label"], max_fpr, resamples, seed + i
            )
        for rule in metrics.RULES:
            here = {machine: scores[rule] for machine, scores in scored.items()} | {"overall": _overall(scored, rule)}
            for machine, scores in here.items():
                for name, values in scores.items():
                    low, high = metrics.interval(values)
                    found.append((system, protocol, rule, machine, name, run_seed, values[0], low, high))
    table = pd.DataFrame(
        found, columns=["system", "protocol", "rule", "machine", "score", "seed", "value", "low", "high"]
    )
    table[["value", "low", "high"]] *= 100
    keys = ["system", "protocol", "rule", "machine", "score"]
    grouped = table.groupby(keys, sort=False)
    means = grouped[["value", "low", "high"]].mean()
    return means.assign(sd=grouped["value"].std(), seeds=grouped["seed"].nunique()).reset_index()


def _overall(scored, rule):
    """Harmonic means over machines, of each score and ("hmean") of all three together.

    A machine that lacks a label in a domain, and so a score, is left out; in the tables it shows "–".
    """
    machines = [scores[rule] for scores in scored.values() if not np.isnan(scores[rule]["hmean"][0])]
    if not machines:
        return {name: np.array([np.nan]) for name in (*metrics.SCORES, "hmean")}
    overall = {name: metrics.harmonic_mean([m[name] for m in machines]) for name in metrics.SCORES}
    return overall | {"hmean": metrics.harmonic_mean([m[name] for m in machines for name in metrics.SCORES])}


def paper_tables():
    """The paper's Tables 2–4 as {number: DataFrame indexed by system}."""
    table = pd.read_csv(PAPER_FILE)
    return {number: rows.drop(columns="table").set_index("system") for number, rows in table.groupby("table")}


def layout(evaluation, number, protocol, rule, beside_paper):
    """One of Tables 2–4 in the paper's layout.

    Args:
        evaluation: as `evaluate`. number: 2, 3 or 4. protocol, rule: which variant.
        beside_paper: whether to add the paper's row of each system, for the machines of the run; its systems follow
            the paper rule, so they stand in no table of the official rule.

    Returns:
        DataFrame of text, one row a system, indexed by (system, whose): "ours" or "paper".
    """
    chosen = evaluation[
        (evaluation["score"] == TABLES[number]) & (evaluation["protocol"] == protocol) & (evaluation["rule"] == rule)
    ]
    machines = [*paper_order(set(chosen["machine"]) - {"overall"}), "overall"]
    paper, rows = paper_tables()[number], {}
    for system in [s for s in SYSTEMS if s in set(chosen["system"])]:
        own = chosen[chosen["system"] == system].set_index("machine")
        inlier_models = SYSTEMS[system].inlier_models
        rows[(system, "ours")] = {"inlier models": inlier_models} | {
            m: format_value(*own.loc[m, ["value", "low", "high", "sd"]]) if m in own.index else "–" for m in machines
        }
        if beside_paper and rule == "paper" and system in paper.index:
            whole = set(machines) == {*DEVELOPMENT_MACHINES, "overall"}
            shown = [m for m in machines if m in paper.columns and (whole or m != "overall")]
            rows[(system, "paper")] = {"inlier models": inlier_models} | {
                m: f"{paper.loc[system, m]:.2f}" for m in shown
            }
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["system", "whose"])
    return table.rename(columns={"overall": "hmean" if number < 4 else "overall"})


def format_value(value, low, high, sd):
    """`54.61 [49.2, 60.1]`, with `(sd)` over seeds where there are several."""
    if np.isnan(value):
        return "–"
    spread = "" if np.isnan(sd) else f" ({sd:.2f})"
    return f"{value:.2f}{spread}" + ("" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]")


def write_tables(evaluation, folder, beside_paper):
    """Write Tables 2–4, every protocol and rule, as CSV, Markdown and LaTeX; returns the written paths."""
    written = []
    for number in TABLES:
        for protocol in ensembles.PROTOCOLS:
            for rule in metrics.RULES:
                if not ((evaluation["protocol"] == protocol) & (evaluation["rule"] == rule)).any():
                    continue
                table = layout(evaluation, number, protocol, rule, beside_paper)
                caption = f"{CAPTIONS[number]} Detectors: {protocol}; {rule} rule."
                stem = folder / f"table{number}_{protocol}_{rule}"
                flat = table.reset_index()
                write_text(stem.with_suffix(".csv"), flat.to_csv(index=False, lineterminator="\n"))
                write_text(stem.with_suffix(".md"), f"Table {number}: {caption}\n\n{markdown(flat)}\n")
                write_text(stem.with_suffix(".tex"), _latex(flat, caption))
                written += [stem.with_suffix(suffix) for suffix in (".csv", ".md", ".tex")]
    return written


def markdown(table):
    """A DataFrame of text as a Markdown table."""
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _latex(table, caption):
    table = table.replace("–", "--", regex=False)
    return table.to_latex(index=False, escape=True, caption=caption.replace("%", r"\%"))


def decisions(rows, quantile):
    """Threshold and decisions of each system and machine (protocol `all`), and their quality where labels are known.

    Args:
        rows: as `ensembles.system_rows`. quantile: of `scoring.decision_threshold`.

    Returns:
        DataFrame with `system`, `machine`, `seed`, `threshold`, `fit` (gamma or empirical), `domain`, `precision`,
        `recall`, `f1`, in shares of 1.
    """
    found = []
    for (system, machine, seed), clips in rows[rows["protocol"] == "all"].groupby(
        ["system", "machine", "seed"], sort=False
    ):
        threshold, fit = decision_threshold(clips.loc[clips["part"] == "calibration", "score"], quantile)
        test = clips[(clips["part"] == "test") & (clips["label"] != "")]
        quality = metrics.decision_scores(test["score"] > threshold, test["domain"], test["label"])
        facts = {"system": system, "machine": machine, "seed": seed, "threshold": threshold, "fit": fit}
        found += [facts | {"domain": domain} | scores for domain, scores in quality.items()] or [facts]
    return pd.DataFrame(found)
