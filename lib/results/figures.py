"""Every figure of a finished run as PDF and PNG for print: python -m lib.results.figures outputs/demo (`make figures`).

From the run's tables alone, nothing is computed anew: Tables 2–4 of every protocol and rule at page width; Table 4's
overall column by both rules, score against training time, and the score distributions of the best rows. The same
tables give the same bytes.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.paths import Run, readable
from lib.results import page, plots, plots_tables, tables
from lib.results.plots import COLUMN, INK, laid_out
from lib.systems import ROWS

RULES = {"paper": ("paper rule", "#111111", "#111111"), "official": ("official rule", INK["target"], "none")}


@laid_out
def overall_figure(evaluation: pd.DataFrame, protocol: str = "all") -> Figure:
    """Table 4's last column at column width: a line a row, both rules with their 95 % intervals.

    Args:
        evaluation: as `ensembles.evaluate`.
    """
    chosen = evaluation.query("protocol == @protocol and score == 'hmean' and machine == 'overall'")
    rows = [row for row in ROWS if row in set(chosen["system"])]
    figure, axis = plt.subplots(figsize=(COLUMN, 0.6 + 0.15 * len(rows)))
    for rule, (_, ink, fill) in RULES.items():
        for row in chosen[(chosen["rule"] == rule) & chosen["value"].notna()].itertuples():
            height = rows.index(row.system) + (-0.16 if rule == "paper" else 0.16)
            axis.plot([row.low, row.high], [height, height], color=ink, lw=0.8)
            axis.plot(row.value, height, "o", mfc=fill, mec=ink, mew=0.8, ms=3)
    axis.axvline(50, color="#999999", lw=0.8, ls=":", zorder=0)
    axis.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6))
    axis.set_xlabel("harmonic mean of AUCs and pAUC [%]")
    axis.tick_params(axis="y", length=0, labelsize=7)
    handles = [
        plt.Line2D([], [], marker="o", color=ink, mfc=fill, ms=3, label=word) for word, ink, fill in RULES.values()
    ]
    figure.legend(handles=handles, frameon=False, ncols=2, loc="outside upper center")
    sns.despine(figure, left=True)
    return figure


def figures_of(run: Run) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of a finished run; one is open at a time.

    Raises:
        ValueError: the run has no tables, or its test clips no labels.
    """
    again = "run 06_ensemble_and_tables again"
    with readable(run.tables / "evaluation.csv", again):
        evaluation = pd.read_csv(run.tables / "evaluation.csv")
    if evaluation.empty:
        raise ValueError(f"{run.tables / 'evaluation.csv'}: the test clips have no labels, so there is nothing to draw")
    with readable(run.tables / "left_out.csv", again):
        left_out = pd.read_csv(run.tables / "left_out.csv", keep_default_na=False)
    measured = page.Measured(run)
    beside_paper = not measured.facts["synthetic"]
    for protocol in evaluation["protocol"].unique():
        for rule, number in ((rule, number) for rule in RULES for number in tables.TABLES):
            given = (evaluation, number, protocol, rule, beside_paper, left_out)
            yield f"table{number}_{protocol}_{rule}", plots_tables.table_figure(*given)
    yield "overall", overall_figure(evaluation)
    yield "time", measured.against_time()
    for number, figure in enumerate(measured.best_rows().values(), 1):
        yield f"scores{number}", figure


def write(root: Path) -> Path:
    """Write the figures of the run in `root` into its `figures/print`; returns that folder.

    Raises:
        ValueError: no such run, or as `figures_of`.
    """
    run = Run(root.resolve())
    if not run.root.is_dir():
        there = sorted(path.parents[1].name for path in run.root.parent.glob("*/tables/evaluation.csv"))
        raise ValueError(f"{root}: no such run; there {'are' if there else 'is none'} {', '.join(there)}".rstrip())
    folder = run.figures / "print"
    for name, figure in figures_of(run):
        plots.save({name: figure}, folder)
        plt.close(figure)
    return folder


if __name__ == "__main__":
    try:
        print(f"figures    {write(Path(sys.argv[1] if sys.argv[1:] else 'outputs/demo'))}")
    except (ValueError, OSError) as error:
        sys.exit(str(error))
