import json
import os

import numpy as np
import pytest
import soundfile
from makers import RATE, write_noise

from lib.recordings import clips
from lib.recordings.clips import ClipBank
from lib.settings import Data


@pytest.fixture
def train(root):
    return root / "dev_data" / "raw" / "fan" / "train"


def problems_of(bank, name):
    chosen = bank.problems[bank.problems["file"].str.endswith(name)]
    return " | ".join(chosen["problem"] + " → " + chosen["mend"])


def usable(bank, name):
    return bool(bank.clips.loc[bank.clips["path"].str.endswith(name), "usable"].item())


def test_bank_holds_every_sample(root, run, train):
    long = write_noise(train / "section_00_source_train_normal_0050_m-n_W.flac", seconds=2.5, seed=50)
    bank = ClipBank.open(run, root, Data())
    assert bank.problems.empty and bank.clips["usable"].all()
    for row in bank.clips.itertuples():
        assert np.array_equal(bank.sound(row), soundfile.read(row.path, dtype="int16")[0])
    row = next(r for r in bank.clips.itertuples() if r.path.endswith(".flac"))
    assert np.array_equal(bank.sound(row), long) and row.seconds == 2.5


def test_a_header_that_claims_too_little_leaves_every_clip_whole(root, run, train):
    path = train / "section_00_source_train_normal_0050_m-n_W.flac"
    long, content = write_noise(path, seconds=2.5, seed=50), bytearray(path.read_bytes())
    content[22:26] = (RATE // 2).to_bytes(4, "big")
    path.write_bytes(content)
    bank = ClipBank.open(run, root, Data())
    assert "claims too little: 8000 of 40000 samples" in problems_of(bank, path.name)
    for row in bank.clips.itertuples():
        expected = long if row.path == str(path) else soundfile.read(row.path, dtype="int16")[0]
        assert np.array_equal(bank.sound(row), expected)
    assert 2 * bank.clips["room"].sum() == 2 * bank.clips["length"].sum() == bank.samples.nbytes


def built(monkeypatch):
    """Count the builds of banks from here on."""
    count, original = [], clips._build
    monkeypatch.setattr(clips, "_build", lambda *a: (count.append(1), original(*a)))
    return count


def test_rebuilt_exactly_when_the_audio_changes(root, run, train, monkeypatch):
    builds = built(monkeypatch)
    path = train / "section_00_source_train_normal_0000_m-n_W.wav"
    first = ClipBank.open(run, root, Data()).fingerprint
    assert ClipBank.open(run, root, Data()).fingerprint == first and len(builds) == 1
    os.utime(path)  # touched, the same audio
    assert ClipBank.open(run, root, Data()).fingerprint == first and len(builds) == 1
    stat = path.stat()
    changed = write_noise(path, seed=777)  # another audio of the same size and modification time
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    bank = ClipBank.open(run, root, Data())
    assert len(builds) == 2 and bank.fingerprint != first
    row = next(r for r in bank.clips.itertuples() if r.path == str(path))
    assert np.array_equal(bank.sound(row), changed)
    path.unlink()
    assert len(ClipBank.open(run, root, Data()).clips) == len(bank.clips) - 1 and len(builds) == 3


def test_a_fingerprint_of_a_machine_follows_what_its_models_hear(root, run, train):
    """Its own clips and all training clips; not the test clips of another machine. Alone: its own."""
    write_noise(root / "eval_data" / "raw" / "pump" / "test" / "a.wav", seed=5)

    def found():
        bank = ClipBank.open(run, root, Data())
        alone.append([bank.fingerprint_of(name, alone=True) for name in ("fan", "pump")])
        return [bank.fingerprint_of(name) for name in ("fan", "pump")]

    alone = []
    fan, pump = found()
    write_noise(root / "eval_data" / "raw" / "pump" / "test" / "a.wav", seed=6)
    assert found()[0] == fan and found()[1] != pump
    fan, pump = found()
    write_noise(train / "section_00_source_train_normal_0000_m-n_W.wav", seed=7)
    assert found()[0] != fan and found()[1] != pump
    fans, pumps = (
        [each[i] for each in alone] for i in (0, 1)
    )  # before, then thrice a test clip of pump's, twice a training clip of fan's
    assert fans == [fans[0]] * 4 + [fans[-1]] * 2 and fans[0] != fans[-1]
    assert pumps == [pumps[0]] + [pumps[-1]] * 5 and pumps[0] != pumps[-1]


def test_a_damaged_bank_is_built_again(root, run, monkeypatch):
    builds = built(monkeypatch)
    bank = ClipBank.open(run, root, Data())
    (bank.folder / "samples.i16").write_bytes(b"")
    assert len(ClipBank.open(run, root, Data()).samples) == len(bank.samples) and len(builds) == 2


def test_another_decoder_builds_the_bank_again_and_has_another_fingerprint(root, run, monkeypatch):
    builds = built(monkeypatch)
    before = ClipBank.open(run, root, Data())
    monkeypatch.setattr(clips, "VERSION", clips.VERSION + 1)
    after = ClipBank.open(run, root, Data())
    assert len(builds) == 2 and after.fingerprint != before.fingerprint
    assert after.fingerprint_of("fan") != before.fingerprint_of("fan")
    others = [ClipBank.open(run, root, data) for data in (Data(sample_rate=8000), Data(channel=0))]
    assert len({bank.fingerprint for bank in [after, *others]}) == 3
    assert len({bank.fingerprint_of("fan") for bank in [after, *others]}) == 3


def test_other_sample_rates_are_resampled(root, run, train):
    name = "section_00_source_train_normal_0050_m-n_W.wav"
    time = np.arange(2 * 44100) / 44100
    soundfile.write(train / name, 0.5 * np.sin(2 * np.pi * 1000 * time), 44100)
    bank = ClipBank.open(run, root, Data())
    row = next(r for r in bank.clips.itertuples() if r.path.endswith(name))
    assert abs(row.length - 2 * RATE) <= 1 and row.file_rate == 44100
    spectrum = np.abs(np.fft.rfft(bank.sound(row)[:RATE]))
    assert spectrum.argmax() == 1000 and np.abs(bank.sound(row)).max() == pytest.approx(16384, rel=0.02)


@pytest.mark.parametrize("channels", [2, 8])
def test_many_channels_are_refused_or_chosen(root, run, train, channels):
    name = "section_00_source_train_normal_0050_m-n_W.wav"
    samples = write_noise(train / name, channels=channels, seed=50)
    bank = ClipBank.open(run, root, Data())
    assert not usable(bank, name) and f"{channels} channels → set data.channel" in problems_of(bank, name)
    assert name not in set(bank.training("fan")["path"])
    chosen = ClipBank.open(run, root, Data(channel=1))
    row = next(r for r in chosen.clips.itertuples() if r.path.endswith(name))
    assert np.array_equal(chosen.sound(row), samples[:, 1])
    refused = ClipBank.open(run, root, Data(channel=channels))
    assert not usable(refused, name)


def test_bad_files_are_problems_with_file_and_mend(root, run, train):
    good = write_noise(train / "cut.wav", seconds=2, seed=60)
    (train / "cut.wav").write_bytes((train / "cut.wav").read_bytes()[: 44 + len(good)])
    write_noise(train / "cut.flac", seconds=2, seed=61)
    (train / "cut.flac").rename(train / "cutflac.flac")
    (train / "cutflac.flac").write_bytes((train / "cutflac.flac").read_bytes()[:9000])
    (train / "zero.wav").write_bytes(b"")
    (train / "text.wav").write_text("this is no audio")
    write_noise(train / "silent.wav", level=0)
    write_noise(train / "short.wav", seconds=0.05)
    broken = np.ones(RATE, np.float32)
    broken[5:9] = np.nan
    soundfile.write(train / "nan.wav", broken, RATE, subtype="FLOAT")
    (train / "loop.wav").symlink_to(train / "loop.wav")
    soundfile.write(train / "slow.wav", np.ones(900), 500)
    soundfile.write(train / "narrow.wav", np.sin(np.arange(9000)), 8000)
    bank = ClipBank.open(run, root, Data())
    expected = {
        "loop.wav": (False, "cannot be read: Too many levels"), "slow.wav": (False, "a sample rate of 500 Hz"),
        "narrow.wav": (True, "silent above 4000 Hz"),
        "cut.wav": (True, "truncated"), "cutflac.flac": (None, "→"), "zero.wav": (False, "0 bytes"),
        "text.wav": (False, "cannot be decoded"), "silent.wav": (True, "every sample is zero"),
        "short.wav": (False, "shorter than 0.1 s"), "nan.wav": (False, "4 samples are NaN"),
    }  # fmt: skip
    for name, (is_usable, problem) in expected.items():
        assert problem in problems_of(bank, "/" + name), name
        assert is_usable is None or usable(bank, "/" + name) is is_usable, name
    assert len(bank.training("fan")) >= 13
    assert ClipBank.open(run, root, Data()).problems.equals(bank.problems)


def test_float_files_beyond_full_scale_are_clipped_not_wrapped(root, run, train):
    soundfile.write(train / "loud.wav", np.linspace(-1.5, 1.5, RATE).astype(np.float32), RATE, subtype="FLOAT")
    bank = ClipBank.open(run, root, Data())
    assert "beyond full scale: float samples up to 1.5, clipped at 1" in problems_of(bank, "loud.wav")
    sound = bank.sound(next(r for r in bank.clips.itertuples() if r.path.endswith("loud.wav")))
    assert sound[0] == -32768 and sound[-1] == 32767 and (np.diff(sound.astype(int)) >= 0).all()


def test_the_same_recording_twice_is_said(root, run, train):
    (train / "copy.wav").write_bytes(next(train.glob("*0003*")).read_bytes())
    problems = ClipBank.open(run, root, Data()).problems["problem"]
    assert problems.str.contains("the same audio as").sum() == 1


def test_machine_without_usable_training_clips(root, run, train):
    for path in train.iterdir():
        path.write_bytes(b"")
    bank = ClipBank.open(run, root, Data())
    with pytest.raises(ValueError, match=r"fan: no usable training clips(.|\n)*0 bytes"):
        bank.training("fan")


def test_machine_without_others(root, run):
    for path in (root / "eval_data" / "raw" / "pump" / "train").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="only machine"):
        ClipBank.open(run, root, Data()).pseudo_anomalous("fan")


def test_output_folder_that_cannot_be_written(root, tmp_path):
    from lib.paths import Run

    (tmp_path / "banks").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"cannot write .*banks.*choose another run folder"):
        ClipBank.open(Run(tmp_path / "run"), root, Data())


def test_full_disk_is_said_before_decoding(root, run, monkeypatch):
    monkeypatch.setattr(clips.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match=r"samples.i16: .* MiB are free"):
        ClipBank.open(run, root, Data())
    assert not list(run.root.parent.glob("banks/*/samples*"))


def test_command_line_leaves_what_is_in_the_bank(root, run, capsys):
    clips.main("smoke", str(run.root), str(root))
    facts = json.loads((run.root / "data.json").read_text())
    assert facts["clips"] == facts["usable"] == 19 and not facts["synthetic"]
    before = clips.audio_state(root)
    os.utime(next(root.rglob("*.wav")), ns=(1, 1))
    touched = clips.audio_state(root)
    assert touched != before
    (root / "dev_data" / "raw" / "fan" / "attributes_00.csv").write_text("file_name,d1p,d1v\n")
    assert clips.audio_state(root) != touched
