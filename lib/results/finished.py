"""The rows of a finished run, made again from its score files, by what lies in the run's folder alone.

Which files count says `tables/run.json`, which test clips there are `<machine>/audit.csv`: the folder may have been
moved, and the recordings need not be at hand.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.detection import ensembles, scoring
from lib.detection.score_files import COLUMNS, load_scores
from lib.paths import Run, readable
from lib.results.submission import check_clips
from lib.settings import Settings
from lib.systems import ENSEMBLES, FUSIONS, ROWS, ROWS_OF, SPECTRUM, Trained, folder_of, score_files_of

DETECTOR = ["system", "detector", "fit_set", "aggregator"]


class Finished(NamedTuple):
    """A run whose tables are made.

    Attributes:
        settings: of the tables.
        rows: as `ensembles.add_submitted`, of protocol `all`.
        tests: {machine: its test clips, with `stem` and `section`}.
        refused: {(row, machine): why it has no scores}, which is then not in `rows`.
    """

    settings: Settings
    rows: pd.DataFrame
    tests: dict[str, pd.DataFrame]
    refused: dict[tuple[str, str], str]

    @property
    def names(self) -> list[str]:
        """The rows that there are, in the order of the tables."""
        known = {*self.rows["system"], *(row for row, _ in self.refused)}
        return [row for row in ROWS if row in known]

    def only(self, names: list[str]) -> "Finished":
        """The run with these rows alone; ValueError for one that it lacks."""
        if unknown := [name for name in names if name not in self.names]:
            raise ValueError(f"no row {', '.join(map(repr, unknown))}; the run has {', '.join(self.names)}")
        refused = {pair: why for pair, why in self.refused.items() if pair[0] in names}
        return self._replace(rows=self.rows[self.rows["system"].isin(names)], refused=refused)


def read(run: Run) -> Finished:
    """Read the score files that the run's tables counted.

    Raises:
        ValueError: the run has no tables; names the file and the mend.
    """
    settings, counted, seeds, left_out = _tables(run)
    tests, broken, tables = {}, {}, []
    for path, made in _files(run, counted, seeds, left_out):
        try:
            if made.machine not in tests:
                tests[made.machine] = _test_clips(run, made.machine)
            scores = _scores(path, made, tests[made.machine])
        except ValueError as error:
            broken.setdefault((made.system, made.machine), str(error))
            continue
        every = seeds if made.system == SPECTRUM else [made.seed]  # nothing random: the same beside every seed
        tables += [(made, scores.assign(seed=seed)) for seed in every]
    whole = [scores for made, scores in tables if (made.system, made.machine) not in broken]
    refused = _refused(broken, _rows_of(counted, settings))
    rows = _rows(whole, settings) if whole else pd.DataFrame(columns=[*ensembles.CLIP, "protocol", "score"])
    kept = [pair not in refused for pair in zip(rows["system"], rows["machine"], strict=True)]
    return Finished(settings, rows[np.array(kept, bool)], tests, refused)


def _rows(tables, settings):
    detectors = ensembles.detector_scores(pd.concat(tables, ignore_index=True), settings.evaluation.weighted_machines)
    reference = scoring.reference_part(settings.inliers)
    return ensembles.add_submitted(ensembles.system_rows(detectors, None, reference), settings.systems, reference)


def _tables(run):
    """Settings, {machine: [[folder, parameter], …]}, seeds and left-out files of the run's tables."""
    path, mend = run.tables / "run.json", "no finished run; run 06_ensemble_and_tables, or the whole run"
    with readable(path, mend):
        facts = json.loads(path.read_text(encoding="utf-8"))
        settings, seeds = Settings.model_validate(facts["settings"]), [int(seed) for seed in facts["seeds"]]
        counted = {machine: [(system, parameter) for system, parameter in made]
                   for machine, made in facts["counted"].items()}  # fmt: skip
    with readable(run.tables / "left_out.csv", mend):
        left_out = set(pd.read_csv(run.tables / "left_out.csv", keep_default_na=False)["file"])
    return settings, counted, seeds, left_out


def _files(run, counted, seeds, left_out) -> Iterator[tuple[Path, Trained]]:
    """(path, whose it is) of every score file that the tables are made of."""
    for machine, made in counted.items():
        for system, parameter in made:
            for seed in [0] if system == SPECTRUM else seeds:
                which = Trained(machine, system, parameter, seed)
                for path in (run.trained(*which) / name for name in score_files_of(system)):
                    if str(path.relative_to(run.root)) not in left_out:
                        yield path, which


def _test_clips(run, machine):
    path = run.machine(machine) / "audit.csv"
    with readable(path, "it says which test clips there are; run 01_data_audit again"):
        clips = pd.read_csv(path, dtype=str, keep_default_na=False)
        return clips.loc[clips["split"] == "test", ["stem", "section"]]


def _scores(path, made, index):
    """The scores in a file; ValueError, which names it, where they are not one for each test clip and detector."""
    scores = load_scores(path)
    strange = scores[(scores["machine"] != made.machine) | (scores["system"].map(folder_of) != made.system)]
    if len(strange):
        raise ValueError(f"{path}: holds scores of {strange['machine'].iat[0]}, {strange['system'].iat[0]}")
    twice = scores.duplicated([name for name in COLUMNS if name not in ("score", "mean", "deviation", "standardized")])
    if twice.any():
        raise ValueError(f"{path}: {scores.loc[twice, 'clip'].iat[0]} has two scores of one detector")
    if not (scores["part"] == "calibration").any():
        raise ValueError(f"{path}: holds no scores of calibration clips")
    for _, detector in scores[scores["part"] == "test"].groupby(DETECTOR, sort=False):
        try:
            check_clips(detector["clip"], index["stem"])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return scores


def _rows_of(counted, settings):
    """The rows that the tables have."""
    folders = {system for made in counted.values() for system, _ in made}
    found = {row for system in folders for row in ROWS_OF.get(system, (system,))}
    for name, (members, _) in ENSEMBLES.items():  # one of ensembles stands behind them
        found |= {name} if set(members) <= (found if name in FUSIONS else set(settings.systems)) else set()
    return found


def _refused(broken, there):
    """{(row, machine): why} of the rows of what is broken, {(folder, machine): why}, and of the ensembles of these."""
    found = {(row, machine): why for (system, machine), why in broken.items() for row in ROWS_OF.get(system, (system,))}
    for name, (members, _) in ENSEMBLES.items():
        found |= {(name, machine): why for (row, machine), why in found.items() if row in members}
    return {pair: why for pair, why in found.items() if pair[0] in there}
