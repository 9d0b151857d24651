"""Submissions against the ground truth, under both rules, with the official evaluator's total.

The official score (github.com/nttcslab/dcase2023_task2_evaluator) is the harmonic mean, over all machines and sections,
of AUC source, AUC target and pAUC under the official rule; an AUC of 0 counts as the smallest float step (2.2e-16)
in it, as `metrics.harmonic_mean` has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lib.detection.metrics import (
    DOMAINS,
    RULES,
    SCORES,
    decision_scores,
    harmonic_mean,
    interval,
    machine_scores,
    overall,
)
from lib.recordings.dcase import paper_order
from lib.recordings.plan import split_names
from lib.results import truth
from lib.results.official import DECISION, SCORE, Section, finite, flag, read_values, same_machine
from lib.results.truth import Known

COLUMNS = ("folder", "machine", "section", "rule", "score", "value", "low", "high")
DECISIONS = tuple(f"{name}_{domain}" for domain in DOMAINS for name in ("precision", "recall", "f1"))
EVERY = "all"  # in place of a machine, or of a section
Files = Mapping[Section, Mapping[str, list[Path]]]


@dataclass
class Evaluation:
    """What one folder of score files is worth.

    Attributes:
        folder: of the files.
        scores: {section: {rule: {score: (1 + resamples,) values}}}, as `metrics.machine_scores`.
        decisions: {section: {name of `DECISIONS`: value}} of those with a decision file.
        faults: {machine: what is wrong with its files}; nothing of it is scored.
    """

    folder: Path
    scores: dict[Section, dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)
    decisions: dict[Section, dict[str, float]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def why_none(self) -> str:
        """Why there is no official score; "" where there is one."""
        if self.faults:
            return f"{', '.join(self.faults)} cannot be scored"
        if not self.scores:
            return "nothing was scored"
        lacking = [
            f"{section} has no {name}"
            for section, rules in self.scores.items()
            for name in SCORES
            if np.isnan(rules["official"][name][0])
        ]
        return "; ".join(lacking[:3]) + (", and the official evaluator needs it" if lacking else "")

    @property
    def official(self) -> float:
        """The official score, NaN where there is none."""
        return np.nan if self.why_none else float(self.of("official", EVERY)["hmean"][0])

    @property
    def machines(self) -> dict[str, list[Section]]:
        """The sections of each machine that is scored."""
        found = {}
        for section in self.scores:
            found.setdefault(section.machine, []).append(section)
        return found

    def of(self, rule: str, machine: str) -> dict[str, np.ndarray]:
        """{score: (1 + resamples,) harmonic mean} over the sections of a machine, or of `EVERY` one."""
        return overall([scores[rule] for section, scores in self.scores.items() if machine in (section.machine, EVERY)])

    def table(self) -> pd.DataFrame:
        """Every number, long form, with the columns `COLUMNS`; a mean has `EVERY` for its section or machine."""
        places = [(section.machine, section.number, self.scores[section]) for section in self.scores]
        for machine in (*self.machines, EVERY):
            places.append((machine, EVERY, {rule: self.of(rule, machine) for rule in RULES}))
        rows = [
            (machine, number, rule, name, values[rule][name][0], *interval(values[rule][name]))
            for machine, number, values in places
            for rule in RULES
            for name in (*SCORES, "hmean")
        ]
        for section, values in self.decisions.items():
            rows += [
                (*section, "decisions", name, values[name], np.nan, np.nan) for name in DECISIONS if name in values
            ]
        rows += [(EVERY, EVERY, "decisions", name, value, np.nan, np.nan) for name, value in self.decided().items()]
        rows.append((EVERY, EVERY, "official", "official_score", self.official, np.nan, np.nan))
        folder = str(self.folder).encode("utf-8", "backslashreplace").decode()  # its name may be in no encoding
        return pd.DataFrame([(folder, *row) for row in rows], columns=COLUMNS)

    def decided(self) -> dict[str, float]:
        """{name of `DECISIONS`: harmonic mean over all sections that have it}."""
        found = {name: [d[name] for d in self.decisions.values() if name in d] for name in DECISIONS}
        return {name: float(harmonic_mean(values)) for name, values in found.items() if values}


def chosen(
    found: Mapping[Path, Files], known: Mapping[Section, Known] | None, machines: str = ""
) -> tuple[dict[Path, Files], dict[Section, Known] | None]:
    """Score files and ground truth of some machines, spelled as the ground truth does.

    Ground truth without a machine's name is of the only one that has scores.

    Args:
        found: as `official.folders`. known: as `truth.read`, or None. machines: names with blanks between; "" for all.

    Raises:
        ValueError: an unknown machine; or the ground truth does not say which of several it is of.
    """
    named = dict.fromkeys(section.machine for section in known or () if section.machine)
    found = {folder: _spelled(files, named) for folder, files in found.items()}
    there = named | dict.fromkeys(section.machine for files in found.values() for section in files)
    asked = [same_machine(name, there) for name in split_names(machines, there)] or list(there)
    if unknown := [name for name in asked if name not in there]:
        raise ValueError(f"unknown machine {', '.join(unknown)}; there are {', '.join(there)}")
    found = {folder: {s: kinds for s, kinds in files.items() if s.machine in asked} for folder, files in found.items()}
    if known is None:
        return found, None
    scored = sorted({section.machine for files in found.values() for section in files})
    if any(not section.machine for section in known) and len(scored) != 1:
        raise ValueError(f"the ground truth names no machine, and there are scores of {', '.join(scored)}; "
                         "give folders <machine>/test, or one machine (--machines)")  # fmt: skip
    known = {section._replace(machine=section.machine or scored[0]): what for section, what in known.items()}
    return found, {section: what for section, what in known.items() if section.machine in asked}


def _spelled(files, machines):
    """The files by sections whose machines are spelled as one of `machines` where that is meant."""
    found = {}
    for section, kinds in files.items():
        meant = section._replace(machine=same_machine(section.machine, machines))
        for kind, paths in kinds.items():
            found.setdefault(meant, {}).setdefault(kind, []).extend(paths)
    return found


def evaluate(folder: Path, files: Files, known: Mapping[Section, Known] | None, resamples: int = 0) -> Evaluation:
    """Score one folder of score files.

    Args:
        folder: as it is named. files: of it, {section: {kind: paths}}. known: the ground truth; None takes what the
            clips' names say. Both as `chosen`. resamples: of the bootstrap behind the intervals.
    """
    found, sections = Evaluation(folder), set(files) | set(known or ())
    order = paper_order(section.machine for section in sections)
    sections = sorted(sections, key=lambda section: (order.index(section.machine), section.number))
    for number, section in enumerate(sections):
        clips, values, faults = _section(folder, section, files.get(section, {}), known)
        if faults:
            found.faults.setdefault(section.machine, []).extend(faults)
            continue
        domain, label = clips["domain"], clips["label"]
        scores = values[SCORE].loc[clips.index]
        found.scores[section] = machine_scores(scores, domain, label, resamples=resamples, seed=number)
        if DECISION in values:
            decided = decision_scores(values[DECISION].loc[clips.index] == 1, domain, label)
            found.decisions[section] = {f"{n}_{d}": v for d, scores in decided.items() for n, v in scores.items()}
    for kept in (found.scores, found.decisions):
        for section in [section for section in kept if section.machine in found.faults]:
            del kept[section]
    return found


def _section(folder, section, kinds, known):
    """(clips, {kind: their values}, faults) of one section."""
    if SCORE not in kinds:
        return None, {}, [f"{folder}: no file {section.file(SCORE)}"]
    clips, faults = _clips(section, kinds[SCORE][0], known)
    values = {}
    for kind, (path, *others) in kinds.items():
        if clips is not None:
            found, wrong = read_values(path, finite if kind == SCORE else flag, dict.fromkeys(clips.index))
            values[kind] = pd.Series(found, dtype=float)
            faults += wrong
        faults += [f"{path}: {other.name} beside it is of {section}, too; keep one" for other in others]
    return clips, values, faults


def _clips(section, path, known):
    """(what is known of a section's test clips, None where that is wrong, faults)."""
    if known is None:
        stems, faults = read_values(path, finite)
        clips, more = truth.of_names(path, section, stems)
        faults += more
    elif section in known:
        clips, faults = known[section]
    else:
        clips, faults = None, [f"{path}: the ground truth has no {section}; it has {', '.join(map(str, known))}"]
    return None if faults else clips, list(faults)
