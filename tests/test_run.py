"""The notebook runner: checked parameters, one line for an error, plain papermill from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib import paths, run


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
