"""The graph at smoke scale, and what happens when something is wrong."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from makers import write_noise

from lib import paths, run
from lib.settings import load_settings
from lib.systems import ROWS, SYSTEMS


def batch(*arguments):
    """Run lib.batch in its own process; returns (exit status, what it printed)."""
    command = [sys.executable, "-m", "lib.batch", "--cores", "2", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(paths.PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.PROJECT.parent, env=environment)
    return done.returncode, done.stdout + done.stderr


def jobs(printed):
    return printed.count(": done in")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A whole run at smoke scale: two machines of demo data."""
    folder = tmp_path_factory.mktemp("outputs") / "smoke"
    status, printed = batch("--preset", "smoke", "--run", folder)
    assert status == 0, printed
    return folder, printed


TRAININGS = {
    "fan": [("OE", "all"), ("Serial-OE", "all"), ("OE-Flow", "all"), ("SerialOE-Flow", "all"), ("OE-DFlow", "m-n"),
            ("SerialOE-DFlow", "m-n")],
    "ToyCar": [("OE", "all"), ("Serial-OE", "all"), ("OE-Flow", "all"), ("SerialOE-Flow", "all"),
               *((s, p) for s in ("OE-DFlow", "SerialOE-DFlow") for p in ("car", "spd", "mic"))],
}  # fmt: skip
MODEL = {"model.safetensors", "model.json", "history.csv", "embeddings.npz"}
FITTED = {"detectors.npz", "detectors.json", "detector_scores.parquet"}


def test_whole_graph(demo):
    folder, printed = demo
    fitted = sum(bool(SYSTEMS[s].families) for trained in TRAININGS.values() for s, _ in trained)
    assert jobs(printed) == 2 * 2 + 6 + 10 + fitted + 1  # 01 and 02 a machine, 03 or 04 a training, 05, 06
    for machine, trainings in TRAININGS.items():
        for name, parameter in trainings:
            trained, system = folder / machine / name / parameter / "seed0", SYSTEMS[name]
            files = (
                MODEL | (FITTED if system.families else set()) | ({"flow_scores.parquet"} if system.latent else set())
            )
            assert {p.name for p in trained.iterdir()} == files
            facts = json.loads((trained / "model.json").read_text())
            assert facts["settings"] == load_settings("smoke").model_dump(mode="json") and facts["data"]["synthetic"]
            history = pd.read_csv(trained / "history.csv")
            assert len(history) == 2 and set(system.losses) <= set(history.columns)
        assert (folder / machine / "Baseline" / "all" / "seed0" / "scores.parquet").exists()
        assert len(pd.read_csv(folder / machine / "audit.csv")) == 12 + 6 + 16
    executed = nbformat.read(
        folder / "notebooks" / "fan" / "04_joint_flow_training-OE-Flow-all-seed0.ipynb", as_version=4
    )
    assert any("image/png" in o.get("data", {}) for c in executed.cells if c.cell_type == "code" for o in c.outputs)


def test_every_row_of_every_table(demo):
    folder, _ = demo
    evaluation = pd.read_csv(folder / "tables" / "evaluation.csv")
    assert set(evaluation["machine"]) == {"fan", "ToyCar", "overall"} and evaluation["value"].between(0, 100).all()
    cells = evaluation.groupby(["system", "protocol", "rule", "machine"]).size()
    assert set(evaluation["system"]) == set(ROWS) and len(cells) == len(ROWS) * 2 * 2 * 3 and (cells == 4).all()
    for number, protocol, rule in itertools.product((2, 3, 4), ("all", "top20"), ("paper", "official")):
        table = pd.read_csv(folder / "tables" / f"table{number}_{protocol}_{rule}.csv")
        assert list(table["system"]) == list(ROWS) and "–" not in table.to_numpy()
    assert list(pd.read_csv(folder / "tables" / "table1.csv")["system"].str.rstrip("*")) == list(SYSTEMS)
    assert "52.98" not in "".join(p.read_text() for p in (folder / "tables").glob("table*"))  # the paper's
    effects = pd.read_csv(folder / "tables" / "effects.csv")
    assert effects["effect"].nunique() >= 5
    for number in (2, 3, 4):
        assert (folder / "figures" / f"table{number}_all_paper.pdf").exists()


def test_submission_files_of_a_run(demo):
    folder, _ = demo
    teams = folder / "teams" / "oe_flow"
    assert len(list(teams.iterdir())) == len(ROWS)
    for system in teams.iterdir():
        scores = (system / "anomaly_score_fan_section_00_test.csv").read_text().splitlines()
        decisions = (system / "decision_result_fan_section_00_test.csv").read_text().splitlines()
        assert len(scores) == len(decisions) == 16 and scores == sorted(scores)
        assert {line.rsplit(",", 1)[1] for line in decisions} <= {"0", "1"}


def test_a_second_run_does_nothing_and_a_setting_reruns_what_depends_on_it(demo, tmp_path):
    folder, _ = demo
    status, printed = batch("--preset", "smoke", "--run", folder)
    assert status == 0 and jobs(printed) == 0
    changed = tmp_path / "smoke.yaml"  # KNN alone: neither audit nor training
    changed.write_text("base: smoke\ninliers: {knn_neighbours: [1]}\n")
    status, printed = batch("--preset", changed, "--run", folder, "--machines", "fan")
    assert status == 0 and jobs(printed) == 4 + 1, printed  # OE, Serial-OE, OE-Flow, OE-DFlow; no training
    assert "05_inlier_fitting machine=fan" in printed and "06_ensemble_and_tables" in printed


def test_plain_papermill_from_any_folder(tmp_path):
    environment = os.environ | {"TQDM_DISABLE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [
        str(Path(sys.executable).parent / "papermill"),
        str(paths.NOTEBOOKS / "01_data_audit.ipynb"),
        "out.ipynb",
    ]
    parameters = ["-p", "machine", "fan", "-p", "preset", "smoke", "-p", "run_dir", str(tmp_path / "run")]
    done = subprocess.run([*command, *parameters], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out.ipynb").exists() and (tmp_path / "run" / "fan" / "audit.csv").exists()


def test_a_failing_machine_does_not_stop_the_others(root, tmp_path):
    """Drill's training clips are all broken: fan is trained and gets its tables, and the exit status says so."""
    for i in range(3):
        broken = root / "drill" / "train" / f"section_00_source_train_normal_{i:04d}_noAttribute.wav"
        write_noise(broken).tofile(broken)
        write_noise(root / "drill" / "test" / f"section_00_source_test_normal_{i:04d}_noAttribute.wav", seed=i)
    preset = tmp_path / "tiny.yaml"
    preset.write_text(
        "base: smoke\nsystems: [OE, OE-Flow]\nfrontend: {segment_seconds: 0.5}\ntraining: {epochs: 1, batch: 4}\n"
    )
    folder = tmp_path / "out of the way" / "run"
    status, printed = batch("--preset", preset, "--run", folder, "--data", root)
    assert status != 0
    assert "drill: no usable training clips" in printed and "cannot be decoded" in printed
    assert set(pd.read_csv(folder / "tables" / "evaluation.csv")["machine"]) == {"fan", "overall"}
    failed = nbformat.read(folder / "notebooks" / "drill" / "03_oe_training-OE-all-seed0.ipynb", as_version=4)
    assert any(o.output_type == "error" for c in failed.cells if c.cell_type == "code" for o in c.outputs)


def test_real_clips_at_smoke_scale(real_root, tmp_path):
    folder, preset = tmp_path / "out" / "real", tmp_path / "few.yaml"
    preset.write_text("base: smoke\nsystems: [OE, OE-DFlow]\n")
    status, printed = batch("--preset", preset, "--run", folder, "--data", real_root, "--machines", "ToyCar")
    assert status == 0, printed
    assert jobs(printed) == 2 + 1 + 3 + 4 + 1  # OE-DFlow for car, mic and spd
    paper, official = (
        pd.read_csv(folder / "tables" / f"table4_all_{rule}.csv").set_index(["system", "whose"])["ToyCar"]
        for rule in ("paper", "official")
    )
    assert paper["OE", "paper"] == "52.98" and "[" in paper["OE", "ours"]
    assert (
        official["Baseline (MSE)", "paper"] == "54.89"
    )  # the paper's baselines follow the official rule, and only they
    assert ("Baseline (MSE)", "paper") not in paper and ("OE", "paper") not in official


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "fast"], "unknown preset 'fast'; known: demo"),
        (
            ["--preset", "smoke", "--machines", "drill"],
            "unknown machine drill; with training and test clips the demo data has fan, ToyCar",
        ),
        (["--preset", "smoke", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["--preset", "smoke", "--run", "/dev/null/run"], "choose another run folder (RUN)"),
        (["--preset", "smoke", "--seeds", "one"], "seeds must be whole numbers with spaces between, found 'one'"),
    ],
)
def test_wrong_arguments_of_a_batch(arguments, message, tmp_path):
    run_folder = [] if "--run" in arguments else ["--run", tmp_path / "run"]
    status, printed = batch(*arguments, *run_folder)
    assert status != 0 and message in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            {"epochs": 3},
            "unknown parameter epochs; it has machine, system, parameter, seed, preset, data_root, run_dir",
        ),
        ({"seed": "one"}, "seed='one' must be of type int"),
        ({"preset": "fast"}, "unknown preset 'fast'"),
        ({"system": "XYZ"}, "unknown system 'XYZ'; known: OE"),
    ],
)
def test_wrong_parameters_of_a_notebook(pairs, message):
    with pytest.raises(ValueError, match=message):
        run.check_parameters(paths.NOTEBOOKS / "03_oe_training.ipynb", pairs)


def test_command_line_errors_are_one_line(tmp_path, capsys):
    assert run.main(["04_nothing", str(tmp_path / "out.ipynb")]) == 2
    assert "unknown notebook '04_nothing'; known: 01_data_audit" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run.main(["01_data_audit", str(tmp_path / "file" / "out.ipynb"), "machine=fan"]) == 2
    assert "choose another run folder" in capsys.readouterr().err
    assert run.main(["01_data_audit", str(tmp_path / "o.ipynb"), "machine"]) == 2
    assert "expected key=value" in capsys.readouterr().err
