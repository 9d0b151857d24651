"""The rows of a finished run, from what lies in its folder alone: it may have been moved, and needs no recordings."""

import json
from typing import NamedTuple

import pandas as pd

from lib.detection.ensembles import CLIP
from lib.paths import Run, readable
from lib.settings import Settings
from lib.systems import ROWS


class Finished(NamedTuple):
    """A run whose tables are made.

    Attributes:
        settings: of the tables.
        rows: as `ensembles.add_submitted`, of protocol `all`.
        tests: {machine: its test clips, with `stem` and `section`}.
        refused: {(row, machine): why it cannot be written}, which is then not in `rows`.
    """

    settings: Settings
    rows: pd.DataFrame
    tests: dict[str, pd.DataFrame]
    refused: dict[tuple[str, str], str]

    def only(self, names: list[str]) -> "Finished":
        """The run with these rows alone; ValueError for one that it lacks."""
        known = {*self.rows["system"], *(row for row, _ in self.refused)}
        there = [row for row in ROWS if row in known]
        if unknown := [name for name in names if name not in there]:
            raise ValueError(f"no row {', '.join(map(repr, unknown))}; the run has {', '.join(there)}")
        refused = {pair: why for pair, why in self.refused.items() if pair[0] in names}
        return self._replace(rows=self.rows[self.rows["system"].isin(names)], refused=refused)


def read(run: Run) -> Finished:
    """Read the run's `tables/clip_scores.csv`, and each machine's test clips as its audit lists them.

    Raises:
        ValueError: the run has no tables, or they are damaged; names the file and the mend.
    """
    mend = "no finished run; run 06_ensemble_and_tables, or the whole run"
    path = run.tables / "run.json"
    with readable(path, mend):
        settings = Settings.model_validate(json.loads(path.read_text(encoding="utf-8"))["settings"])
    path = run.tables / "clip_scores.csv"
    with readable(path, mend):
        rows = pd.read_csv(path, keep_default_na=False, na_values={"score": [""]}, dtype={"clip": str, "machine": str})
        rows = rows.loc[rows["protocol"] == "all", [*CLIP, "protocol", "score"]].astype({"score": float})
    if (twice := rows.duplicated(CLIP)).any():
        first = rows[twice].iloc[0]
        raise ValueError(f"{path}: {first['machine']}, {first['system']}: two scores of {first['clip']}; {mend}")
    tests, refused = {}, {}
    for machine, own in rows.groupby("machine", sort=False):
        try:
            tests[machine] = _test_clips(run, machine)
        except ValueError as error:
            refused |= {(row, machine): str(error) for row in own["system"].unique()}
    return Finished(settings, rows[rows["machine"].isin(list(tests))], tests, refused)


def _test_clips(run, machine):
    path = run.machine(machine) / "audit.csv"
    with readable(path, "it says which test clips there are; run 01_data_audit again"):
        clips = pd.read_csv(path, dtype=str, keep_default_na=False)
        return clips.loc[clips["split"] == "test", ["stem", "section"]]
