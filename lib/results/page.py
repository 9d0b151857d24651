"""docs/results.md, a page of what was measured, from runs' own files: python -m lib.results.page outputs/demo …

Every number stands in the run's `tables/evaluation.csv`, what made it in `tables/run.json` (both of 06), the seconds in
the executed notebooks.
"""

import itertools
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib.detection.metrics import RULES
from lib.detection.score_files import NOTEBOOKS
from lib.paths import PROJECT, Run, readable, whole_file, write_text
from lib.recordings.dcase import paper_order
from lib.results.plots import PAGE, score_distributions, write_png
from lib.results.plots_tables import mark_of
from lib.settings import Settings
from lib.systems import BASELINE, BASELINES, ENSEMBLES, EXTRACTORS, SHARED, SPECTRUM

DOCS = PROJECT / "docs"
COLUMNS = 3  # machines that have columns of their own
SIZE = 5  # points, of names in a figure
BEST = 3  # rows whose score distributions are drawn
CLIPS = """\
Valve is of official *test* clips dealt anew, 45 to train and 80 to score: not comparable with anybody's. Spindle is a
machining centre of one domain."""
INTRODUCTION = f"""\
What was measured, best first: the harmonic mean of both AUCs and pAUC in percent, [95 % interval over test clips],
(deviation over seeds). Paper rule: a domain's normals against its own anomalies, as in the paper's tables; official
rule: against those of both domains. No row looked at a test label, but Spectrum's views and which of them its row takes
were chosen on these test clips. `make results` makes this page.
{CLIPS}"""
MAP = "Shared: embeddings of training clips in two dimensions, by machine and by class (machine, attributes, domain)"
ANCHORS = """\
| what | rule | machines | harmonic mean | source |
| --- | --- | --- | --- | --- |
| the paper's best ensemble | paper | ToyCar | 60.11 | its Table 4, Submitted 2 |
| the paper's best ensemble | paper | all seven | 69.78 | its Table 4, Submitted 4 |
| frozen audio embeddings, no training | official | all seven | 65.7 | arXiv:2603.04605 |
| ASDKit's best | official | all seven | 66.1 | arXiv:2507.10264 |
| several resolutions, subspace loss | official | all seven | 67.2 | literature |
| the best with pretrained models | official | all seven | 71.3 | literature |

*Not comparable with ours: these had all seven machines with 1000 training clips each, and ToyCar alone of the seven is
at hand here, with 200.* The last four are of the development set as quoted in the challenge's literature, not measured
here."""


def commit() -> str:
    """The project's git commit, with a mark where files differ from it; "unknown" outside of git."""
    said = []
    for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
        said.append(done.stdout.strip())
    return said[0] + (" and changes" if said[1] else "")


def facts(
    preset: str,
    data: str,
    synthetic: bool,
    clips: dict[str, int],
    seeds: Iterable[int],
    settings: Settings,
    counted: dict,
    machines: Sequence[str] = (),
) -> dict:
    """What `tables/run.json` says of a run, JSON-able.

    Args:
        preset: its name. data: of the data root's folder. synthetic: whether that is demo data.
        clips: {machine: training clips}. seeds: of the scores. settings: of the run. counted: of `Collected`.
        machines: that were asked for; none: all of the data root.
    """
    words = ["python", "-m", "lib.batch", "--preset", Path(preset).name, *([] if synthetic else ["--data", data])]
    seeds = sorted(int(seed) for seed in seeds)
    words += ["--machines", " ".join(machines)] if machines else []
    command = shlex.join([*words, "--seeds", " ".join(map(str, seeds))])
    today = pd.Timestamp.now("UTC").strftime("%Y-%m-%d")
    return {
        "command": "make demo" if synthetic and preset == "demo" and seeds == [0] and not machines else command,
        "synthetic": synthetic, "training_clips": clips, "seeds": seeds, "date": today, "commit": commit(),
        "settings": settings.model_dump(mode="json"), "counted": counted,
    }  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A finished run, as the page tells it."""

    run: Run

    @cached_property
    def facts(self) -> dict:
        path = self.run.tables / "run.json"
        with readable(path, "run 06_ensemble_and_tables again"):
            return json.loads(path.read_text(encoding="utf-8"))

    @cached_property
    def evaluation(self) -> pd.DataFrame:
        """Rows of protocol `all`, the harmonic mean alone."""
        path = self.run.tables / "evaluation.csv"
        with readable(path, "run 06_ensemble_and_tables again"):
            table = pd.read_csv(path)
        return table[(table["protocol"] == "all") & (table["score"] == "hmean")]

    @property
    def ranking(self) -> list[str]:
        """The rows, best first by the paper rule over all machines."""
        chosen = self.evaluation.query("rule == 'paper' and machine == 'overall'")
        return chosen.sort_values("value", ascending=False, kind="stable")["system"].tolist()

    @cached_property
    def seconds(self) -> dict[tuple[str, str], float]:
        """{(notebook's number, system or ""): seconds of all its executed copies}."""
        found = {}
        for path in self.run.executed():
            notebook, _, which = path.stem.partition("-")
            with readable(path, "run its notebook again"):
                took = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {}).get("duration")
            system = next((s for s in sorted(EXTRACTORS, key=len, reverse=True) if which.startswith(f"{s}-")), "")
            found[notebook[:2], system] = found.get((notebook[:2], system), 0) + (took or 0)
        return found

    def seconds_of(self, row: str) -> float:
        """What the row took to train and fit, in seconds of its notebooks, over all machines and seeds."""
        members = [row]
        while any(member in ENSEMBLES for member in members):
            members = [m for member in members for m in (ENSEMBLES[member][0] if member in ENSEMBLES else (member,))]
        keys = set()
        for member in members:
            if member in EXTRACTORS:
                keys |= {(EXTRACTORS[member].notebook[:2], member), ("05", member)}
            else:
                keys.add((NOTEBOOKS[BASELINE if member in BASELINES else SPECTRUM][0][:2], ""))
        return sum(self.seconds.get(key, 0) for key in keys)

    def cell(self, row: str, rule: str, machine: str) -> str:
        """`62.4 (1.0) [53.9, 71.1]`; "–" without a value."""
        found = self.evaluation.query("system == @row and rule == @rule and machine == @machine")
        if found.empty or np.isnan(found["value"].item()):
            return "–"
        value, low, high, sd = found[["value", "low", "high", "sd"]].iloc[0]
        spread = f" ({sd:.1f})" if sd > 0 else ""
        return f"{value:.1f}{spread}" + ("" if np.isnan(low) else f" [{low:.0f}, {high:.0f}]")

    def text(self) -> str:
        """The run's part of the page, in Markdown."""
        machines = paper_order(set(self.evaluation["machine"]) - {"overall"})
        shown = [*(machines if 1 < len(machines) <= COLUMNS else ()), "overall"]
        header = ["row", *(f"{machine}, {rule} rule" for machine in shown for rule in RULES), "seconds"]
        lines = [header, ["---"] * len(header)]
        for row in self.ranking:
            cells = [self.cell(row, rule, machine) for machine in shown for rule in RULES]
            lines.append([row, *cells, f"{self.seconds_of(row):.0f}"])
        clips = ", ".join(f"{machine} {count}" for machine, count in self.facts["training_clips"].items())
        kind = "Synthetic machines; " if self.facts["synthetic"] else ""
        return "\n".join([
            f"{kind}training clips: {clips}. Seeds {' '.join(map(str, self.facts['seeds']))}, "
            f"{self.facts['date']}, commit {self.facts['commit']}: `{self.facts['command']}`", "",
            *("| " + " | ".join(line) + " |" for line in lines), "",
        ])  # fmt: skip

    def against_time(self) -> Figure:
        """Harmonic mean, paper rule, over the seconds of training and fitting; a point a row."""
        figure, axis = plt.subplots(figsize=(PAGE, 3.4))
        overall = self.evaluation.query("rule == 'paper' and machine == 'overall'").set_index("system")["value"]
        points = {row: (max(self.seconds_of(row), 1), overall[row]) for row in self.ranking}
        for row, point in points.items():
            axis.plot(*[[value] for value in point], ls="", **mark_of(row))
        axis.axhline(50, color="#999999", lw=0.8, ls=":")
        axis.set(
            xscale="log",
            xlabel="seconds of its notebooks, all machines and seeds",
            ylabel="harmonic mean [%], paper rule",
        )
        axis.margins(x=0.15, y=0.1)
        sns.despine(figure)
        figure.draw_without_rendering()
        _name_points(axis, points)
        return figure

    def best_rows(self) -> dict[str, Figure]:
        """Score distributions by domain of the best rows, over all machines, {row: figure}."""
        rows = pd.read_csv(self.run.tables / "clip_scores.csv", keep_default_na=False)
        rows = rows[rows["protocol"] == "all"]
        return {row: score_distributions(rows[rows["system"] == row]) for row in self.ranking[:BEST]}


def _name_points(axis, points):
    """Name each point on its right or left, as near as can be without covering a point or another name."""
    scale, (left, right) = 72 / axis.figure.dpi, axis.get_window_extent().intervalx * 72 / axis.figure.dpi
    places = {name: axis.transData.transform(point) * scale for name, point in points.items()}
    taken = [(y, x - 0.5 * SIZE, x + 0.5 * SIZE) for x, y in places.values()]
    shifts = sorted(np.arange(-40, 40.5, 0.5), key=lambda shift: (abs(shift), shift))
    for name, (x, y) in places.items():
        width = SIZE * 0.6 * len(name)
        for shift, side in itertools.product(shifts, (1, -1)):
            begin, end = sorted((x + 4 * side, x + (4 + width) * side))
            free = all(
                abs(y + shift - other) >= 1.3 * SIZE or end <= first or last <= begin for other, first, last in taken
            )
            if free and left <= begin and end <= right:
                break
        taken.append((y + shift, begin, end))
        axis.annotate(name, points[name], (4 * side, shift - 0.4 * SIZE), textcoords="offset points", fontsize=SIZE,
                      ha="left" if side > 0 else "right")  # fmt: skip


def write(runs: Sequence[Path], folder: Path = DOCS) -> Path:
    """Write `results.md` and its figures into `folder`; returns its path.

    Raises:
        ValueError: a run has no tables; names the mend.
    """
    parts = ["# Results", "", INTRODUCTION, ""]
    for root in runs:
        measured = Measured(Run(Path(root).resolve()))
        name = measured.run.root.name
        parts += [f"## {name}", "", measured.text()]
        figures = {"time": ("Score against training time", measured.against_time())}
        for number, (row, figure) in enumerate(measured.best_rows().items(), 1):
            figures[f"scores{number}"] = (f"{row}: scores of test clips by domain, all machines", figure)
        for key, (words, figure) in figures.items():
            file = folder / f"results_{name}_{key}.png"
            with whole_file(file, sync=False) as temporary:
                write_png(figure, temporary, 120)
            parts += [f"![{words}]({file.name})", "", f"*{words}.*", ""]
        for drawn in sorted(measured.run.figures.glob(f"{SHARED}_seed*_map.png"))[:1]:  # by 09
            file = folder / f"results_{name}_map.png"
            shutil.copyfile(drawn, file)
            parts += [f"![{MAP}]({file.name})", "", f"*{MAP}.*", ""]
    parts += ["## Published results", "", ANCHORS, ""]
    write_text(folder / "results.md", "\n".join(parts))
    return folder / "results.md"


if __name__ == "__main__":
    try:
        print(write([Path(name) for name in sys.argv[1:]]))
    except ValueError as error:
        sys.exit(str(error))
