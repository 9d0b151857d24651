import numpy as np
import pandas as pd
import pytest
import soundfile
from makers import RATE, write_bytes, write_noise

from lib.recordings import audit
from lib.recordings.clips import ClipBank
from lib.settings import Data


@pytest.fixture
def fan(root):
    return root / "dev_data" / "raw" / "fan"


def test_a_clean_root_needs_no_words(root, run):
    assert audit.summary(ClipBank.open(run, root, Data())) == {"fan": "", "pump": ""}


def test_what_is_not_used_as_it_stands_is_counted_by_kind(root, run, fan):
    pump = root / "eval_data" / "raw" / "pump" / "train"
    for path in pump.iterdir():
        path.write_bytes(b"")
    train = fan / "train"
    first = train / "section_00_source_train_normal_0000_m-n_W.wav"
    write_bytes(train / f"{first.stem} (1).wav", first.read_bytes())
    write_noise(train / "section_00_source_train_normal_0050_m-n_W.wav", channels=2)
    soundfile.write(train / "section_00_source_train_normal_0051_m-n_W.wav", np.ones(RATE) * 9e3, RATE, subtype="FLOAT")
    write_bytes(root / "grinder" / "test" / "notes.txt", "x")
    for i in range(3):
        for volt in ("28V", "28W*")[: 1 + (i == 2)]:
            write_noise(train / f"section_00_source_train_normal_006{i}_volt_{volt}.wav", seed=60 + i + len(volt))
    said = audit.summary(ClipBank.open(run, root, Data()))
    assert said["pump"] == "4 of 4 clips are not used, 4 × the file is empty (0 bytes)"
    assert said["grinder"] == "no clips, 1 × not a .wav or .flac file"
    assert said["fan"].split(", ") == [
        "1 of 21 clips are not used", "1 scaled", "1 × a copy", "1 × attribute volt is no number", "1 × several channels",
    ]  # fmt: skip


@pytest.mark.parametrize("block", [audit.BLOCK, 4 * audit.FRAME, 11 * audit.FRAME])
def test_levels_of_a_clip(root, run, fan, block, monkeypatch):
    """However many blocks it is measured in; the rest behind the last whole frame is in none."""
    monkeypatch.setattr(audit, "BLOCK", block)
    sound = np.zeros(RATE + 3)
    sound[: RATE // 4] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 4) / RATE)
    sound[RATE // 4 : RATE // 4 + 160] = 1.0
    path = fan / "train" / "section_00_source_train_normal_0050_m-n_W.wav"
    soundfile.write(path, sound, RATE)
    bank = ClipBank.open(run, root, Data())
    row = audit.measure_clips(bank, bank.clips[bank.clips["path"] == str(path)]).iloc[0]
    assert row["rms_dbfs"] == pytest.approx(20 * np.log10(np.sqrt((0.125 * 4000 + 160) / RATE)), abs=0.05)
    assert row["peak_dbfs"] == pytest.approx(0, abs=0.01) and row["clipped"] == pytest.approx(160 / (RATE + 3))
    assert row["silent"] == pytest.approx(29 / 40) and row["dc"] == pytest.approx(0.01, abs=1e-4)


def test_measured_problems_name_file_value_and_mend():
    good = {"seconds": 10.0, "clipped": 0.0, "rms_dbfs": -30.0, "dc": 0.0, "silent": 0.0}
    wrong = {"seconds": 16.0, "clipped": 0.002, "rms_dbfs": -81.0, "dc": -0.02, "silent": 0.6}
    rows = [good | {"path": f"good {i}"} for i in range(5)] + [good | {key: wrong[key], "path": key} for key in wrong]
    edge = good | {"path": "edge", "seconds": 14.9, "clipped": 0.001, "rms_dbfs": -79.9, "dc": 0.01, "silent": 0.49}
    found = audit.measured_problems("fan", pd.DataFrame([*rows, edge]))
    assert {path for _, path, _, _ in found} == set(wrong) and len(found) == 5
    said = {path: f"({value:.3g})" for path, value in wrong.items()}
    said |= {"rms_dbfs": f"({wrong['rms_dbfs']:.0f} dBFS)", "seconds": f"({wrong['seconds']:.1f} s)"}
    assert all(said[path] in problem and mend for _, path, problem, mend in found)


def test_values_never_heard_in_training(root, run, fan):
    bank = ClipBank.open(run, root, Data())
    own = bank.clips.loc[bank.dataset.of("fan").index]
    unseen = audit.unseen_values(own)
    assert unseen.to_dict("records") == [{"parameter": "m-n", "value": "Z", "test_clips": 4}]
    measured = own.join(audit.measure_clips(bank, own))
    listed = audit.list_problems(bank, "fan", measured, unseen)
    assert listed["problem"].str.contains("m-n=Z in 4 test clips, never in training").sum() == 1
    assert audit.list_problems(bank, "pump", measured.iloc[:0], unseen.iloc[:0]).empty
