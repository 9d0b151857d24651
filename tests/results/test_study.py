"""docs/study.md: paired differences against a loop, what a row's scores are, what is not run yet, and its command."""

import json

import numpy as np
import pytest
from makers import made

from lib import batch, paths, study
from lib.detection.metrics import machine_scores
from lib.detection.score_files import write_scores
from lib.paths import Run
from lib.results import study as page
from lib.results.study_rows import FOLDER, RUNS, TABLES, Side
from lib.settings import load_settings
from lib.systems import ROWS


def hmeans(rng, seeds=(0, 1, 2), resamples=200, shift=0.0):
    return {("fan", seed): 0.6 + shift + 0.01 * rng.standard_normal(1 + resamples) for seed in seeds}


def test_a_difference_is_of_the_same_seeds_and_its_interval_resamples_them():
    rng = np.random.default_rng(0)
    base, side = hmeans(rng, (0, 1, 2)), hmeans(rng, (1, 2, 3), shift=0.1)
    found = page.compare(side, base, np.random.default_rng(5)).loc["fan"]
    assert found["value"] == pytest.approx(100 * np.mean([side["fan", s][0] for s in (1, 2, 3)]))
    assert found["sd"] == pytest.approx(100 * np.std([side["fan", s][0] for s in (1, 2, 3)], ddof=1))
    assert found["difference"] == pytest.approx(100 * np.mean([side["fan", s][0] - base["fan", s][0] for s in (1, 2)]))
    drawn, means = np.random.default_rng(5).integers(2, size=(2, 200)), []
    for r in range(200):
        seeds = [(1, 2)[i] for i in drawn[:, r]]
        means.append(np.mean([side["fan", s][1 + r] - base["fan", s][1 + r] for s in seeds]))
    assert [found["low"], found["high"]] == pytest.approx(100 * np.quantile(means, (0.025, 0.975)))


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    base = hmeans(rng)
    side = {key: values + 0.1 * key[1] for key, values in base.items()}  # the clips agree, the seeds do not
    found = page.compare(side, base, rng).loc["fan"]
    assert found["difference"] == pytest.approx(10) and found["low"] < 4 and found["high"] > 16


def test_what_a_base_lacks_has_no_difference():
    rng = np.random.default_rng(0)
    found = page.compare(hmeans(rng), {}, rng)
    assert found.loc["fan", "value"] == pytest.approx(60, abs=3) and "difference" not in found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two finished runs of the study: OE by its own and by the joint schedule, two seeds; and Spectrum, seed 0."""
    root = tmp_path_factory.mktemp("outputs") / "study"
    for i, (name, systems, seeds) in enumerate(
        [("oe", ("OE",), (0, 1)), ("oe_joint_schedule", ("OE",), (0, 1)),
         ("spectrum", ("Spectrum (power)", "Spectrum (flux)"), (0,))]
    ):  # fmt: skip
        run = Run(root / name)
        scores = made(systems=systems, seeds=seeds, shift=1 + i)
        for (machine, system, seed), own in scores.groupby(["machine", "system", "seed"]):
            place = run.trained(machine, system if "Spectrum" not in system else "Spectrum", system, seed)
            write_scores(own, place / "detector_scores.parquet", {})
        run.tables.mkdir(parents=True)
        told = {"seeds": [0, 1], "training_clips": {"fan": 7, "ToyCar": 9}, "date": "today", "commit": "abc"}
        (run.tables / "run.json").write_text(json.dumps(told))
    return root


def test_a_rows_scores_are_those_of_the_tables_and_a_pattern_takes_its_detectors(folder):
    run = page.StudyRun(folder / "oe")
    row = run.scores("OE")
    assert set(row["seed"]) == {0, 1} and set(row["machine"]) == {"fan", "ToyCar"} and set(row["part"]) == {"test"}
    one = run.detectors["detector"].unique()[0]
    own = run.detectors.query("detector == @one and part == 'test' and label != ''")
    found = run.scores("OE", one)
    assert sorted(found["score"]) == pytest.approx(sorted(own["score"]))
    assert run.scores("OE", one[:-1]).empty  # the whole name
    spectrum = page.StudyRun(folder / "spectrum").scores("Spectrum")
    assert set(spectrum["seed"]) == {0, 1}  # nothing random: beside every seed of the others


def test_only_the_machines_and_seeds_of_the_tables_count(folder):
    """Scores of an earlier call may lie beside them; Spectrum's seed is 0 whatever the others are."""
    for name, system in (("oe", "OE"), ("spectrum", "Spectrum")):
        run = page.StudyRun(folder / name)
        told = run.facts | {"seeds": [1], "training_clips": {"fan": 7}}
        path = run.run.tables / "run.json"
        before = path.read_text()
        path.write_text(json.dumps(told))
        scores = run.scores(system)
        path.write_text(before)
        assert set(scores["machine"]) == {"fan"} and set(scores["seed"]) == {1}


def test_scored_is_the_own_rule_and_overall_is_over_machines(folder):
    run, side = page.StudyRun(folder / "oe"), Side("oe", "OE")
    found = page.scored(run, side, run.settings, 20)
    clips = run.scores("OE").query("machine == 'fan' and seed == 1").sort_values("clip")
    expected = machine_scores(clips["score"], clips["domain"], clips["label"], 0.1, 20)["paper"]
    assert found["fan", 1]["hmean"] == pytest.approx(expected["hmean"])
    values = page.over_machines(found)
    parts = [found[m, 1][s][0] for m in ("fan", "ToyCar") for s in ("auc_source", "auc_target", "pauc")]
    assert values["overall", 1][0] == pytest.approx(6 / sum(1 / part for part in parts))


def test_the_page_says_what_stands_against_what_and_what_is_not_run_yet(folder, tmp_path):
    text = page.write(folder, tmp_path, resamples=20).read_text()
    tables = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    joint = tables["Does joint training help? Scores of KNN"]
    assert (
        "| OE on the schedule of the joint training: the same epochs and rate, no flow | oe_joint_schedule |" in joint
    )
    first, second = (line for line in joint.splitlines() if "| oe" in line)
    assert first.count("–") == 3 and second.count("[") == 3
    assert "Not run yet: flow_detached, flow_1e-7, flow_1e-5, flow_1e-3." in joint
    assert tables["Does joint training help? Scores of flow"].rstrip().endswith("Not run yet.")
    assert "Training clips: fan 7, ToyCar 9. Seeds 0 1, today, commit abc." in text
    assert "| Spectrum, K = 4 | spectrum |" in tables["Spectrum: views and local density"]


def test_without_runs_the_mend_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no finished run of the study; make study makes them"):
        page.write(tmp_path)


def test_the_flows_share_is_of_every_machine_and_seed(tmp_path):
    root = tmp_path / "flow_1e-3"
    for seed in (0, 1):
        path = Run(root).trained("fan", "OE-Flow", seed=seed) / "history.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"flow_share\n{0.1 * (1 + seed)}\n0.9\n0.5\n")
    (root / "tables").mkdir()
    (root / "tables" / "run.json").write_text(json.dumps({"seeds": [0, 1], "training_clips": {"fan": 3}}))
    lines = page.shares({"flow_1e-3": page.StudyRun(root)}).splitlines()
    assert lines[-1].endswith("| fan | 15 % | 50 % |")
    assert page.shares({}) == ""


def test_every_preset_of_the_study_is_a_row_of_its_tables():
    presets = {path.stem for path in FOLDER.glob("*.yaml")}
    assert {name for name in presets if not name.endswith("_base")} == set(RUNS)
    assert set(RUNS) == {side.run for table in TABLES for side in table.rows.values()}
    for table in TABLES:
        for side in table.rows.values():
            settings = load_settings(FOLDER / f"{side.run}.yaml")
            asked = (*settings.systems, *settings.beyond)
            assert side.system in ROWS and side.system.partition(" ")[0] in asked
            assert settings.inliers.extended or not side.detectors.endswith("extended")


def test_one_command_runs_every_preset_and_stops_where_one_fails(tmp_path, monkeypatch, folder):
    calls = []
    monkeypatch.setattr(paths, "OUTPUTS", folder.parent)
    monkeypatch.setattr(page, "write", lambda _: "study.md")
    monkeypatch.setattr(batch, "main", lambda given: calls.append(given) or int(len(calls) == 3))
    assert study.main(["--data", "clips", "--machines", "fan"]) == 1 and len(calls) == 3
    assert calls[0][1:] == [str(FOLDER / "spectrum.yaml"), "--data=clips", "--machines=fan", "--seeds=0 1 2 3",
                            "--run", str(folder / "spectrum")]  # fmt: skip
    calls.clear()
    monkeypatch.setattr(batch, "main", lambda given: calls.append(given) or 0)
    assert study.main(["--only", "shared_no"]) == 0
    assert [given[1].rpartition("/")[2] for given in calls] == [
        "shared_no_domain.yaml", "shared_no_mixup.yaml", "shared_no_shift.yaml",
    ]  # fmt: skip
