"""The figures of 06: Tables 2–4, the ranking of detectors, the effects; in the style of `lib.results.plots`."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib.results import tables
from lib.results.cells import Marks, choose
from lib.results.plots import INK, PAGE, laid_out
from lib.systems import BASELINES, ROWS, SUBMITTED, SYSTEMS

SCORE_NAMES = {"auc_source": "AUC source", "auc_target": "AUC target", "hmean": "harmonic mean with pAUC"}
LABELS = {2: "AUC of the source domain", 3: "AUC of the target domain", 4: "harmonic mean of AUCs and pAUC"}
PANELS = 4  # beside each other
MOST = 35  # machines that have a panel; more are ticks in one
GREY = "#999999"
_MARKS = {
    "baseline": dict(marker="s", mfc="#111111", mec="#111111", mew=0.6, ms=3.5),
    "system": dict(marker="o", mfc="#111111", mec="#111111", mew=0.6, ms=3.5),
    "ensemble": dict(marker="o", mfc=GREY, mec="#111111", mew=0.6, ms=3.5),
    "beyond the paper": dict(marker="^", mfc="#111111", mec="#111111", mew=0.6, ms=3.8),
    "paper": dict(marker="D", mfc="none", mec=INK["target"], mew=0.8, ms=3),
}


@laid_out
def table_figure(
    evaluation: pd.DataFrame,
    number: int,
    protocol: str = "all",
    rule: str = "paper",
    beside_paper: bool = False,
    left_out: pd.DataFrame | None = None,
) -> Figure:
    """One of Tables 2–4 as a picture: a panel a machine, a line a row, points with 95 % intervals.

    More than `MOST` machines are a tick each in the panel of all.

    Args:
        evaluation: as `ensembles.evaluate`. number: 2, 3 or 4. protocol, rule: which variant.
        beside_paper: whether to add the paper's values, as `tables.beside`. left_out: as `tables.layout`.
    """
    chosen, machines = choose(evaluation, number, protocol, rule)
    rows, panels = [row for row in ROWS if row in set(chosen["system"])], [*machines, "overall"]
    many = len(machines) > MOST
    panels = panels[-1:] if many else panels
    paper = tables.beside(number, rule, machines) if beside_paper else None
    marks = Marks.of(evaluation, number, protocol, rule, left_out)
    columns = min(PANELS, len(panels))
    lines = -(-len(panels) // columns)
    size = (PAGE, lines * (0.55 + 0.15 * len(rows)) + 0.5)
    figure, axes = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, machine in zip(axes.flat, panels, strict=False):
        if many:
            each = chosen[chosen["machine"] != "overall"]
            axis.plot(each["value"], each["system"].map(rows.index), "|", color=GREY, ms=5, mew=0.4, zorder=0)
        _panel(axis, chosen[chosen["machine"] == machine], rows, marks)
        if paper is not None and machine in paper:
            known = [row for row in rows if row in paper.index]
            height = np.array([rows.index(row) for row in known]) + 0.3
            axis.plot(paper.loc[known, machine], height, ls="", **_MARKS["paper"])
        mark = " §" if machine in marks.single or (marks.single and machine == "overall") else ""
        title = f"{machine}, a tick for each of {len(machines)} machines" if many else machine
        axis.set_title(title + mark, fontsize=7, fontweight="bold" if machine == "overall" else "normal")
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    _finish(figure, axes, panels, rows, f"Table {number}: {LABELS[number]} [%], {rule} rule, detectors: {protocol}")
    handles = [plt.Line2D([], [], ls="", label=kind, **_MARKS[kind]) for kind in dict.fromkeys(map(_kind, rows))]
    handles.append(plt.Line2D([], [], color="#111111", lw=0.9, label="95 % interval"))
    if paper is not None and len(paper.index.intersection(rows)):
        handles.append(plt.Line2D([], [], ls="", label="the paper's value", **_MARKS["paper"]))
    if marks.single:
        handles.append(plt.Line2D([], [], ls="", label="§ one domain"))
    figure.legend(handles=handles, frameon=False, ncols=6, loc="outside upper right", fontsize=7)
    return _with_room(figure)


def _panel(axis, own, rows, marks):
    """One machine's rows, each with the marks that the table has."""
    for row in own[own["value"].notna()].itertuples():
        height = rows.index(row.system)
        if not np.isnan(row.low):
            axis.plot([row.low, row.high], [height, height], color="#111111", lw=0.9)
        axis.plot(row.value, height, **_MARKS[_kind(row.system)])
        if mark := marks.of_cell(row.system, row.machine).strip("§"):  # that one stands behind the machine's name
            axis.annotate(mark, (np.nanmax([row.value, row.high]), height), (2, -1), textcoords="offset points",
                          fontsize=6, va="center")  # fmt: skip
    axis.axvline(50, color=GREY, lw=0.8, ls=":", zorder=0)


def _finish(figure, axes, panels, rows, label):
    axes[0, 0].set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6))
    edges = [i for i in range(1, len(rows)) if _kind(rows[i]) != _kind(rows[i - 1])]
    for axis in axes.flat[: len(panels)]:
        for edge in edges:
            axis.axhline(edge - 0.5, color="#DDDDDD", lw=0.6, zorder=0)
        axis.tick_params(axis="x", labelsize=6, labelbottom=True)
        axis.tick_params(axis="y", labelsize=6, length=0)
    figure.supxlabel(label, fontsize=7.5)


def mark_of(row: str) -> dict:
    """How a row's point is drawn: matplotlib's words."""
    return _MARKS[_kind(row)]


def _kind(row):
    if row in BASELINES:
        return "baseline"
    if row in SUBMITTED:
        return "ensemble"
    return "system" if row in SYSTEMS else "beyond the paper"


@laid_out
def ranking_figure(ranking: pd.DataFrame) -> Figure:
    """Overall score of each detector, best first; a panel a system of several detectors.

    Args:
        ranking: as `ranking.rank_detectors`. Filled points are in `top20`.
    """
    ranking = ranking[ranking["overall"].notna()]
    counts = ranking.groupby("system")["detector"].transform("size")
    groups = [(system, group) for system, group in ranking[counts > 1].groupby("system", sort=False)]
    if (counts == 1).any():
        groups.append(("one detector", ranking[counts == 1].assign(detector=lambda table: table["system"])))
    columns = min(len(groups), 3)
    shape = (-(-len(groups) // columns), columns)
    tallest = [max(len(group) for _, group in groups[i * columns : (i + 1) * columns]) for i in range(shape[0])]
    heights = [0.45 + 0.105 * max(n, 3) for n in tallest]
    figure, axes = plt.subplots(
        *shape, figsize=(PAGE, sum(heights) + 0.3), sharex=True, squeeze=False, height_ratios=heights
    )
    for axis, (system, group), tall in zip(axes.flat, groups, np.repeat(tallest, columns), strict=False):
        for i, row in enumerate(group.itertuples()):
            axis.plot(100 * row.overall, i, "o", mfc="#111111" if row.top20 else "none", mec="#111111", ms=3, mew=0.8)
        axis.set(
            yticks=range(len(group)),
            yticklabels=group["detector"].str.replace("_", "-"),
            ylim=(max(tall, 3) - 0.4, -0.6),
        )
        axis.set_title(system, fontsize=7)
        axis.tick_params(axis="y", labelsize=5.5, length=0)
        axis.tick_params(axis="x", labelsize=6, labelbottom=True)
        axis.grid(axis="y", color="#EEEEEE", lw=0.5)
    for axis in axes.flat[len(groups) :]:
        axis.remove()
    words = "harmonic mean over machines of AUCs and pAUC [%], paper rule; filled: in top20"
    figure.supxlabel(words, fontsize=7.5)
    return _with_room(figure)


@laid_out
def effects_figure(effects: pd.DataFrame) -> Figure:
    """Forest of `effects.evaluate`: the overall difference with its 95 % interval, and a tick for each machine's."""
    names = [name for name in SCORE_NAMES if name in set(effects["score"])]
    pairs = list(effects.groupby(["effect", "system"], sort=False).groups)
    labels, heights = [], {}
    for effect in dict.fromkeys(effect for effect, _ in pairs):
        labels.append((effect, True))
        for pair in [pair for pair in pairs if pair[0] == effect]:
            heights[pair] = len(labels)
            labels.append((pair[1], False))
    size = (PAGE, 0.165 * len(labels) + 0.8)
    figure, axes = plt.subplots(1, len(names), figsize=size, sharey=True, sharex=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for row in effects[effects["score"] == name].itertuples():
            height = heights[row.effect, row.system]
            if row.machine != "overall":
                axis.plot(row.difference, height, "|", color=GREY, ms=5, mew=0.8, zorder=1)
                continue
            if not np.isnan(row.low):
                axis.plot([row.low, row.high], [height, height], color="#111111", lw=1.2)
            axis.plot(row.difference, height, "o", color="#111111", ms=3.5)
        axis.axvline(0, color=GREY, lw=0.8, ls=":", zorder=0)
        axis.set_title(SCORE_NAMES[name], fontsize=7)
        axis.tick_params(axis="both", labelsize=6)
        axis.tick_params(axis="y", length=0)
    axes[0, 0].set(yticks=range(len(labels)), yticklabels=[text for text, _ in labels], ylim=(len(labels) - 0.4, -0.6))
    for text, (_, header) in zip(axes[0, 0].get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if header else "normal")
    words = "difference [percent points], paper rule: point and 95 % interval over the machines that have a tick"
    figure.supxlabel(words, fontsize=7.5)
    return _with_room(figure)


def _with_room(figure):
    sns.despine(figure, left=True)
    figure.get_layout_engine().set(w_pad=0.08)  # inches
    return figure
