"""The clip scores that the tables are made of: exactly the files of the plan, each as the plan would make it now.

What is not there, has failed, or was made with other settings, code or recordings is named, never averaged in.
"""

import json
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute as pc

from lib import clock
from lib.detection import score_files
from lib.detection.score_files import COLUMNS
from lib.paths import Run
from lib.recordings.clips import ClipBank
from lib.recordings.plan import Plan
from lib.settings import Settings
from lib.systems import EXTRACTORS, ROWS_OF, SPECTRUM, folder_of

WORDS = ("machine", "parameter", "aggregator", "part", "clip", "domain", "label")  # of which few are different
LEFT_OUT = ("machine", "system", "parameter", "seed", "file", "state", "why")
MISSING, FAILED, REFUSED, NOT_PLANNED = "missing", "failed", "refused", "left out"  # the column `state`
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Collected:
    """What a run holds of its plan.

    Attributes:
        scores: clip scores, long form, with the columns `score_files.COLUMNS`.
        left_out: DataFrame with the columns `LEFT_OUT`: every file that does not count and why; and what the plan left
            out, without a file.
    """

    scores: pd.DataFrame
    left_out: pd.DataFrame

    @cached_property
    def whole(self) -> pd.DataFrame:
        """The scores of each machine, system and seed of which every file counts, by which detectors can be ranked.

        A system that is whole nowhere has all its scores here.
        """
        keys = ["machine", "system", "seed"]
        lacking = set(self.left_out.loc[self.left_out["file"] != "", keys].itertuples(index=False, name=None))
        if not lacking:
            return self.scores
        groups = self.scores[keys].apply(tuple, axis=1)
        whole = ~groups.isin(lacking)
        return self.scores[whole | ~whole.groupby(self.scores["system"]).transform("any")]

    @property
    def counted(self) -> dict[str, list[list[str]]]:
        """{machine: [[folder, parameter], …]} of the trainings whose scores count."""
        table = self.scores[["machine", "system", "parameter"]].drop_duplicates()
        table = table.assign(system=table["system"].map(folder_of)).drop_duplicates()
        return {name: rows[["system", "parameter"]].to_numpy().tolist() for name, rows in table.groupby("machine")}

    def lines(self, command: str = "make demo, or make run") -> list[str]:
        """What is left out, for a person: a line a reason; files that are merely not there yet are counted.

        Args:
            command: that makes them.
        """
        lines = []
        for row in self.left_out[self.left_out["state"] != MISSING].itertuples():
            where = row.file or " ".join(filter(None, (row.machine, row.system)))
            lines.append(f"{row.state}: {where}: {row.why}")
        if missing := int((self.left_out["state"] == MISSING).sum()):
            lines.append(
                f"{MISSING}: {missing} files of scores, listed in tables/left_out.csv; 02 to 05 make them: {command}"
            )
        return lines


@clock.counts("scoring")
def collect(run: Run, plan: Plan, settings: Settings, bank: ClipBank) -> Collected:
    """Read the score files of a plan, and say which do not count and why.

    Args:
        run: its folder may hold more, of earlier settings, seeds or machines; that is not read.
        plan: what counts. settings, bank: what it should have been made with and from.

    Raises:
        ValueError: no file counts; says the first reasons and the mend.
    """
    tables, left = [], [(machine, system, "", "", "", NOT_PLANNED, why) for machine, system, why in plan.left_out]
    for path, made in plan.score_files(run).items():
        scores, state, why = _read(run, path, made, score_files.expected_provenance(path.name, made, settings, bank))
        if scores is None:
            left.append((*made, str(path.relative_to(run.root)), state, why))
        else:  # nothing is random in Spectrum: the same beside every seed of the others
            seeds = plan.seeds if made.system == SPECTRUM else [made.seed]
            tables += [_in_brief(scores, made.machine in settings.evaluation.weighted_machines, s) for s in seeds]
    left_out = pd.DataFrame(left, columns=LEFT_OUT)
    if not tables:
        reasons = "".join(f"\n  {line}" for line in Collected(pd.DataFrame(), left_out).lines()[:5])
        raise ValueError(
            f"{run.root}: no scores of {', '.join(plan.machines)} made with these settings, recordings and code; "
            f"run the training notebooks (02, 03, 04) and 05_inlier_fitting, or the whole run (make demo, make run)"
            f"{reasons}"
        )
    together = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    return Collected(together.to_pandas(), left_out)


def command(preset: str, data_root: str, run: Run) -> str:
    """The command that makes every file of the run."""
    data = ["--data", data_root] if data_root else []
    return shlex.join(["python", "-m", "lib.batch", "--preset", preset, *data, "--run", str(run.root)])


def seeds_of(run: Run) -> list[int]:
    """The seeds that a run holds scores of, by the names of its folders; 0 where it holds none."""
    scored = (path.parent for path in run.scores())
    found = {path.name.removeprefix("seed") for path in scored if path.parents[1].name != SPECTRUM}  # its 0 is no seed
    return sorted(int(seed) for seed in found if seed.isdecimal()) or [0]


def _read(run, path, made, expected):
    """(scores, "", "") of a file that counts, (None, state, why) of another."""
    if not path.exists():
        reason = _failure(run, path.name, made)
        return (None, FAILED, reason) if reason else (None, MISSING, "not there yet")
    try:
        known, table = score_files.read_scores(path)
        if why := score_files.difference(known, expected):
            return None, REFUSED, f"{why}; run {' and '.join(score_files.notebooks_of(path.name, made)[::-1])} again"
        scores = score_files.checked(table, path)
    except ValueError as error:
        return None, REFUSED, str(error).removeprefix(f"{path}: ")
    systems = ROWS_OF.get(made.system, (made.system,))
    held = scores.select(score_files.NAMES).group_by(list(score_files.NAMES), use_threads=False).aggregate([])
    wanted = {(made.machine, system, made.parameter, made.seed) for system in systems}
    if odd := {tuple(row.values()) for row in held.to_pylist()} - wanted:
        return None, REFUSED, f"holds scores of {', '.join(map(str, min(odd)))}; {score_files.MEND}"
    return scores, "", ""


def _in_brief(scores, weighted, seed):
    """A table as millions of rows fit into memory: words as numbers, and no weighted mean where none is asked for."""
    if not weighted:
        scores = scores.filter(pc.equal(scores["aggregator"], "plain"))
    scores = scores.set_column(COLUMNS.index("seed"), "seed", pa.array(np.full(len(scores), seed)))
    for name in WORDS:
        scores = scores.set_column(COLUMNS.index(name), name, pc.cast(scores[name], pa.string()).dictionary_encode())
    return scores.replace_schema_metadata(None)


def _failure(run, name, made):
    """First line of the error that ended the last run of a notebook behind a file of scores; "" without one."""
    machine, *trained, seed = made
    row = EXTRACTORS.get(made.system)
    for notebook in score_files.notebooks_of(name, made)[::-1]:
        of_all = row is not None and row.of_all and notebook == row.notebook
        which = (*trained, f"seed{seed}") if made.system != SPECTRUM else None
        executed: Path = run.notebook(notebook, None if of_all else machine, which)
        try:
            cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError, KeyError):
            continue
        for output in (output for cell in cells for output in cell.get("outputs", ())):
            if output.get("output_type") == "error":
                lines = _COLOURS.sub("", output.get("evalue", "")).strip().splitlines()
                return f"{notebook}: {lines[0] if lines else output.get('ename', 'error')}"
    return ""
