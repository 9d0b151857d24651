"""Clips in memory are heard as a bank's are."""

import numpy as np
import pytest
import soundfile
from makers import write_noise

from lib.recordings.clips import ClipBank
from lib.recordings.heard import Heard
from lib.settings import Data


def test_a_file_is_heard_as_in_the_bank(root, run):
    bank = ClipBank.open(run, root, Data())
    rows = bank.of("fan", "test")
    heard = Heard(rows["path"].tolist(), Data())
    assert heard.clips["length"].tolist() == rows["length"].tolist() and heard.problems.empty
    for own, row in zip(heard.clips.itertuples(), rows.itertuples(), strict=True):
        assert np.array_equal(heard.sound(own), bank.sound(row)) and own.checksum == row.checksum
    assert heard.tensor().tolist() == heard.samples.tolist() and heard.sample_rate == bank.sample_rate


def test_bytes_and_arrays_are_heard_as_their_file(tmp_path):
    samples = write_noise(tmp_path / "a.wav", channels=2)
    data = Data(channel=1)
    content = (tmp_path / "a.wav").read_bytes()
    for source in (tmp_path / "a.wav", str(tmp_path / "a.wav"), content, samples, samples / 32768.0):
        heard = Heard(source, data, 16000)
        assert np.array_equal(heard.samples, samples[:, 1]) and heard.clips["channels"].tolist() == [2]
    assert Heard([content, samples], data, 16000, names=["x", "y"]).clips["stem"].tolist() == ["x", "y"]


def test_float_files_have_the_machines_scale_and_arrays_full_scale(tmp_path):
    sound = np.random.default_rng(0).normal(size=16000).clip(-2, 2)
    soundfile.write(tmp_path / "a.wav", sound * 8, 16000, "FLOAT")
    heard = Heard([tmp_path / "a.wav", sound / 2], Data(), 16000, divisor=16.0)
    first, second = (heard.sound(row) for row in heard.clips.itertuples())
    assert np.array_equal(first, second) and heard.clips["divisor"].tolist() == [16.0, 1.0]


@pytest.mark.parametrize(
    ("source", "rate", "match"),
    [
        (np.zeros(100), None, "no sample rate: give rate"),
        (np.zeros((3, 4, 5)), 16000, r"shape \(3, 4, 5\)"),
        (np.zeros((2, 16000)), 16000, r"shape \(2, 16000\)"),
        (np.zeros(100, np.int32), 16000, "array of int32"),
    ],
)
def test_other_arrays_are_refused(source, rate, match):
    with pytest.raises(ValueError, match=match):
        Heard(source, Data(), rate)


def test_names_are_one_a_clip(tmp_path):
    with pytest.raises(ValueError, match="2 names for 1 clips"):
        Heard(np.zeros(16000), Data(), 16000, names=["a", "b"])


def test_no_clip_and_a_clip_that_cannot_be_used(tmp_path):
    heard = Heard([tmp_path / "none.wav", b"", b"no sound"], Data())
    assert heard.clips.empty and len(heard.samples) == 0
    assert heard.problems["clip"].tolist() == ["none.wav", "clip 2", "clip 3"]
    assert "cannot be read" in heard.problems["problem"][0] and "empty" in heard.problems["problem"][1]
    assert Heard([], Data()).clips.empty


def test_names_that_are_no_utf8(tmp_path):
    """As old file systems have them: heard, or told what is wrong, by escapes."""
    write_noise(tmp_path / "c.wav")
    (tmp_path / "c.wav").rename(tmp_path / "c\udcff.wav")
    (tmp_path / "d\udcff.wav").write_text("no sound")
    heard = Heard([tmp_path / "c\udcff.wav", tmp_path / "d\udcff.wav"], Data())
    assert heard.clips["stem"].tolist() == ["c\\udcff.wav"]
    assert set(heard.problems["clip"]) == {"d\\udcff.wav"} and heard.problems["mend"].str.contains("udcff").any()
