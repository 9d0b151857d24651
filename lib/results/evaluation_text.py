"""What a person reads of `evaluation.Evaluation`: a block a folder, and a table of all."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib.detection.metrics import RULES, SCORES, interval
from lib.results.evaluation import DECISIONS, EVERY, Evaluation
from lib.results.official import DECISION, strays

TITLES = dict(zip((*SCORES, "hmean"), ("AUC source", "AUC target", "pAUC", "harmonic mean"), strict=True))
WORDS = {
    "official": "official rule: a domain's normal clips against the anomalies of both domains",
    "paper": "paper rule: a domain's normal clips against its own anomalies",
}
LAST = "official score"


def block(evaluation: Evaluation) -> str:
    """Tables under both rules, decisions, notes, faults; the last line is the official score."""
    lines = [str(evaluation.folder)]
    if evaluation.scores:
        for rule in sorted(RULES):
            lines += ["", WORDS[rule], _table(evaluation, rule)]
    if evaluation.decisions:
        lines += ["", "decisions, by the clips of each domain; means are harmonic", _decisions(evaluation)]
    lines += ["", *_notes(evaluation), *(said for faults in evaluation.faults.values() for said in faults)]
    why = evaluation.why_none
    return "\n".join([*lines, f"{LAST}: none, because {why}" if why else f"{LAST} {evaluation.official:.6f}"])


def summary(evaluations: Iterable[Evaluation]) -> str:
    """One row a folder, the best official score first."""
    rows = []
    for each in sorted(evaluations, key=lambda each: -np.nan_to_num(each.official, nan=-1.0)):
        official, paper = (each.of(rule, EVERY) for rule in ("official", "paper"))
        rows.append({
            "folder": str(each.folder), LAST: f"{each.official:.6f}" if not each.why_none else "none",
            **{title: _cell(official[name]) for name, title in TITLES.items() if name in SCORES},
            "harmonic mean, paper rule": _cell(paper["hmean"]), "machines": len(each.machines),
        })  # fmt: skip
    return _aligned(pd.DataFrame(rows))


def _table(evaluation, rule):
    rows = []
    for machine, sections in evaluation.machines.items():
        named = [(section.number, evaluation.scores[section][rule]) for section in sections]
        rows += [(machine, *row) for row in named]
        if len(sections) > 1:
            rows.append((machine, EVERY, evaluation.of(rule, machine)))
    rows.append((EVERY, EVERY, evaluation.of(rule, EVERY)))
    return _aligned(pd.DataFrame([
        {"machine": machine, "section": number} | {title: _cell(values[name]) for name, title in TITLES.items()}
        for machine, number, values in rows
    ]))  # fmt: skip


def _decisions(evaluation):
    rows = [(*section, values) for section, values in evaluation.decisions.items()]
    rows.append((EVERY, EVERY, evaluation.decided()))
    titles = {name: name.replace("_", " ").replace("f1", "F1") for name in DECISIONS}
    return _aligned(pd.DataFrame([
        {"machine": machine, "section": number}
        | {title: f"{values[name]:.6f}" if name in values else "–" for name, title in titles.items()}
        for machine, number, values in rows
    ]))  # fmt: skip


def _notes(evaluation):
    for name in strays(evaluation.folder):
        yield f"note: {evaluation.folder / name}: not the name of a score file; not read"
    for section in evaluation.scores if evaluation.decisions else ():
        if section not in evaluation.decisions:
            yield f"note: {evaluation.folder}: no file {section.file(DECISION)}; its decisions are not counted"
    for section, rules in evaluation.scores.items():
        for name in SCORES:
            if rules["official"][name][0] == 0:
                yield f"note: {section}: {TITLES[name]} 0 counts as 2.2e-16 in harmonic means, as officially"


def _cell(values):
    """A score with its interval; "–" where there is none."""
    if np.isnan(values[0]):
        return "–"
    low, high = interval(values)
    return f"{values[0]:.6f}" + ("" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]")


def _aligned(table):
    cells = [list(map(str, table.columns)), *table.astype(str).to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in cells)
