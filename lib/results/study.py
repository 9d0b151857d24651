"""docs/study.md, what each change is worth (beyond the paper), from the runs of `make study`: paired differences.

A run a preset of workflow/presets/study. Both sides of a difference score the same test clips with the same seeds;
clips and seeds are resampled together, so that what both sides share cancels. No row looked at a test label.
"""

import json
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib.detection.ensembles import add_submitted, complete_mean, detector_scores, system_rows
from lib.detection.metrics import interval, machine_scores, overall
from lib.detection.score_files import load_scores
from lib.paths import Run, readable, write_text
from lib.recordings.dcase import paper_order
from lib.results.page import CLIPS, DOCS
from lib.results.study_rows import FLOWS, FOLDER, RUNS, TABLES, Side, Table, words_of
from lib.settings import Settings, load_settings
from lib.systems import SPECTRA

INTRODUCTION = f"""\
Harmonic mean of both AUCs and pAUC in percent, paper rule, mean over seeds (deviation over seeds); behind it the
difference to the table's first row, [95 % interval over test clips and seeds, paired]. An interval that holds 0 is no
evidence. `make study` makes this page; `workflow/presets/study/<run>.yaml` says what a run changes.
{CLIPS}"""


class StudyRun:
    """The scores of one finished run of the study."""

    def __init__(self, root: Path):
        """`root` is its folder; its name is the preset's."""
        self.run, self.settings = Run(root), load_settings(FOLDER / f"{root.name}.yaml")

    @property
    def facts(self) -> dict:
        path = self.run.tables / "run.json"
        with readable(path, "make study makes it"):
            return json.loads(path.read_text(encoding="utf-8"))

    @cached_property
    def detectors(self) -> pd.DataFrame:
        """As `ensembles.detector_scores`, of the machines and seeds of its tables, with what is extended.

        Spectrum's, which nothing random is in, stand beside every seed.
        """
        machines, seeds, tables = self.facts["training_clips"], self.facts["seeds"], []
        for path in self.run.scores():
            scores = load_scores(path)
            scores = scores[scores["machine"].isin(machines)]
            if scores["system"].isin(SPECTRA).all():
                tables += [scores.assign(seed=seed) for seed in seeds]
            else:
                tables.append(scores[scores["seed"].isin(seeds)])
        table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        if table.empty:
            raise ValueError(f"{self.run.root}: no clip scores; make study makes them")
        return detector_scores(table, self.settings.evaluation.weighted_machines, extended=True)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Clip scores of the rows of protocol `all`, fusions included."""
        own = self.detectors[~self.detectors["detector"].str.endswith(" extended")]
        return add_submitted(system_rows(own), self.settings.systems)

    def scores(self, system: str, detectors: str = "") -> pd.DataFrame:
        """Scores of the labelled test clips, with machine and seed, as a `Side` asks for."""
        if not detectors:
            found = self.rows[self.rows["system"] == system]
        else:
            own = self.detectors[self.detectors["system"] == system]
            own = own[own["detector"].map(lambda name: re.fullmatch(detectors, name) is not None)]
            found = complete_mean(own, "detector", ["machine", "system", "seed"])
        return found[(found["part"] == "test") & (found["label"] != "")]

    def flow_share(self, machine: str, system: str, seed: int) -> pd.Series:
        """L_Flow's share of the norm of the extractor's gradient, by epoch."""
        path = self.run.trained(machine, system, seed=seed) / "history.csv"
        with readable(path, "make study makes it"):
            return pd.read_csv(path)["flow_share"]


def scored(run: StudyRun, side: Side, settings: Settings, resamples: int) -> dict[tuple[str, int], dict]:
    """{(machine, seed): own-rule `metrics.machine_scores` with `resamples`}; equal clips draw equal resamples."""
    found = {}
    for (machine, seed), clips in run.scores(side.system, side.detectors).groupby(["machine", "seed"], sort=False):
        clips = clips.sort_values("clip")
        found[machine, int(seed)] = machine_scores(
            clips["score"], clips["domain"], clips["label"], settings.evaluation.max_fpr, resamples
        )["paper"]
    return found


def over_machines(found: dict[tuple[str, int], dict]) -> dict[tuple[str, int], np.ndarray]:
    """{(machine or "overall", seed): (1 + resamples,) harmonic means} of what `scored` returns."""
    values = {key: scores["hmean"] for key, scores in found.items()}
    for seed in {seed for _, seed in found}:
        own = [scores for (_, s), scores in found.items() if s == seed]
        if len(own) > 1:
            values["overall", seed] = overall(own)["hmean"]
    return values


def compare(side: dict, base: dict, rng: np.random.Generator) -> pd.DataFrame:
    """A side, and what it is better by than the base, on what both have.

    Args:
        side, base: as `over_machines`. rng: that draws the seeds.

    Returns:
        DataFrame by machine with `value`, `sd` over seeds, `seeds`, `difference`, `low` and `high`, in percent.
    """
    found = {}
    for machine in [*paper_order({machine for machine, _ in side} - {"overall"}), "overall"]:
        own = {seed: values for (name, seed), values in side.items() if name == machine}
        if not own:
            continue
        points = np.array([values[0] for values in own.values()])
        row = {"value": points.mean(), "sd": points.std(ddof=1) if len(points) > 1 else 0.0, "seeds": len(points)}
        if both := [seed for seed in own if (machine, seed) in base]:
            differences = np.array([own[seed] - base[machine, seed] for seed in both])  # (seeds, 1 + resamples)
            resamples = differences.shape[1] - 1
            drawn = rng.integers(len(both), size=(len(both), resamples))
            means = np.take_along_axis(differences[:, 1:], drawn, axis=0).mean(axis=0)
            low, high = interval(np.append(differences[:, 0].mean(), means))
            row |= {"difference": differences[:, 0].mean(), "low": low, "high": high}
        found[machine] = row
    table = pd.DataFrame.from_dict(found, orient="index")
    percent = [name for name in table if name != "seeds"]
    table[percent] *= 100
    return table


def cells(table: pd.DataFrame, machines: list[str], first: bool) -> list[str]:
    """A line's cells: `62.4 (1.0)` and `+1.2 [−0.3, 2.8]` for each machine; the first line has no difference."""
    line = []
    for machine in machines:
        if machine not in table.index:
            line += ["–", "–"]
            continue
        row = table.loc[machine]
        line.append(f"{row['value']:.1f}" + (f" ({row['sd']:.1f})" if row["sd"] > 0 else ""))
        told = not first and not np.isnan(row.get("difference", np.nan))
        line.append(
            f"{row['difference']:+.1f} [{row['low']:.1f}, {row['high']:.1f}]".replace("-", "−") if told else "–"
        )
    return line


def text(table: Table, runs: dict[str, StudyRun], resamples: int) -> str:
    """One table in Markdown; a run that is not there yet is a line that says so."""
    there = {words: side for words, side in table.rows.items() if side.run in runs}
    if not there:
        return f"## {table.title}\n\nNot run yet.\n"
    found = {}
    for words, side in there.items():
        found[words] = over_machines(scored(runs[side.run], side, runs[side.run].settings, resamples))
    found = {words: values for words, values in found.items() if values}
    base = found[next(iter(found))]
    machines = [*paper_order({m for values in found.values() for m, _ in values} - {"overall"}), "overall"]
    header = ["row", "run", *(name for machine in machines for name in (machine, "difference"))]
    lines = [header, ["---"] * len(header)]
    for words, values in found.items():
        compared = compare(values, base, np.random.default_rng(0))
        lines.append([words, there[words].run, *cells(compared, machines, values is base)])
    missing = ", ".join(side.run for side in table.rows.values() if side.run not in runs)
    return "\n".join([
        f"## {table.title}", "", *("| " + " | ".join(line) + " |" for line in lines), "",
        *([f"Not run yet: {missing}.", ""] if missing else []),
    ])  # fmt: skip


def shares(runs: dict[str, StudyRun]) -> str:
    """L_Flow's share of the extractor's gradient in the first and the last epoch, by machine, in Markdown."""
    lines = []
    for name in FLOWS:
        if name not in runs or runs[name].settings.flow.detached:
            continue
        run = runs[name]
        for machine in paper_order(run.facts["training_clips"]):
            found = [run.flow_share(machine, "OE-Flow", seed) for seed in run.facts["seeds"]]
            first, last = (np.mean([share.iloc[i] for share in found]) for i in (0, -1))
            lines.append(f"| {words_of(name)} | {machine} | {100 * first:.2g} % | {100 * last:.2g} % |")
    if not lines:
        return ""
    head = ["## L_Flow's share of the extractor's gradient", "", "| row | machine | first epoch | last epoch |"]
    return "\n".join([*head, "| --- | --- | --- | --- |", *lines, ""])


def write(folder: Path, docs: Path = DOCS, resamples: int = 1000) -> Path:
    """Write `study.md` into `docs` from the runs under `folder`; returns its path.

    Raises:
        ValueError: none of the study's runs is there.
    """
    done = [folder / name for name in RUNS if (folder / name / "tables" / "run.json").exists()]
    runs = {root.name: StudyRun(root) for root in done}
    if not runs:
        raise ValueError(f"{folder}: holds no finished run of the study; make study makes them")
    facts = next(iter(runs.values())).facts
    seeds = " ".join(map(str, sorted({seed for run in runs.values() for seed in run.facts["seeds"]})))
    clips = ", ".join(f"{machine} {count}" for machine, count in facts["training_clips"].items())
    commits = ", ".join(dict.fromkeys(run.facts["commit"] for run in runs.values()))
    made = f"Training clips: {clips}. Seeds {seeds}, {facts['date']}, commit {commits}."
    parts = ["# The study", "", INTRODUCTION, "", made, "", *(text(table, runs, resamples) for table in TABLES)]
    write_text(docs / "study.md", "\n".join([*parts, shares(runs)]))
    return docs / "study.md"
