"""The notebooks for a person: a tour that leaves nothing, and a trained machine's verdict on new recordings."""

import shutil
import tempfile

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
from scored import run_cells

from lib import run
from lib.paths import OUTPUTS, data_folder
from lib.results import plots

TEST = data_folder("", "few") / "dev_data" / "raw" / "fan" / "test"


@pytest.fixture
def few(smoke):
    """The preset of the run that tests share, whose demo data is there."""
    return str(smoke[0].parent / "few.yaml")


@pytest.fixture
def fan(smoke, tmp_path):
    """A run of which the fan's Spectrum is there."""
    shutil.copytree(smoke[0] / "fan" / "Spectrum", tmp_path / "run" / "fan" / "Spectrum")
    return tmp_path / "run"


@pytest.fixture
def recordings(smoke, tmp_path):
    """A folder of over a minute at 48 kHz with a tone in the middle, a healthy clip, and one that cannot be read."""
    folder = tmp_path / 'new "recordings"'
    folder.mkdir()
    healthy, rate = soundfile.read(sorted(TEST.glob("*source_test_normal*"))[0])
    minute = np.resize(healthy, 62 * rate)
    minute[30 * rate : 33 * rate] += 0.1 * np.sin(2 * np.pi * 3000 * np.arange(3 * rate) / rate)
    soundfile.write(folder / "minute.wav", np.repeat(minute, 3), 3 * rate)
    soundfile.write(folder / "healthy.wav", healthy, rate)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.mark.long
def test_the_tour_ends_with_two_rows_and_leaves_nothing(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = run_cells("00_tour", preset=few)
    assert not list(tmp_path.glob("tour-*")) and not (OUTPUTS / "few").exists()
    table = left["table"]
    assert table.index.tolist() == ["OE", "Spectrum"] and table.columns.tolist() == ["AUC source [%]", "AUC target [%]"]
    assert table.stack().str.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]").all()
    assert left["faulty"]["label"] == "anomaly" and left["healthy"]["attributes"] == left["faulty"]["attributes"]
    said = capsys.readouterr().out
    assert "95 % interval [" in said and "8 healthy and 8 faulty clips " in said


def test_new_recordings_get_a_verdict(fan, few, recordings, monkeypatch, capsys):
    monkeypatch.setattr(plots, "save", lambda *_: None)  # takes as long as the rest
    left = run_cells("07_score_recordings", preset=few, run_dir=str(fan), clips=str(recordings))
    scores = pd.read_csv(fan / "fan" / "scores.csv")
    assert scores["clip"].tolist() == ["minute.wav", "healthy.wav"] and scores["decision"].tolist()[0]
    assert scores.columns.tolist() == left["listener"].score(TEST / "none.wav").columns.tolist()
    assert left["begin"] < 30 and left["end"] > 33 and left["closer"][0].seconds == pytest.approx(6)
    assert len(left["played"]) == left["AUDIBLE"], "a player is small whatever the clip's length"
    top = left["shares"].nlargest(2, "share")["hertz"]
    assert set(left["shares"]["view"]) == {"power", "flux"} and top.between(2500, 3500).all()
    said = capsys.readouterr().out
    assert "broken.wav" in said and "minute.wav: anomalous" in said and "of 8 healthy clips" in said
    assert set(left["figures"]) == {"ranks", "costs", "strangest", "closer", "shares"}


def test_without_a_run_the_command_that_makes_one_is_named(few, tmp_path):
    with pytest.raises(ValueError, match=r"nothing is trained for fan; python -m lib\.batch --preset .*few\.yaml"):
        run_cells("07_score_recordings", preset=few, run_dir=str(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize(
    ("notebook", "parameters"),
    [("00_tour", {}), ("07_score_recordings", {"row": "SerialOE-DFlow"}), ("07_score_recordings", {"row": "Shared"})],
)
def test_by_papermill(smoke, few, tmp_path, notebook, parameters):
    """As `lib.run` executes them: figures and players in a copy of less than a megabyte."""
    if notebook.startswith("07"):
        shutil.copytree(smoke[0] / "fan", tmp_path / "run" / "fan")
        shutil.copytree(smoke[0] / "shared", tmp_path / "run" / "shared")
        parameters = parameters | {"run_dir": str(tmp_path / "run")}
    executed = tmp_path / "out.ipynb"
    run.run_notebook(notebook, executed, {"preset": few, **parameters})
    outputs = [o for cell in nbformat.read(executed, as_version=4).cells for o in cell.get("outputs", [])]
    shown = [output.get("data", {}) for output in outputs]
    assert sum("image/png" in data for data in shown) >= 3
    assert any("<audio" in data.get("text/html", "") for data in shown)
    assert executed.stat().st_size < 1_000_000
    if notebook.startswith("07"):
        assert (tmp_path / "run" / "figures" / "fan" / "scored_strangest.png").exists()
