"""What one target machine's model hears: its own clips, split and standardised, and the training clips of all others."""

import hashlib
import json

import numpy as np
import pytest
from makers import write_noise

from lib.paths import Run
from lib.recordings.clips import ClipBank
from lib.recordings.machine import SILENCE, MachineClips, standardized
from lib.settings import Data, Settings

LEVELS = {("fan", "train"): 0.02, ("fan", "test"): 0.2, ("valve", "train"): 0.05, ("valve", "test"): 0.3, ("pump", "train"): 0.1}  # fmt: skip


def name(domain, split, label, number, tail):
    return f"section_00_{domain}_{split}_{label}_{number:04d}_{tail}.wav"


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """fan and valve with test clips, pump without; each machine and split at a level of its own."""
    root, seed = tmp_path_factory.mktemp("machine") / "data", 0
    for (machine, split), level in LEVELS.items():
        for domain, count in (("source", 14), ("target", 5)) if split == "train" else (("source", 2), ("target", 2)):
            for i in range(count):
                label = "anomaly" if split == "test" and i else "normal"
                tail = "m-n_W" if i < 10 else "m-n_X"
                write_noise(root / machine / split / name(domain, split, label, i, tail), 0.2, seed, level=level)
                seed += 1
    return ClipBank.open(Run(root.parent / "outputs" / "run"), root, Data())


@pytest.fixture(scope="module")
def clips(bank):
    return MachineClips.read(bank, "fan", Settings())


def test_pseudo_anomalous_sound_is_every_other_machines_training_clips_and_no_test_clip(bank, clips):
    assert clips.pseudo["machine"].value_counts().to_dict() == {"valve": 19, "pump": 19}
    assert set(clips.pseudo["split"]) == {"train"} and set(clips.pseudo["label"]) == {"normal"}
    assert set(bank.pseudo_anomalous("pump")["machine"]) == {"fan", "valve"}
    assert clips.facts()["pseudo_anomalous"] == {"valve": 19, "pump": 19}


def test_machines_mean_and_deviation_are_of_its_training_clips_alone(bank, clips):
    """Against a plain loop; validation clips are training clips, test clips and other machines are not heard."""
    sound = np.concatenate([bank.sound(row) for row in bank.clips.itertuples() if (row.machine, row.split) == ("fan", "train")])  # fmt: skip
    mean, deviation = (sound / 32768).mean(), (sound / 32768).std()
    assert deviation == pytest.approx(0.02, rel=0.05)  # the level of fan's training clips, a tenth of its test clips'
    for rows in (clips.own, clips.pseudo):
        assert rows["mean"].to_numpy() == pytest.approx(np.full(len(rows), mean), rel=1e-9)
        assert rows["deviation"].to_numpy() == pytest.approx(np.full(len(rows), deviation), rel=1e-9)
    assert clips.facts()["standardization"] == {"mean": pytest.approx(mean), "deviation": pytest.approx(deviation)}


def test_each_clips_own_mean_and_deviation(bank):
    clips = MachineClips.read(bank, "fan", Settings.model_validate({"frontend": {"standardize": "clip"}}))
    for rows in (clips.own, clips.pseudo):
        for row in rows.itertuples():
            sound = bank.sound(row) / 32768
            assert (row.mean, row.deviation) == (pytest.approx(sound.mean(), abs=1e-9), pytest.approx(sound.std()))


def test_parts_are_the_split_of_the_paper(bank, clips):
    """Source: of each group of n, by SHA-256 of the stem, the first ⌊0.15 n + 0.5⌋, none of 3 or fewer; target: every third."""
    expected = {}
    for row in bank.clips[bank.clips["machine"] == "fan"].itertuples():
        expected[row.stem] = "test" if row.split == "test" else "train"
    for tail in ("m-n_W", "m-n_X"):
        group = [stem for stem in expected if "source_train" in stem and stem.endswith(tail)]
        count = int(0.15 * len(group) + 0.5) if len(group) > 3 else 0
        for stem in sorted(group, key=lambda stem: hashlib.sha256(stem.encode()).hexdigest())[:count]:
            expected[stem] = "validation"
    for stem in sorted(stem for stem in expected if "target_train" in stem)[::3]:
        expected[stem] = "validation"
    assert clips.own.set_index("stem")["part"].to_dict() == expected
    assert clips.own["part"].value_counts().to_dict() == {"train": 14, "test": 4, "validation": 5}
    split = json.loads(json.dumps(clips.facts()))["split"]
    assert {stem: part for part, stems in split.items() for stem in stems} == expected


def test_rows_of_a_part_and_domain(clips):
    assert len(clips.part("train")) == 14 and len(clips.part("train", "source")) == 11
    assert set(clips.part("validation", "target")["domain"]) == {"target"} and len(clips.part("test", "target")) == 2


def test_without_validation_all_training_clips_train(bank):
    clips = MachineClips.read(bank, "fan", Settings.model_validate({"data": {"validation_fraction": 0}}))
    assert clips.own["part"].value_counts().to_dict() == {"train": 19, "test": 4}


def test_a_silent_clip_has_the_floor_as_deviation(bank):
    class Silent:
        def sound(self, row):
            return np.full(100, 5, np.int16)

    rows = bank.clips.iloc[:1]
    found = standardized(Silent(), rows, "clip", rows)
    assert found["deviation"].item() == SILENCE and found["mean"].item() == pytest.approx(5 / 32768)


def test_clips_of_unequal_length_count_by_their_samples(bank):
    class Two:
        def sound(self, row):
            return np.full(*((300, 1000) if row.Index == first else (100, 3000)), np.int16)

    rows, first = bank.clips.iloc[:2], bank.clips.index[0]
    found = standardized(Two(), rows, "machine", rows)
    sound = np.concatenate([np.full(300, 1000), np.full(100, 3000)]) / 32768
    assert found["mean"].tolist() == pytest.approx([sound.mean()] * 2)
    assert found["deviation"].tolist() == pytest.approx([sound.std()] * 2)


def test_two_source_clips_are_enough(bank, monkeypatch):
    own = bank.clips[(bank.clips["machine"] == "fan") & (bank.clips["split"] == "train")]
    train = MachineClips.read(bank, "fan", Settings()).part("train", "source").index
    monkeypatch.setattr(
        bank, "clips", bank.clips.assign(usable=~bank.clips.index.isin(own.index.difference(train[:2])))
    )
    assert len(MachineClips.read(bank, "fan", Settings()).part("train")) == 2


@pytest.mark.parametrize(
    ("machine", "drop", "message"),
    [
        ("drill", {}, "unknown machine 'drill'"),
        ("pump", {}, "pump: no usable test clips to score"),
        ("fan", {"machine": "fan", "split": "test"}, "fan: no usable test clips to score"),
        ("fan", {"machine": "fan", "split": "train"}, "fan: no usable training clips under"),
        ("fan", {"machine": "fan", "split": "train", "domain": "source"}, "fan: 0 usable source clips to train on, of 5 training clips; at least 2 are"),
        ("fan", {"split": "train", "other": True}, "fan is the only machine with training clips"),
    ],
)  # fmt: skip
def test_a_machine_that_cannot_be_trained_says_what_it_lacks(bank, machine, drop, message, monkeypatch):
    unusable = bank.clips["usable"] & (len(drop) > 0)
    for column in drop.keys() - {"other"}:
        unusable &= bank.clips[column] == drop[column]
    if "other" in drop:
        unusable &= bank.clips["machine"] != machine
    monkeypatch.setattr(bank, "clips", bank.clips.assign(usable=~unusable))
    with pytest.raises(ValueError, match=message):
        MachineClips.read(bank, machine, Settings())


def test_a_machine_of_one_domain_without_attributes_is_read(tmp_path):
    for i in range(6):
        write_noise(tmp_path / "data" / "fan" / "train" / f"{i:03d} Bay 2.wav", 0.2, i)
        write_noise(tmp_path / "data" / "pump" / "train" / f"{i:03d}.wav", 0.2, 10 + i)
    write_noise(tmp_path / "data" / "fan" / "test" / "new.wav", 0.2, 20)
    bank = ClipBank.open(Run(tmp_path / "outputs" / "run"), tmp_path / "data", Data())
    clips = MachineClips.read(bank, "fan", Settings())
    assert clips.own["part"].value_counts().to_dict() == {"train": 5, "test": 1, "validation": 1}
    assert set(clips.part("train")["domain"]) == {"source"} and set(clips.part("test")["label"]) == {""}
