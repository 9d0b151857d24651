"""A finished run's rows from its folder alone, and what a damaged score file takes with it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from challenge import finished_run
from makers import made
from scored import rows_of

from lib.detection import collected, score_files
from lib.paths import Run
from lib.results import finished
from lib.systems import BASELINES, SPECTRA

SYSTEMS = ("OE", "OE-Flow", *BASELINES, *SPECTRA)
SIZE = {"test": 2, "calibration": 4}
KEYS = ["system", "machine", "seed", "part", "clip"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return finished_run(Run(tmp_path_factory.mktemp("kept") / "run"), SYSTEMS, seeds=(0, 1), asked=("OE",), **SIZE)


@pytest.fixture
def run(kept, tmp_path):
    """A finished run of two machines and seeds, in a folder that was moved."""
    return Run(shutil.copytree(kept.root, tmp_path / "moved, “elsewhere”"))


def damage(path, change):
    scores = pd.read_parquet(path)
    score_files.write_scores(change(scores), path, {})


def test_rows_are_those_of_the_tables_wherever_the_folder_lies(run):
    found = finished.read(run)
    expected = rows_of(
        made(systems=SYSTEMS, seeds=(0, 1), **SIZE), found.settings.evaluation.weighted_machines, ("OE",)
    )
    expected = expected[expected["protocol"] == "all"]
    both = found.rows.merge(expected, on=KEYS)
    random = ~(both["system"].str.startswith("Spectrum") & (both["seed"] == 1))
    assert len(both) == len(found.rows) == len(expected) and not found.refused
    assert np.allclose(both["score_x"][random], both["score_y"][random], atol=1e-12)
    spectrum = found.rows[found.rows["system"] == "Spectrum (power)"].groupby("seed")["score"].apply(list)
    assert spectrum[0] == spectrum[1], "nothing random in it: the same beside each seed"
    assert found.names == [*BASELINES, "OE", "OE-Flow", *SPECTRA, "Spectrum"]
    assert len(found.tests["fan"]) == 8 and set(found.tests["fan"]["section"]) == {"00"}


DAMAGED = {  # file: what happens to it, what is said
    "fan/OE/all/seed0/detector_scores.parquet": (
        lambda s: s[~((s["clip"] == "source_normal_01") & (s["detector"] == "KNN-1"))],
        "no score for 1 of 8 test clips (source_normal_01)",
    ),
    "ToyCar/OE/all/seed1/detector_scores.parquet": (
        lambda s: pd.concat([s, s[s["clip"] == "source_normal_01"].assign(clip="other")]),
        "no recording for 1 of 8 test clips (other)",
    ),
    "fan/OE-Flow/all/seed0/flow_scores.parquet": (
        lambda s: pd.concat([s, s.iloc[[1]].assign(score=9.0)]),
        "source_normal_01 has two scores of one detector",
    ),
    "ToyCar/OE-Flow/all/seed0/detector_scores.parquet": (
        lambda s: s.assign(score=s["score"].where(s["clip"] != "source_normal_01")),
        "8 of 96 scores are not finite",
    ),
    "fan/Baseline/all/seed0/scores.parquet": (lambda s: s.assign(machine="ToyCar"), "holds scores of ToyCar, Baseline"),
    "ToyCar/Spectrum/all/seed0/scores.parquet": (lambda s: s[s["part"] == "test"], "no scores of calibration clips"),
}


def test_a_damaged_file_takes_its_rows_and_their_ensembles_along(run):
    for file, (change, _) in DAMAGED.items():
        damage(run.root / file, change)
    found = finished.read(run)
    refused = {("OE", "fan"), ("OE", "ToyCar"), ("OE-Flow", "fan"), ("OE-Flow", "ToyCar")}
    refused |= {(row, "fan") for row in BASELINES} | {(row, "ToyCar") for row in (*SPECTRA, "Spectrum")}
    assert set(found.refused) == refused
    for file, (_, said) in DAMAGED.items():
        assert any(why.startswith(f"{run.root / file}: ") and said in why for why in found.refused.values()), said
    there = set(found.rows[["system", "machine"]].itertuples(index=False, name=None))
    assert there == {(row, "fan") for row in (*SPECTRA, "Spectrum")} | {(row, "ToyCar") for row in BASELINES}


def test_a_file_that_is_gone_is_refused_but_not_one_that_the_tables_left_out(run):
    file = "fan/OE/all/seed0/detector_scores.parquet"
    (run.root / file).unlink()
    found = finished.read(run)
    assert "cannot be read" in found.refused["OE", "fan"]
    some = found.only(["OE", "Spectrum"])
    assert set(some.rows["system"]) == {"OE", "Spectrum"} and set(some.refused) == {("OE", "fan")}
    assert found.only(["Spectrum"]).refused == {}
    with pytest.raises(ValueError, match="no row 'OE-DFlow'; the run has Baseline"):
        found.only(["OE", "OE-DFlow"])
    left = pd.DataFrame([("fan", "OE", "all", 0, file, "failed", "odd")], columns=collected.LEFT_OUT)
    left.to_csv(run.tables / "left_out.csv", index=False)
    found = finished.read(run)
    assert not found.refused and set(found.rows.query("system == 'OE' and machine == 'fan'")["seed"]) == {1}


def test_ensembles_of_the_paper_are_refused_where_they_were_asked_for(run):
    finished_run(run, ("OE-DFlow", "SerialOE-DFlow"), asked=("OE-DFlow", "SerialOE-DFlow"), **SIZE)
    damage(run.root / "fan/OE-DFlow/all/seed0/detector_scores.parquet", lambda s: s[s["clip"] != "source_normal_00"])
    found = finished.read(run)
    assert set(found.refused) == {("OE-DFlow", "fan"), ("Submitted 2", "fan")}
    assert set(found.rows.query("system == 'Submitted 2'")["machine"]) == {"ToyCar"}


def test_a_machine_without_an_audit_and_a_run_without_tables(run):
    (run.machine("fan") / "audit.csv").unlink()
    found = finished.read(run)
    assert {machine for _, machine in found.refused} == {"fan"} and len(found.refused) == 10
    assert "run 01_data_audit again" in found.refused["OE", "fan"]
    (run.machine("ToyCar") / "audit.csv").unlink()
    found = finished.read(run)
    assert found.rows.empty and len(found.refused) == 20 and not found.tests
    for broken in ("{", json.dumps({"settings": {}, "seeds": [0]})):
        (run.tables / "run.json").write_text(broken)
        with pytest.raises(ValueError, match=r"run.json: cannot be read .*no finished run; run 06"):
            finished.read(run)
