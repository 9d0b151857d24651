"""Which files of scores the tables are made of, from made files in a run's folder."""

import json

import pandas as pd
import pytest
from makers import clip_table, long_form, write_noise

from lib.detection import collected, score_files
from lib.network.experiment import Experiment
from lib.paths import Run
from lib.recordings.clips import ClipBank
from lib.recordings.plan import Plan
from lib.settings import load_settings

TINY = "base: smoke\nsystems: [OE, OE-Flow, OE-DFlow]\nbaselines: {baselines}\nbeyond: []\ntraining: {{epochs: {epochs}}}\n"
CLIPS = clip_table(test=2, calibration=3)


def settings_of(folder, epochs=2, baselines="true"):
    path = folder / f"tiny{epochs}{baselines}.yaml"
    path.write_text(TINY.format(epochs=epochs, baselines=baselines))
    return load_settings(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A settings object and the bank of two machines with two parameters of two values, fan and pump."""
    folder = tmp_path_factory.mktemp("made")
    for machine in ("fan", "pump"):
        for split, label in (("train", "normal"), ("test", "normal"), ("test", "anomaly")):
            for i in range(4):
                name = f"section_00_source_{split}_{label}_{i:04d}_car_{'AB'[i % 2]}_spd_{28 + i % 2}V"
                write_noise(folder / "data" / machine / split / f"{name}.wav", 0.3, seed=i)
    return settings_of(folder), ClipBank.open(
        Run(folder / "outputs" / "run"), folder / "data", load_settings("smoke").data
    )


def table_of(trained, name, value=0.0):
    """Scores as the notebook writes them into the file of that name."""
    facts = dict(machine=trained.machine, parameter=trained.parameter, seed=trained.seed)
    if name == score_files.AUTOENCODER:
        both = [
            long_form(CLIPS, value, system=f"Baseline ({m})", detector=m, fit_set="", **facts)
            for m in ("MSE", "Mahalanobis")
        ]
        return pd.concat(both, ignore_index=True)
    detector = dict(detector="flow", fit_set="") if name == score_files.FLOW else {}
    return long_form(CLIPS, value, system=trained.system, **detector, **facts)


def fill(run, plan, settings, bank, value=0.0):
    """Every file of the plan, as a finished run leaves it."""
    for path, trained in plan.score_files(run).items():
        known = score_files.expected_provenance(path.name, trained, settings, bank)
        score_files.write_scores(table_of(trained, path.name, value), path, known)


@pytest.fixture
def finished(made, run):
    """(run, plan, settings, bank) of which every file is there."""
    settings, bank = made
    plan = Plan.of(bank, settings, (), (0,))
    fill(run, plan, settings, bank)
    return run, plan, settings, bank


def test_a_finished_run_is_read_whole(finished):
    found = collected.collect(*finished)
    assert (found.left_out.empty and found.lines() == [] and found.whole is found.scores) or len(found.whole)
    held = found.scores.groupby(["machine", "system", "parameter", "seed", "detector"]).ngroups
    assert held == 2 * (2 + 1 + 2 + 2)  # a machine: both baselines, OE, OE-Flow's two files, OE-DFlow for car and spd
    assert len(found.whole) == len(found.scores)


def test_what_the_plan_does_not_train_is_not_read(finished, made):
    """Another seed, machine, parameter and system, lying in the run's folder with provenance and all."""
    run, plan, settings, bank = finished
    fill(run, Plan.of(bank, settings, (), (1,)), settings, bank, value=9.0)
    odd = [
        t._replace(**changed)
        for t in plan.trainings[:1]
        for changed in ({"machine": "drill"}, {"parameter": "mic"}, {"system": "Serial-OE"})
    ]
    for trained in odd:
        path = run.trained(*trained) / score_files.DETECTORS
        score_files.write_scores(table_of(trained, path.name, 9.0), path, {"code": "x"})
    found = collected.collect(run, plan, settings, bank)
    assert (found.scores["score"] == 0).all() and found.left_out.empty and set(found.scores["seed"]) == {0}
    only = collected.collect(run, Plan.of(bank, settings, ("pump",), (0, 1)), settings, bank)
    assert set(only.scores["machine"]) == {"pump"} and set(only.scores["seed"]) == {0, 1}
    assert collected.seeds_of(run) == [0, 1]


def stale_settings(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    known["embeddings"]["settings"]["training.epochs"] = 7
    score_files.write_scores(table_of(trained, path.name), path, known)


def stale_code(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    score_files.write_scores(table_of(trained, path.name), path, known | {"code": "older"})


def other_recordings(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    known["embeddings"]["data"] = "other"
    score_files.write_scores(table_of(trained, path.name), path, known)


def silent(run, plan, settings, bank, path, trained):
    table_of(trained, path.name).to_parquet(path)


def half_written(run, plan, settings, bank, path, trained):
    path.write_bytes(path.read_bytes()[:200])


def text(run, plan, settings, bank, path, trained):
    table_of(trained, path.name).to_csv(path)


def copied(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    score_files.write_scores(table_of(trained._replace(machine="pump"), path.name), path, known)


def without_columns(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    score_files.write_scores(table_of(trained, path.name).drop(columns=["label", "score"]), path, known)


def broken(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    table = table_of(trained, path.name)
    table.loc[0, "standardized"] = float("inf")
    score_files.write_scores(table, path, known)


def untested(run, plan, settings, bank, path, trained):
    known = score_files.expected_provenance(path.name, trained, settings, bank)
    score_files.write_scores(table_of(trained, path.name).query("part != 'test'"), path, known)


def gone(run, plan, settings, bank, path, trained):
    path.unlink()


def failed(run, plan, settings, bank, path, trained):
    path.unlink()
    executed = run.notebook("03_oe_training", "fan", ("OE", "all", "seed0"))
    executed.parent.mkdir(parents=True)
    error = {
        "output_type": "error",
        "ename": "ValueError",
        "evalue": "\x1b[31mfan: no usable clips\x1b[0m\nmore",
        "traceback": [],
    }
    executed.write_text(
        json.dumps(
            {"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [{"output_type": "stream"}, error]}]}
        )
    )


AGAIN = "run 03_oe_training and 05_inlier_fitting again"


@pytest.mark.parametrize(
    ("harm", "state", "why"),
    [
        (stale_settings, "refused", f"made with training.epochs 7, now 2; {AGAIN}"),
        (stale_code, "refused", f"made by other code; {AGAIN}"),
        (other_recordings, "refused", f"made from other recordings than those under the data root now; {AGAIN}"),
        (silent, "refused", f"does not say what it was made with; {AGAIN}"),
        (half_written, "refused", "cannot be read (*); delete it and run the notebook that wrote it (02, 04, 05 or 08) again"),
        (text, "refused", "cannot be read (*); delete it and run the notebook that wrote it (02, 04, 05 or 08) again"),
        (copied, "refused", "holds scores of pump, OE, all, 0; delete it and run *"),
        (without_columns, "refused", "no table of clip scores, it has no label, score; delete it and run *"),
        (broken, "refused", "1 of 11 scores are not finite; delete it and run *"),
        (untested, "refused", "holds no scores of test clips; delete it and run *"),
        (gone, "missing", "not there yet"),
        (failed, "failed", "03_oe_training: fan: no usable clips"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_count_is_named_and_left_out(finished, harm, state, why):
    run, plan, settings, bank = finished
    path, trained = next((p, t) for p, t in plan.score_files(run).items() if t.machine == "fan" and t.system == "OE")
    harm(run, plan, settings, bank, path, trained)
    found = collected.collect(run, plan, settings, bank)
    (row,) = found.left_out.itertuples(index=False)
    assert tuple(row[:6]) == (*trained, "fan/OE/all/seed0/detector_scores.parquet", state)
    begin, _, end = why.partition("*")
    assert row.why.startswith(begin) and row.why.endswith(end) and "\n" not in row.why, row.why
    assert set(found.scores.loc[found.scores["machine"] == "fan", "system"]) & {"OE", "OE-Flow"} == {"OE-Flow"}
    assert set(found.scores.loc[found.scores["machine"] == "pump", "system"]) >= {"OE", "OE-Flow", "OE-DFlow"}
    (line,) = found.lines("make demo")
    assert ("1 files of scores" in line and "make demo" in line) if state == "missing" else why.split("*")[0] in line


def test_a_changed_setting_refuses_what_reads_it_alone(finished, tmp_path):
    """The epochs of OE are no concern of the baseline, and `joint` none of OE."""
    run, plan, _, bank = finished
    changed = settings_of(tmp_path, epochs=3)
    found = collected.collect(run, plan, changed, bank)
    assert set(found.scores["system"]) == {"Baseline (MSE)", "Baseline (Mahalanobis)"}
    assert found.left_out["why"].str.startswith("made with training.epochs 2, now 3").any()
    joint = changed.model_copy(update={"training": load_settings("smoke").training})
    joint = joint.model_copy(update={"joint": joint.joint.model_copy(update={"epochs": 5})})
    kept = set(collected.collect(run, plan, joint, bank).scores["system"])
    assert "OE" not in kept or not kept & {"OE-Flow", "OE-DFlow"}


def test_other_recordings_are_refused_everywhere(finished, tmp_path):
    """06 called by hand with another data root than the run's: the same names, other sound."""
    run, _, settings, bank = finished
    for row in bank.clips.itertuples():
        write_noise(tmp_path / "data" / row.machine / row.split / f"{row.stem}.wav", 0.3, seed=77)
    other = ClipBank.open(run, tmp_path / "data", settings.data)
    with pytest.raises(ValueError, match="no scores of fan, pump made with these settings") as error:
        collected.collect(run, Plan.of(other, settings, (), (0,)), settings, other)
    assert str(error.value).count("made from other recordings") == 5


def test_spectrums_seed_is_none(run):
    for system, seed in (("Spectrum", 0), ("OE", 3)):
        path = run.trained("fan", system, "all", seed) / "scores.parquet"
        path.parent.mkdir(parents=True)
        path.touch()
    assert collected.seeds_of(run) == [3]


def test_nothing_there_names_the_mend(made, run):
    settings, bank = made
    with pytest.raises(
        ValueError, match=r"05_inlier_fitting, or the whole run \(make demo, make run\)\n  missing: 12 files"
    ):
        collected.collect(run, Plan.of(bank, settings, (), (0,)), settings, bank)
    assert collected.seeds_of(run) == [0]


def test_what_the_plan_leaves_out_is_passed_on(finished):
    run, plan, settings, bank = finished
    plan = Plan(plan.machines, plan.seeds, plan.trainings, plan.baselines, (("drill", "", "no test clips"),))
    found = collected.collect(run, plan, settings, bank)
    assert found.left_out.to_dict("records") == [
        dict(zip(collected.LEFT_OUT, ("drill", "", "", "", "", "left out", "no test clips"), strict=True))
    ]
    assert found.lines() == ["left out: drill: no test clips"] and len(found.whole) == len(found.scores)


def test_detectors_are_ranked_by_whole_groups(finished):
    """Without its flow, fan's OE-Flow is no judge of detectors; without car, OE-DFlow is whole nowhere and all count."""
    run, plan, settings, bank = finished
    (run.trained("fan", "OE-Flow") / score_files.FLOW).unlink()
    for machine in ("fan", "pump"):
        (run.trained(machine, "OE-DFlow", "car") / score_files.DETECTORS).unlink()
    found = collected.collect(run, plan, settings, bank)
    held = found.whole.groupby("system")["machine"].agg(set).to_dict()
    assert held["OE-Flow"] == {"pump"} and held["OE"] == held["OE-DFlow"] == {"fan", "pump"}
    assert {"fan", "pump"} == set(found.scores.query("system == 'OE-Flow'")["machine"])


def test_the_expected_provenance_is_what_notebooks_write(made, run):
    """For 02, 03 with 05 behind it, and 04: of an experiment whose bank is the run's."""
    settings, bank = made
    for path, trained in Plan.of(bank, settings, ("fan",), (0,)).score_files(run).items():
        written = {}
        for notebook in score_files.notebooks_of(path.name, trained)[::-1]:
            names = dict(system=trained.system, parameter=trained.parameter, seed=trained.seed)
            experiment = Experiment(notebook, "fan", settings, run, **names)
            experiment.__dict__["bank"] = bank
            written = experiment.provenance(written or None)
        assert json.loads(json.dumps(written)) == score_files.expected_provenance(path.name, trained, settings, bank)


def test_the_command_quotes(tmp_path):
    assert (
        collected.command("demo", "/my data", Run(tmp_path))
        == f"python -m lib.batch --preset demo --data '/my data' --run {tmp_path}"
    )
    assert "--data" not in collected.command("demo", "", Run(tmp_path))
