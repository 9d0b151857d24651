"""A finished run's rows from its folder alone, and what is said of one that is damaged."""

import shutil

import numpy as np
import pandas as pd
import pytest
from challenge import finished_run
from makers import made
from scored import rows_of

from lib.paths import Run
from lib.results import finished
from lib.systems import SPECTRA

SYSTEMS = ("OE", "OE-Flow", *SPECTRA)
SIZE = {"test": 2, "calibration": 4}
KEYS = ["system", "machine", "seed", "part", "clip"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return finished_run(Run(tmp_path_factory.mktemp("kept") / "run"), SYSTEMS, seeds=(0, 1), asked=("OE",), **SIZE)


@pytest.fixture
def run(kept, tmp_path):
    """A finished run of two machines and seeds, in a folder that was moved."""
    return Run(shutil.copytree(kept.root, tmp_path / "moved, “elsewhere”"))


def changed(run, change):
    path = run.tables / "clip_scores.csv"
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def test_rows_are_those_of_the_tables_to_the_last_digit(run):
    found = finished.read(run)
    expected = rows_of(made(systems=SYSTEMS, seeds=(0, 1), **SIZE), systems=("OE",)).query("protocol == 'all'")
    both = found.rows.merge(expected, on=KEYS)
    assert len(both) == len(found.rows) == len(expected) and np.array_equal(both["score_x"], both["score_y"])
    assert len(found.tests["fan"]) == 8 and set(found.tests["fan"]["section"]) == {"00"} and not found.refused


def test_rows_can_be_chosen(run):
    assert set(finished.read(run).only(["OE", "Spectrum"]).rows["system"]) == {"OE", "Spectrum"}
    with pytest.raises(ValueError, match="no row 'OE-DFlow'; the run has OE, OE-Flow, Spectrum"):
        finished.read(run).only(["OE", "OE-DFlow"])


def test_a_machine_without_an_audit_is_refused_and_no_other(run):
    (run.machine("fan") / "audit.csv").unlink()
    found = finished.read(run)
    assert {machine for _, machine in found.refused} == {"fan"} and set(found.rows["machine"]) == {"ToyCar"}
    assert "run 01_data_audit again" in found.refused["OE", "fan"]
    assert set(found.only(["OE"]).refused) == {("OE", "fan")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: pd.concat([s, s.iloc[[3]]]), "two scores of"),
        (lambda s: s.assign(score="high"), "cannot be read"),
        (lambda s: s.drop(columns="clip"), "cannot be read"),
    ],
)
def test_damaged_tables_are_refused_by_name(run, change, said):
    changed(run, change)
    with pytest.raises(ValueError, match=rf"clip_scores.csv: .*{said}.*run 06_ensemble_and_tables"):
        finished.read(run)


def test_a_run_without_tables_is_none(run):
    for text in ("{", "{}"):
        (run.tables / "run.json").write_text(text)
        with pytest.raises(ValueError, match=r"run.json: cannot be read .*no finished run; run 06"):
            finished.read(run)
