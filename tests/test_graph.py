"""The graph at smoke scale: a run of a few systems that all tests of it share, one of all systems in `make test-all`."""

import fcntl
import itertools
import json
import os
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import soundfile
from makers import batch

from lib.dependencies import LIBRARY
from lib.graph import Graph
from lib.paths import NOTEBOOKS, PRESETS, PROJECT, Run, data_folder
from lib.recordings.plan import Plan
from lib.settings import load_settings
from lib.systems import BASELINES, ENSEMBLES, ROWS, SHARED, SPECTRA, SUBMITTED, SYSTEMS, Trained


def jobs(printed):
    """Notebooks that finished."""
    return len(re.findall(r"^\[ *\d+/\d+\] ", printed, re.MULTILINE))


GOLDEN = PROJECT / "tests" / "golden_smoke.csv"
MODEL = {"model.safetensors", "model.json", "history.csv", "embeddings.npz"}
FITTED = {"detectors.npz", "detectors.json", "detector_scores.parquet"}


@pytest.fixture(scope="module", params=["few", pytest.param("all", marks=pytest.mark.long)])
def whole(request, tmp_path_factory):
    """(folder, what it printed, trainings) of a run: the shared one of a few systems, or one of all."""
    if request.param == "few":
        folder, printed = request.getfixturevalue("smoke")
        systems = load_settings(str(folder.parent / "few.yaml")).systems
    else:
        folder, systems = tmp_path_factory.mktemp("all systems") / "smoke", tuple(SYSTEMS)
        status, printed = batch("--preset", "smoke", "--run", folder, "--machines", "fan")
        assert status == 0, printed
    return folder, printed, [(name, "m-n" if SYSTEMS[name].per_parameter else "all") for name in systems]


def test_every_notebook_leaves_its_files(whole):
    folder, printed, trainings = whole
    fitted = sum(bool(SYSTEMS[system].families) for system, _ in trainings)
    assert (
        jobs(printed) == 2 + len(trainings) + fitted + 1 + 3
    )  # 01, 02; 03 or 04 a training; 05; 06; 08, 09 and its 05
    settings = load_settings("smoke").model_dump(mode="json") | {"systems": [system for system, _ in trainings]}
    for name, parameter in trainings:
        trained, system = folder / "fan" / name / parameter / "seed0", SYSTEMS[name]
        files = MODEL | (FITTED if system.families else set()) | ({"flow_scores.parquet"} if system.latent else set())
        assert {p.name for p in trained.iterdir()} == files
        facts = json.loads((trained / "model.json").read_text())
        assert facts["settings"] == settings and facts["data"]["synthetic"]
        history = pd.read_csv(trained / "history.csv")
        assert len(history) == 2 and set(system.losses) <= set(history.columns)
    for name in ("Baseline", "Spectrum"):
        assert (folder / "fan" / name / "all" / "seed0" / "scores.parquet").exists()
    assert {p.name for p in (folder / "fan" / SHARED / "all" / "seed0").iterdir()} == FITTED
    shared = {p.name for p in (folder / "shared" / SHARED / "seed0").iterdir()}
    assert shared == {"model.safetensors", "model.json", "history.csv", "fan.npz", "gearbox.npz"}
    assert len(pd.read_csv(folder / "fan" / "audit.csv")) == 12 + 6 + 16
    executed = nbformat.read(
        folder / "notebooks" / "fan" / "04_joint_flow_training-OE-DFlow-m-n-seed0.ipynb", as_version=4
    )
    assert any("image/png" in o.get("data", {}) for c in executed.cells if c.cell_type == "code" for o in c.outputs)


def rows_of(trainings, protocol="all"):
    """The rows that a run of these systems has, in the tables' order."""
    rows = {*BASELINES, *SPECTRA, SHARED, *(system for system, _ in trainings)}
    for name, (members, _) in ENSEMBLES.items():
        papers = {name, *members} & set(SUBMITTED) and protocol == "extended"
        rows |= {name} if rows >= set(members) and not papers else set()
    return [row for row in ROWS if row in rows]


def test_every_row_of_every_table(whole):
    folder, _, trainings = whole
    rows = rows_of(trainings)
    evaluation = pd.read_csv(folder / "tables" / "evaluation.csv")
    assert set(evaluation["machine"]) == {"fan", "overall"} and evaluation["value"].between(0, 100).all()
    cells = evaluation.groupby(["system", "protocol", "rule", "machine"]).size()
    count = sum(len(rows_of(trainings, protocol)) for protocol in ("all", "top20", "extended"))
    assert set(evaluation["system"]) == set(rows) and len(cells) == count * 2 * 2 and (cells == 4).all()
    for number, protocol, rule in itertools.product((2, 3, 4), ("all", "top20", "extended"), ("paper", "official")):
        table = pd.read_csv(folder / "tables" / f"table{number}_{protocol}_{rule}.csv")
        assert list(table["system"]) == rows_of(trainings, protocol) and "–" not in table.to_numpy()
    assert list(pd.read_csv(folder / "tables" / "table1.csv")["system"].str.rstrip("*")) == list(SYSTEMS)
    assert "52.98" not in "".join(p.read_text() for p in (folder / "tables").glob("table*"))  # the paper's
    effects = pd.read_csv(folder / "tables" / "effects.csv")
    assert effects["effect"].nunique() >= min(5, len(trainings))
    for number in (2, 3, 4):
        assert (folder / "figures" / f"table{number}_all_paper.pdf").exists()


def test_submission_files_of_a_run(whole):
    folder, _, trainings = whole
    teams = folder / "teams" / "oe_flow"
    assert len(list(teams.iterdir())) == len(rows_of(trainings))
    for system in teams.iterdir():
        scores = (system / "anomaly_score_fan_section_00_test.csv").read_text().splitlines()
        decisions = (system / "decision_result_fan_section_00_test.csv").read_text().splitlines()
        assert len(scores) == len(decisions) == 16 and scores == sorted(scores)
        assert {line.rsplit(",", 1)[1] for line in decisions} <= {"0", "1"}


def score_means(folder):
    """Mean raw score over the test clips by (machine, system, parameter, detector), one of each family."""
    tables = [pd.read_parquet(path) for path in Run(folder).scores()]
    scores = pd.concat(tables, ignore_index=True).query("part == 'test' and aggregator == 'plain'")
    scores = scores[scores["fit_set"].isin(("", "source", "train")) & ~scores["detector"].str.contains(r"-(?:2|4)$")]
    return scores.groupby(["machine", "system", "parameter", "detector"])["score"].mean()


def test_scores_are_the_golden_ones(whole):
    """A change of behaviour anywhere between a clip and its score shows. Tolerance 1 %: processors round differently.

    Where a change is wanted: `python -m lib.batch --preset smoke --machines fan`, then `python tests/test_graph.py
    outputs/smoke`.
    """
    found, golden = score_means(whole[0]), pd.read_csv(GOLDEN, index_col=[0, 1, 2, 3])["score"]
    golden = golden[
        golden.index.isin([*BASELINES, *SPECTRA, SHARED, *(system for system, _ in whole[2])], level="system")
    ]
    assert list(found.index) == list(golden.index)
    assert found.to_numpy() == pytest.approx(golden.to_numpy(), rel=1e-2)


@contextmanager
def alone(folder):
    """One process at a time in the folder that the tests share: even a dry run writes into it."""
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def to_run(folder, preset=None, data="", cores=2):
    """What a run would execute."""
    with alone(folder):
        preset = preset or folder.parent / "few.yaml"
        settings = load_settings(str(preset))
        return Graph.of(Run(folder), settings, str(preset), str(data), "fan", [0], cores, "").to_run()


def test_nothing_reruns_when_nothing_but_times_names_and_cores_have_changed(smoke, tmp_path):
    folder, _ = smoke
    for path in (LIBRARY / "network" / "losses.py", NOTEBOOKS / "03_oe_training.ipynb", PRESETS / "smoke.yaml"):
        os.utime(path)
    renamed = shutil.copy(folder.parent / "few.yaml", tmp_path / "another name.yaml")
    assert to_run(folder, renamed, cores=7) == []


def test_a_setting_reruns_what_reads_it(smoke, tmp_path):
    preset = tmp_path / "smoke.yaml"  # KNN alone: neither audit nor training
    preset.write_text((smoke[0].parent / "few.yaml").read_text() + "inliers: {knn_neighbours: [1]}\n")
    found = to_run(smoke[0], preset)
    assert [line.split(" ")[0] for line in found] == ["05_inlier_fitting"] * 2 + ["06_ensemble_and_tables"]
    assert all(any(f"machine=fan, system={name}, " in line for line in found) for name in ("Shared", "OE-DFlow"))


@pytest.mark.long
def test_a_clip_reruns_its_machine_and_a_touched_one_nothing(smoke, tmp_path):
    """A test clip is heard by its own machine and the shared extractor; a copy of the root elsewhere is the same data."""
    data = shutil.copytree(data_folder("", str(smoke[0].parent / "few.yaml")), tmp_path / "another root")
    clips = [next((data / "dev_data" / "raw" / machine / "test").iterdir()) for machine in ("gearbox", "fan")]
    for clip in clips:
        os.utime(clip)
    assert to_run(smoke[0], data=data) == []
    for clip, expected in zip(clips, (3, 2 + 2 + 1 + 3 + 1), strict=True):
        sound, rate = soundfile.read(clip)
        soundfile.write(clip, sound[::-1], rate)
        found = to_run(smoke[0], data=data)
        assert len(found) == expected, found


def test_scores_behind_a_notebook_that_failed_are_dropped(tmp_path):
    """Spectrum's belong to no seed, the shared extractor's and the encoder's to every machine."""
    shared = [Trained(*made, "all", 0) for made in (("fan", "Shared"), ("pump", "Shared"), ("fan", "Encoder"))]
    plan = Plan(("fan", "pump"), (0,), (), (), spectra=(Trained("fan", "Spectrum", "all", 0),), shared=tuple(shared))
    run = Run(tmp_path)
    paths = list(plan.score_files(run))
    for failed, left in (
        (("08_spectrum_reference", "fan"), 3),
        (("09_shared_extractor", "", "Shared", "all", "seed0"), 2),
        (("10_frozen_encoder", "", "Encoder", "all", "seed0"), 3),
    ):
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        graph = Graph(run, plan, None, None, "", "", 1, "")
        assert graph.drop_scores_of([failed]) and sum(path.exists() for path in paths) == left


@pytest.mark.long
def test_a_run_that_is_moved_keeps_its_results(smoke, tmp_path):
    with alone(smoke[0]):
        moved = shutil.copytree(smoke[0], tmp_path / "outputs {2}" / "moved")
        shutil.copy(smoke[0].parent / "few.yaml", moved.parent)
    assert to_run(moved) == []


@pytest.mark.long
def test_real_clips_at_smoke_scale(real_root, tmp_path):
    folder, preset = tmp_path / "out" / "real", tmp_path / "few.yaml"
    preset.write_text("base: smoke\nsystems: [OE, OE-DFlow]\n")
    status, printed = batch("--preset", preset, "--run", folder, "--data", real_root, "--machines", "ToyCar")
    assert status == 0, printed
    assert jobs(printed) == 2 + 1 + 3 + 4 + 1 + 3  # OE-DFlow for car, mic and spd; 08, 09 and its 05
    paper, official = (
        pd.read_csv(folder / "tables" / f"table4_all_{rule}.csv").set_index(["system", "whose"])["ToyCar"]
        for rule in ("paper", "official")
    )
    assert paper["OE", "paper"] == "52.98" and "[" in paper["OE", "ours"]
    assert (
        official["Baseline (MSE)", "paper"] == "54.89"
    )  # the paper's baselines follow the official rule, and only they
    assert ("Baseline (MSE)", "paper") not in paper and ("OE", "paper") not in official


if __name__ == "__main__":
    score_means(Path(sys.argv[1])).to_csv(GOLDEN, float_format="%.6g")
