"""python -m lib.submission: exports of a finished run, evaluated again; exit statuses and last lines."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from challenge import clips_of, finished_run, official_score, write_submission, write_truth
from makers import clip_table

from lib import submission
from lib.detection.metrics import machine_scores
from lib.paths import Run
from lib.results import finished

SIZE = {"test": 3, "calibration": 4}
TRUTH = [(f"{clip.clip}.wav", clip.domain, clip.label) for clip in clip_table(**SIZE).query("part == 'test'").itertuples()]  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return finished_run(Run(tmp_path_factory.mktemp("kept") / "run"), ("OE", "OE-Flow"), **SIZE)


@pytest.fixture
def run(kept, tmp_path):
    return Run(shutil.copytree(kept.root, tmp_path / "run"))


def said(capsys, *arguments):
    """(exit status, lines of stdout, stderr)."""
    status = submission.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


def test_what_is_exported_is_evaluated_as_the_tables_do(run, tmp_path, capsys):
    status, lines, _ = said(capsys, "export", run.root)
    folder = run.root / "teams" / "oe_flow"
    assert (
        status == 0
        and lines[-1] == "8 files of 2 rows"
        and str(folder / "OE-Flow" / "anomaly_score_fan_section_00_test.csv") in lines
    )
    assert sorted(lines[:-1]) == sorted(map(str, folder.rglob("*.csv")))
    for machine in ("fan", "ToyCar"):
        write_truth(tmp_path / "truth", machine, TRUTH)
    table = tmp_path / "numbers" / "all.csv"
    status, lines, _ = said(capsys, "evaluate", folder / "OE", tmp_path / "truth", "--csv", table, "--resamples", 20)
    rows, expected = finished.read(run).rows.query("system == 'OE' and part == 'test'"), []
    for _, clips in rows.groupby("machine"):
        found = machine_scores(clips["score"], clips["domain"], clips["label"])["official"]
        expected += [found[name][0] for name in ("auc_source", "auc_target", "pauc")]
    assert status == 0 and lines[-1] == f"official score {official_score(expected):.6f}"
    assert [line for line in lines if line.startswith("official score")] == lines[-1:]
    numbers = pd.read_csv(table)
    assert numbers["value"].iat[-1] == pytest.approx(official_score(expected)) and "[" in "".join(lines)
    assert set(numbers["rule"]) == {"paper", "official", "decisions"}
    status, lines, _ = said(capsys, "evaluate", run.root, tmp_path / "truth", "--machines", "ToyCar", "--resamples", 0)
    assert status == 0 and sum(line.startswith("official score ") for line in lines) == 2
    assert lines[-3].startswith("folder") and {line.split()[0] for line in lines[-2:]} == {
        str(folder / row) for row in ("OE", "OE-Flow")
    }


def test_what_is_refused_stops_no_other_file_and_leaves_no_old_one(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert said(capsys, "export", run.root, "--out", out, "--team", "mine")[0] == 0
    team = out / "teams" / "mine"
    (team / "notes.txt").write_text("x")
    write_submission(team / "OE", "pump", TRUTH, range(len(TRUTH)))  # of another run
    path = run.tables / "clip_scores.csv"
    scores = pd.read_csv(path, keep_default_na=False)
    lost = (scores["system"] == "OE") & (scores["machine"] == "fan") & (scores["clip"] == "source_normal_01")
    scores["score"].mask(lost).to_frame().join(scores.drop(columns="score")).to_csv(path, index=False)
    status, lines, _ = said(capsys, "export", run.root, "--out", out, "--team", "mine")
    assert status == 1 and lines[-1] == "6 files of 2 rows; 1 refused"
    assert lines[-2].startswith("OE, fan: not written: no score for 1 of 12 test clips (source_normal_01)")
    assert sorted(file.name.split("_section")[0] for file in (team / "OE").iterdir()) == [
        "anomaly_score_ToyCar", "anomaly_score_pump", "decision_result_ToyCar"
    ]  # fmt: skip
    for machine in ("fan", "ToyCar"):
        (run.machine(machine) / "audit.csv").rename(run.machine(machine) / "kept.csv")
    status, lines, _ = said(capsys, "export", run.root, "--out", out, "--team", "mine")
    assert status == 1 and lines[-1] == "0 files of 0 rows; 4 refused" and len(lines) == 5
    assert [file.name for file in team.rglob("*.csv")] == ["anomaly_score_pump_section_00_test.csv"]
    for machine in ("fan", "ToyCar"):
        (run.machine(machine) / "kept.csv").rename(run.machine(machine) / "audit.csv")
    assert said(capsys, "export", run.root, "--row", "OE-Flow", "--out", tmp_path / "one")[:1] == (0,)
    assert [folder.name for folder in (tmp_path / "one" / "teams" / "oe_flow").iterdir()] == ["OE-Flow"]
    assert not (run.root / "teams").exists() and (team / "notes.txt").exists()


def test_faults_are_said_and_the_other_machines_scored(tmp_path, capsys):
    for machine in ("fan", "pump"):
        write_truth(tmp_path / "truth", machine, clips_of())
        write_submission(tmp_path / "s", machine, clips_of(), ["nan", *range(19)] if machine == "fan" else range(20))
    status, lines, _ = said(capsys, "evaluate", tmp_path / "s", tmp_path / "truth", "--resamples", "0")
    assert status == 1 and lines[-1] == "official score: none, because fan cannot be scored"
    assert (
        lines[-2] == f"{tmp_path}/s/anomaly_score_fan_section_00_test.csv: not finite: row 1: section_00_0000.wav,nan"
    )
    assert [line.split()[:2] for line in lines].count(["pump", "00"]) == 2 and not any(
        line.startswith("fan") for line in lines
    )
    status, lines, _ = said(capsys, "evaluate", tmp_path / "s", tmp_path / "truth", "--machines", "pump")
    assert status == 0 and np.isfinite(float(lines[-1].removeprefix("official score ")))


def test_a_folder_whose_name_is_in_no_encoding(tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"s\xff")
    write_truth(tmp_path, "fan", clips_of())
    write_submission(folder, "fan", clips_of(), range(20))
    write_submission(folder, "fan (1)", clips_of(), range(20))
    (folder / "anomaly_score_fan (1)_section_00_test.csv").rename(folder / "anomaly_score_fan_section_00_test (1).csv")
    status, lines, _ = said(capsys, "evaluate", folder, tmp_path, "--csv", tmp_path / "x.csv", "--resamples", 0)
    assert status == 0 and lines[-2].endswith("_test (1).csv: not the name of a score file; not read")
    assert set(pd.read_csv(tmp_path / "x.csv")["folder"]) == {f"{tmp_path}/s\\udcff"}


def test_calls_that_are_refused(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    write_submission(tmp_path / "s", "fan", TRUTH, range(len(TRUTH)))
    for arguments, message in (
        (["export", tmp_path / "nowhere"], "no such run"),
        (["export", ""], "no such run"),
        (["export", tmp_path / "empty"], "no finished run; run 06_ensemble_and_tables"),
        (["export", run.root, "--row", "OE-DFlow"], "no row 'OE-DFlow'; the run has OE, OE-Flow"),
        (["export", run.root, "--team", "a/b"], "a team is the name of a folder"),
        (["evaluate", tmp_path / "nowhere"], "no such folder"),
        (["evaluate", tmp_path / "empty"], "no score files there"),
        (["evaluate", tmp_path / "s", tmp_path / "nowhere"], "no such file or folder; give the ground truth"),
        (["evaluate", tmp_path / "s", "--machines", "drill"], "unknown machine drill; there are fan"),
        (["evaluate", tmp_path / "s", "--resamples", "-1"], "a number of resamples"),
    ):
        status, lines, error = said(capsys, *arguments)
        assert status == 2 and message in error and not lines, arguments
    for arguments in ([], ["export"], ["evaluate"], ["draw", "x"]):
        with pytest.raises(SystemExit) as stop:
            submission.main(arguments)
        assert stop.value.code == 2
