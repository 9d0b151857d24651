"""Tables 1–4 of a run in the paper's layout, beside the paper's own figures where that is fair.

Table 1 says what each system is. Table 2 is the AUC of the source domain, Table 3 of the target domain, Table 4 the
harmonic mean of AUCs and pAUC; each under both rules and both protocols, in percent, with 95 % bootstrap intervals and,
over several seeds, mean (sd). The paper's systems and ensembles follow the paper rule, its baselines the official one.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from lib.paths import write_text
from lib.recordings.dcase import paper_order
from lib.systems import BASELINES, DEVELOPMENT_MACHINES, ROWS, SUBMITTED, SYSTEMS

TABLES = {2: "auc_source", 3: "auc_target", 4: "hmean"}
CAPTIONS = {
    1: "Summary of the systems. * Serial-OE (Sec. 2) is no row of the paper's table.",
    2: "Evaluation results in the source domain: AUC [%]; hmean is over machines.",
    3: "Evaluation results in the target domain: AUC [%]; hmean is over machines.",
    4: "Harmonic mean of AUC and pAUC [%]; overall is over machines, domains and pAUC.",
}
MADE_OF = "inlier models or systems used for ensemble"  # second column of Tables 2–4
PAPER_FILE = Path(__file__).with_name("paper_tables.csv")
_LOSSES = {  # in the paper's notation (Table 1)
    ("machine",): r"$\mathcal{L}_{\mathrm{machine}}$",
    ("machine", "attribute"): r"$\mathcal{L}_{\mathrm{SerialOE}}$",
    ("machine", "flow"): r"$\mathcal{L}_{\mathrm{machine}} + \lambda_{\mathrm{Flow}}\mathcal{L}_{\mathrm{Flow}}$",
    ("machine", "attribute", "flow"): (
        r"$\mathcal{L}_{\mathrm{SerialOE}} + \lambda_{\mathrm{Flow}}\mathcal{L}_{\mathrm{Flow}}$"
    ),
}
_INVARIANT = {"": "Not applicable", "standard": "Not applied", "invariant": "Applied"}


def summary():
    """Table 1 as a DataFrame of text: each system, its loss, what models domain invariance, and its detectors."""
    return pd.DataFrame(
        {
            "system": f"{system.name}{'' if system.name in paper_tables()[4].index else '*'}",
            "loss function": _LOSSES[system.losses],
            "domain-invariant modeling": _INVARIANT[system.latent],
            "detectors": system.inlier_models,
        }
        for system in SYSTEMS.values()
    )


def paper_tables():
    """The paper's Tables 2–4 as {number: DataFrame indexed by system}."""
    table = pd.read_csv(PAPER_FILE)
    return {number: rows.drop(columns="table").set_index("system") for number, rows in table.groupby("table")}


def beside(number, rule, machines):
    """The paper's values that may stand beside a run's, in percent.

    Args:
        number: 2, 3 or 4. rule: "paper" gives its systems and ensembles, "official" its baselines, each the rule they
            follow. machines: of the run; the overall value needs all seven of the paper and no other.

    Returns:
        DataFrame indexed by system, one column a machine and "overall"; empty without a machine of the paper.
    """
    paper = paper_tables()[number]
    paper = paper[paper.index.isin(BASELINES) == (rule == "official")]
    columns = [m for m in machines if m in paper.columns]
    columns += ["overall"] * (set(machines) == set(DEVELOPMENT_MACHINES))
    return paper[columns] if columns else paper[:0]


def choose(evaluation, number, protocol, rule):
    """The rows of `evaluate` that one of Tables 2–4 shows, and its machines in the paper's order."""
    chosen = evaluation[
        (evaluation["score"] == TABLES[number]) & (evaluation["protocol"] == protocol) & (evaluation["rule"] == rule)
    ]
    return chosen, paper_order(set(chosen["machine"]) - {"overall"})


def gaps(chosen):
    """What is missing behind a cell.

    Args:
        chosen: as `choose`.

    Returns:
        {(row, machine): systems that an ensemble lacks there} and {(row, "overall"): machines that other rows have and
        this one lacks}, each a list in the order of the tables; a seed less than the row has is missing, too.
    """
    seeds = chosen[chosen["value"].notna()].pivot(index="system", columns="machine", values="seeds").fillna(0)
    seeds = seeds.assign(overall=seeds.get("overall", 0))
    found = {}
    for row in seeds.index:
        members = SUBMITTED[row][0] if row in SUBMITTED else ()
        for machine in paper_order(set(seeds.columns) - {"overall"}):
            here = seeds.loc[row, machine]
            lacking = [m for m in members if here and (m not in seeds.index or seeds.loc[m, machine] < here)]
            if lacking:
                found[row, machine] = lacking
            if here < seeds.loc[row, "overall"]:
                found.setdefault((row, "overall"), []).append(machine)
    return found


def layout(evaluation, number, protocol, rule, beside_paper):
    """One of Tables 2–4 in the paper's layout.

    Args:
        evaluation: as `ensembles.evaluate`. number: 2, 3 or 4. protocol, rule: which variant.
        beside_paper: whether to add the paper's row below each, as `beside`.

    Returns:
        DataFrame of text, one row a system, indexed by (system, whose): "ours" or "paper". "–" stands where there is no
        value, † and ‡ where `gaps` has something to say (`caption` says it).
    """
    chosen, machines = choose(evaluation, number, protocol, rule)
    columns, missing = [*machines, "overall"], gaps(chosen)
    paper, rows = beside(number, rule, machines), {}
    values = chosen.set_index(["system", "machine"])[["value", "low", "high", "sd"]].to_dict("split")
    values = dict(zip(values["index"], values["data"], strict=True))
    for system in [s for s in ROWS if s in set(chosen["system"])]:
        words, own = {MADE_OF: made_of(system)}, [m for m in columns if (system, m) in values]
        rows[system, "ours"] = words | {m: format_value(*values[system, m], _mark(system, m, missing)) for m in own}
        if beside_paper and system in paper.index:
            rows[system, "paper"] = words | {m: f"{paper.loc[system, m]:.2f}" for m in paper.columns}
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=[MADE_OF, *columns]).fillna("–")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["system", "whose"])
    return table.rename(columns={"overall": "hmean" if number < 4 else "overall"})


def made_of(row):
    """The paper's words for a row's inlier models or systems; "" for a baseline."""
    return SYSTEMS[row].inlier_models if row in SYSTEMS else SUBMITTED[row][1] if row in SUBMITTED else ""


def _mark(row, machine, missing):
    return ("‡" if machine == "overall" else "†") if (row, machine) in missing else ""


def format_value(value, low, high, sd, mark=""):
    """`54.61 [49.2, 60.1]`, with `(sd)` over seeds where there are several; `mark` behind the value."""
    if np.isnan(value):
        return "–"
    spread = "" if np.isnan(sd) else f" ({sd:.2f})"
    return f"{value:.2f}{mark}{spread}" + ("" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]")


def caption(evaluation, number, protocol, rule):
    """What a table shows, and what its marks mean."""
    chosen, machines = choose(evaluation, number, protocol, rule)
    missing, lacks = gaps(chosen), []
    for machine in machines:
        names = {name for (_, m), names in missing.items() if m == machine for name in names}
        lacks += [f"{machine} has no {', '.join(s for s in ROWS if s in names)}"] if names else []
    few = {}
    for row in [row for row in ROWS if (row, "overall") in missing]:
        few.setdefault(", ".join(missing[row, "overall"]), []).append(row)
    text = f"{CAPTIONS[number]} Detectors: {protocol}; {rule} rule."
    text += f" † mean of the systems that the machine has: {'; '.join(lacks)}." if lacks else ""
    few = [f"without {machines}: {', '.join(rows)}" for machines, rows in few.items()]
    return text + (f" ‡ over fewer machines, {'; '.join(few)}." if few else "")


def page(evaluation, number, protocol, rule, beside_paper):
    """One of Tables 2–4 with its caption in Markdown; arguments as `layout`."""
    table = layout(evaluation, number, protocol, rule, beside_paper).reset_index()
    return f"**Table {number}.** {caption(evaluation, number, protocol, rule)}\n\n{markdown(table)}\n"


def write_tables(evaluation, folder, beside_paper):
    """Write Table 1 and Tables 2–4, every protocol and rule, as CSV, Markdown and LaTeX; returns the written paths."""
    written = {}

    def add(name, table, words):
        written[folder / f"{name}.csv"] = table.to_csv(index=False, lineterminator="\n")
        written[folder / f"{name}.md"] = f"**Table {name[5]}.** {words}\n\n{markdown(table)}\n"
        written[folder / f"{name}.tex"] = latex(table, words)

    add("table1", summary(), CAPTIONS[1])
    for protocol, rule in evaluation[["protocol", "rule"]].drop_duplicates().itertuples(index=False):
        for number in TABLES:
            which = evaluation, number, protocol, rule
            add(f"table{number}_{protocol}_{rule}", layout(*which, beside_paper).reset_index(), caption(*which))
    for path, text in written.items():
        write_text(path, text)
    return list(written)


def markdown(table):
    """A table's text as Markdown; intervals stand below their values, a paper's row without its words."""
    table = _sparse(table).replace({r" \[": "<br>["}, regex=True)
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def latex(table, words):
    """A table's text as LaTeX, laid out as `markdown`; it needs booktabs and, with many columns, graphicx."""
    lines, wide = [], len(table.columns) > 5
    for cells in _sparse(table).itertuples(index=False):
        pairs = [re.fullmatch(r"(.*?)(?: (\[.*\]))?", cell).groups("") for cell in cells]
        lines.append(r"\addlinespace" if wide and lines and cells[0] else "")
        lines += [" & ".join(map(_escape, part)) + r" \\" for part in zip(*pairs, strict=True) if any(part)]
    header = list(_sparse(table).columns)
    return "\n".join([
        r"\begin{table*}", r"\centering", rf"\caption{{{_escape(words)}}}",
        r"\resizebox{\textwidth}{!}{%" if wide else "{%", rf"\begin{{tabular}}{{{'l' * len(header)}}}", r"\toprule",
        " & ".join(map(_escape, header)) + r" \\", r"\midrule", *filter(None, lines),
        r"\bottomrule", r"\end{tabular}}", r"\end{table*}", "",
    ])  # fmt: skip


def _sparse(table):
    """Without the words that a paper's row repeats, and without `whose` where all rows are ours."""
    if "whose" not in table:
        return table
    if (table["whose"] == "ours").all():
        return table.drop(columns="whose")
    paper = table["whose"] == "paper"
    return table.assign(**{name: table[name].mask(paper, "") for name in ("system", MADE_OF)})


def _escape(text):
    if "$" in text:  # a formula
        return text
    signs = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "–": "--", "†": r"$\dagger$", "‡": r"$\ddagger$"}
    return "".join(signs.get(sign, sign) for sign in text)
