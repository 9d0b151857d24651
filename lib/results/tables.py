"""Tables 1–4 of a run in the paper's layout, beside the paper's own figures where that is fair.

Table 1 says what each system is. Table 2 is the AUC of the source domain, Table 3 of the target domain, Table 4 the
harmonic mean of AUCs and pAUC; each under both rules and both protocols, in percent, with 95 % bootstrap intervals and,
over several seeds, mean (sd). The paper's systems and ensembles follow the paper rule, its baselines the official one.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lib import clock
from lib.paths import write_text
from lib.results.cells import TABLES, Marks, choose
from lib.results.tables_text import MADE_OF, latex, markdown
from lib.systems import BASELINES, DEVELOPMENT_MACHINES, ENSEMBLES, EXTRACTORS, ROWS, SPECTRA, SYSTEMS

CAPTIONS = {
    1: "Summary of the systems. * Serial-OE (Sec. 2) is no row of the paper's table.",
    2: "Evaluation results in the source domain: AUC [%]; hmean is over machines.",
    3: "Evaluation results in the target domain: AUC [%]; hmean is over machines.",
    4: "Harmonic mean of AUC and pAUC [%]; overall is over machines, domains and pAUC.",
}
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


def summary() -> pd.DataFrame:
    """Table 1 as a DataFrame of text: each system, its loss, what models domain invariance, and its detectors."""
    return pd.DataFrame(
        {
            "system": f"{system.name}{'' if system.name in paper_tables()[4].index else '*'}",
            "loss function": _LOSSES.get(system.losses) or _sum_of(system.losses),
            "domain-invariant modeling": _INVARIANT[system.latent],
            "detectors": system.inlier_models,
        }
        for system in SYSTEMS.values()
    )


def _sum_of(terms):
    """The loss of a system that is none of the paper's."""
    return " + ".join(rf"$\mathcal{{L}}_{{\mathrm{{{name}}}}}$" for name in terms)


def paper_tables() -> dict[int, pd.DataFrame]:
    """The paper's Tables 2–4 as {number: DataFrame indexed by system}."""
    table = pd.read_csv(PAPER_FILE)
    return {number: rows.drop(columns="table").set_index("system") for number, rows in table.groupby("table")}


def beside(number: int, rule: str, machines: Iterable[str]) -> pd.DataFrame:
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


def layout(
    evaluation: pd.DataFrame,
    number: int,
    protocol: str,
    rule: str,
    beside_paper: bool,
    left_out: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One of Tables 2–4 in the paper's layout.

    Args:
        evaluation: as `ensembles.evaluate`. number: 2, 3 or 4. protocol, rule: which variant.
        beside_paper: whether to add the paper's row below each, as `beside`. left_out: as `collected.Collected` has it.

    Returns:
        DataFrame of text, one row a system, indexed by (system, whose): "ours" or "paper". "–" stands where there is no
        value, and behind a cell what `cells.Marks` has to say (`caption` says it).
    """
    chosen, machines = choose(evaluation, number, protocol, rule)
    columns, marks = [*machines, "overall"], Marks.of(evaluation, number, protocol, rule, left_out)
    paper, rows = beside(number, rule, machines), {}
    values = chosen.set_index(["system", "machine"])[["value", "low", "high", "sd"]].to_dict("split")
    values = dict(zip(values["index"], values["data"], strict=True))
    for system in [s for s in ROWS if s in set(chosen["system"])]:
        words = {MADE_OF: made_of(system)}
        rows[system, "ours"] = words | {
            m: format_value(*values.get((system, m), [np.nan] * 4), marks.of_cell(system, m)) for m in columns
        }
        if beside_paper and system in paper.index:
            rows[system, "paper"] = words | {m: f"{paper.loc[system, m]:.2f}" for m in paper.columns}
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=[MADE_OF, *columns]).fillna("–")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["system", "whose"])
    return table.rename(columns={"overall": "hmean" if number < 4 else "overall"})


def made_of(row: str) -> str:
    """The words for a row's inlier models or systems, the paper's where it has them; "" for a baseline."""
    if row in EXTRACTORS:
        return EXTRACTORS[row].inlier_models
    return ENSEMBLES[row][1] if row in ENSEMBLES else "nearest training clip" if row in SPECTRA else ""


def format_value(value: float, low: float, high: float, sd: float, mark: str = "") -> str:
    """A cell's text: the value, `(sd)` over seeds where there are several, the interval; `mark` behind the value.

    >>> format_value(54.61, 49.2, 60.1, 1.5, "†"), format_value(float("nan"), 0, 0, 0, "§")
    ('54.61† (1.50) [49.2, 60.1]', '–§')
    """
    if np.isnan(value):
        return f"–{mark}"
    spread = "" if np.isnan(sd) else f" ({sd:.2f})"
    return f"{value:.2f}{mark}{spread}" + ("" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]")


def caption(
    evaluation: pd.DataFrame, number: int, protocol: str, rule: str, left_out: pd.DataFrame | None = None
) -> str:
    """What a table shows, and what its marks mean."""
    marks = Marks.of(evaluation, number, protocol, rule, left_out)
    return f"{CAPTIONS[number]} Detectors: {protocol}; {rule} rule.{marks.words()}"


@clock.counts("scoring")
def page(
    evaluation: pd.DataFrame,
    number: int,
    protocol: str,
    rule: str,
    beside_paper: bool,
    left_out: pd.DataFrame | None = None,
) -> str:
    """One of Tables 2–4 with its caption in Markdown; arguments as `layout`."""
    table = layout(evaluation, number, protocol, rule, beside_paper, left_out).reset_index()
    return f"**Table {number}.** {caption(evaluation, number, protocol, rule, left_out)}\n\n{markdown(table)}\n"


@clock.counts("writing")
def write_tables(
    evaluation: pd.DataFrame, folder: Path, beside_paper: bool, left_out: pd.DataFrame | None = None
) -> list[Path]:
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
            table, words = layout(*which, beside_paper, left_out), caption(*which, left_out)
            add(f"table{number}_{protocol}_{rule}", table.reset_index(), words)
    for path, text in written.items():
        write_text(path, text)
    return list(written)
