"""`make data`: what a person is told, and the exit status."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from zenodo_server import HASTE, clips, zipped

from lib import data, paths
from lib.recordings import download

FAN, DEV = "dev_fan.zip", 7882613


@pytest.fixture
def make_data(zenodo, tmp_path, monkeypatch):
    """The command line: exit status of a call for fan."""
    monkeypatch.setattr(download, "Patience", lambda: HASTE)
    monkeypatch.chdir(tmp_path)
    return lambda *given: data.main(
        [str(tmp_path / "it's data"), "--machines=fan", f"--server={zenodo.address}", *given]
    )


def test_whole_missing_refused(make_data, zenodo, tmp_path, capsys):
    assert make_data("--sets=dev") == 0
    printed = capsys.readouterr().out
    assert f"make run DATA='{tmp_path}/it'\"'\"'s data' PRESET=spectrum" in printed
    assert make_data() == 0 and "nothing to download" in capsys.readouterr().out
    assert data.main([str(tmp_path / "other"), "--machines=fan,ToyTrain", f"--server={zenodo.address}"]) == 1
    printed = capsys.readouterr()
    assert "dev_ToyTrain.zip: not listed in http" in printed.out and "[1/1] dev_fan.zip: 16 clips in" in printed.out
    assert printed.err == "missing: dev_ToyTrain.zip\n"
    assert make_data("--sets=evil") == 2 and "unknown set 'evil'" in capsys.readouterr().err


def test_without_a_folder_it_goes_into_the_projects_own(make_data, zenodo, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    assert data.main(["", "--machines=fan", "--sets=", "--zips=", f"--server={zenodo.address}"]) == 0
    assert (tmp_path / "data" / "dev_data" / "raw" / "fan" / "train").is_dir()


def test_a_full_disk_is_said_with_the_mend(make_data, zenodo, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "unpack", full)
    assert make_data() == 1
    printed = capsys.readouterr().out
    assert "No space left on device; free space there or choose another folder (DATA)\n" in printed
    monkeypatch.setattr(download, "unpack", lambda *_: (tmp_path / FAN / "x").write_text("x"))
    (tmp_path / FAN).touch()
    assert make_data() == 1
    assert (
        f"cannot write {tmp_path / FAN / 'x'}: Not a directory; choose another folder (DATA)\n"
        in capsys.readouterr().out
    )
    listing = tmp_path / "new" / ".download" / f"{DEV}.json"
    listing.mkdir(parents=True)
    assert data.main([str(tmp_path / "new"), "--machines=fan", f"--server={zenodo.address}"]) == 1
    assert capsys.readouterr().out == f"cannot write {listing}: Is a directory; choose another folder (DATA)\n"


def test_ctrl_c_keeps_what_came(zenodo, tmp_path):
    zenodo.files[DEV][FAN] = zipped(clips("fan", train=30))
    zenodo.faults[FAN] = ["silent"]
    command = [sys.executable, "-m", "lib.data", tmp_path / "data", "--machines=fan", f"--server={zenodo.address}"]
    process = subprocess.Popen(
        command, cwd=paths.PROJECT, env=os.environ | {"no_proxy": "127.0.0.1"}, stderr=subprocess.PIPE, text=True
    )
    part, until = tmp_path / "data" / ".download" / f"{FAN}.part", time.monotonic() + 60
    while time.monotonic() < until and not (part.exists() and part.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed = process.communicate()[1]
    assert (
        process.returncode == 130 and printed == "stopped; what came is kept, and the same command goes on from there\n"
    )
    begin = part.stat().st_size
    assert data.main([str(arg) for arg in command[3:]]) == 0
    assert zenodo.ranges(FAN)[-1] == (f"bytes={begin}-", len(zenodo.files[DEV][FAN]) - begin)
