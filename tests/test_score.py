"""`make score` and `make watch`: a line a clip, whatever else lies there and however it ends."""

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from lib import score
from lib.listener import Listener
from lib.paths import PROJECT, data_folder

CLIPS = data_folder("", "few") / "dev_data" / "raw" / "fan" / "test"


def rows(path):
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


@pytest.fixture
def folder(smoke, tmp_path):
    """Three clips, one of them below, and one that is none."""
    place = tmp_path / "new"
    (place / "night").mkdir(parents=True)
    for clip, name in zip(sorted(CLIPS.glob("*.wav")), ("a.wav", "b.wav", "night/a.wav"), strict=False):
        shutil.copyfile(clip, place / name)
    (place / "empty.wav").touch()
    (place / "notes.txt").write_text("x")
    return place


def test_every_clip_has_a_line_and_what_cannot_be_read_says_why(smoke, folder, tmp_path, capsys):
    given = [str(smoke[0] / "fan"), str(folder), "--csv", str(tmp_path / "s.csv"), "--threshold", "-100"]
    assert score.main([*given, "--pictures", str(tmp_path / "pictures")]) == 1
    found = {row["file"]: row for row in rows(tmp_path / "s.csv")}
    assert len(found) == 4 and {row["decision"] for row in found.values()} == {"True", ""}
    assert "empty" in found[str(folder / "empty.wav")]["problems"] and found[str(folder / "a.wav")]["reason"]
    assert found[str(folder / "a.wav")]["score"] != found[str(folder / "night" / "a.wav")]["score"]
    printed = capsys.readouterr().out
    assert "4 clips in" in printed and "1 could not be read" in printed and printed.count("ANOMALOUS") == 3
    assert score.main(given) == 1 and "4 of them scored earlier; 1 could not be read" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "pictures").glob("*.png")) == [
        "new_a_wav.png",
        "new_b_wav.png",
        "night_a_wav.png",
    ]
    (folder / "empty.wav").unlink()
    assert score.main(given) == 0 and len(rows(tmp_path / "s.csv")) == 4


def test_what_is_refused_before_it_starts(smoke, tmp_path, capsys):
    model = str(smoke[0] / "fan")
    for given, said in (
        ([str(tmp_path), str(tmp_path)], "nothing trained there"),
        ([model + "s", str(tmp_path)], "beside it are fan"),
        ([model, str(tmp_path / "none")], "no such file or folder"),
        ([model, str(tmp_path)], "no .wav or .flac file"),
        ([model, str(tmp_path), "--row", "OE"], "no row 'OE'"),
        ([model, str(tmp_path), "--false-alarms", "7"], "between 0 and 1"),
        ([model, str(CLIPS), str(CLIPS), "--watch"], "takes one folder"),
        ([model, "", "--watch"], "takes one folder"),
    ):
        assert score.main([*given, "--csv", str(tmp_path / "s.csv")]) == 2
        assert said in capsys.readouterr().err


def test_a_short_fault_in_a_long_recording_is_found_and_its_place_is_said(smoke, tmp_path, capsys):
    """The strangest stretch, the last one too; a file that was scored as a whole is scored anew."""
    sound, rate = soundfile.read(sorted(CLIPS.glob("*normal*.wav"))[0], dtype="int16")
    fault = np.random.default_rng(0).integers(-9000, 9000, 2 * rate, np.int16)
    long = np.concatenate([sound] * 3)
    long[-len(fault) :] = fault
    soundfile.write(tmp_path / "long.wav", long, rate)
    soundfile.write(tmp_path / "short.wav", fault, rate)
    given = [str(smoke[0] / "fan"), str(tmp_path), "--csv", str(tmp_path / "s.csv"), "--threshold", "100"]
    assert score.main(given) == 0 and "a short fault drowns" not in capsys.readouterr().out
    assert score.main([*given, "--stretch", "2"]) == 0
    whole, short, stretched, again = rows(tmp_path / "s.csv")
    seconds = len(long) / rate
    assert stretched["row"] == "Spectrum, strangest 2 s" and float(stretched["score"]) > 1.5 * float(whole["score"])
    assert f"from 0:{seconds - 2:04.1f} to 0:{seconds:04.1f}" in stretched["reason"]
    assert f"of {math.ceil(seconds / 2)} stretches above" in stretched["reason"]
    assert stretched["score"] == short["score"] == again["score"] and again["reason"] == short["reason"]
    soundfile.write(tmp_path / "hour.wav", np.tile(sound, 4), rate)
    assert score.main(given) == 0
    said = capsys.readouterr().out
    assert f"1 recording is much longer than the usual {len(sound) / rate:.3g} s; a short fault drowns there" in said
    assert f"far from the usual {len(sound) / rate:.1f} s ({4 * len(sound) / rate:.1f} s)" in said
    assert score.main([*given, "--stretch", "0"]) == 2 and "0.1 or more" in capsys.readouterr().err


def test_a_file_is_scored_when_nothing_was_written_for_ten_seconds(smoke, tmp_path, monkeypatch):
    """Every two seconds an eighth of it comes."""
    content, place, now = sorted(CLIPS.glob("*.wav"))[0].read_bytes(), tmp_path / "new" / "a.wav", [0.0]
    place.parent.mkdir()
    place.write_bytes(content[: len(content) // 8])

    def sleep(seconds):
        now[0] += seconds
        if now[0] % 2 == 0 and now[0] <= 16:
            place.write_bytes(content[: round(len(content) * now[0] / 16)])
        if now[0] > 27:
            raise KeyboardInterrupt
        assert now[0] > 25 or not rows(tmp_path / "s.csv")

    monkeypatch.setattr(score, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    given = [str(smoke[0] / "fan"), str(place.parent), "--csv", str(tmp_path / "s.csv"), "--watch"]
    assert score.main(given) == 130
    (found,) = rows(tmp_path / "s.csv")
    whole = Listener.load(smoke[0] / "fan").score(place)["score"][0]
    assert float(found["score"]) == pytest.approx(whole, rel=1e-4)


@pytest.mark.long
def test_watching_waits_for_a_file_that_grows_and_survives_a_kill(smoke, folder, tmp_path):
    table, content = tmp_path / "s.csv", (folder / "a.wav").read_bytes()
    shutil.rmtree(folder / "night")
    for name in ("b.wav", "empty.wav"):
        (folder / name).unlink()
    command = [sys.executable, "-m", "lib.score", smoke[0] / "fan", folder, "--csv", table, "--watch"]

    def watched(lines):
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until = time.monotonic() + 240  # other tests start hundreds of kernels beside it
        while time.monotonic() < until and (not table.exists() or len(rows(table)) < lines):
            time.sleep(0.2)
            if growing.stat().st_size < len(content):
                with growing.open("ab") as file:
                    file.write(content[growing.stat().st_size :][: len(content) // 8])
        return process

    growing = folder / "grows.wav"
    growing.write_bytes(content[:100])
    process = watched(2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = rows(table)
    assert [row["score"] for row in found] == [found[0]["score"]] * 2, "the whole file was heard"
    shutil.copyfile(sorted(CLIPS.glob("*.wav"))[1], folder / "later.wav")
    process = watched(3)
    process.send_signal(signal.SIGINT)
    printed = process.communicate()[0]
    assert process.returncode == 130 and "later.wav" in printed and "stopped; what was scored" in printed
    assert [row["file"].rsplit("/", 1)[1] for row in rows(table)] == ["a.wav", "grows.wav", "later.wav"]
