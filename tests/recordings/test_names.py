"""What browsers, file managers, unzippers and sync tools do to names never makes a value, and loses no clip silently."""

import json
import unicodedata

import pytest
from makers import write_bytes

from lib.recordings.attributes import physical_values
from lib.recordings.dcase import Dataset, attribute_table, validation_mask
from lib.recordings.names import parse_name, without_copy_marks

STEM = "section_00_source_train_normal_0000_spd_28V"
MARKED = [
    "{} (1)", "{}(2)", "{} [1]", "{} - Copy", "{} - Copy (2)", "{} - Kopie", "{} – Kopie (3)", "{} - копия", "{} copy",
    "{} copy 2", "{} Kopie 2", "Copy of {}", "Kopie von {}", "Copy (2) of {}", "{}.wav", "{}.wav (1)", "{} ", " {}",
    "{}\u00a0", "{}~1", "{} (conflicted copy 2024-01-01)", "{} (Anna's conflicted copy 2024-01-01)",
    "{} (Konfliktkopie 2024)", "{}.sync-conflict-20240101-120000-ABCDEFG", "{} (1) - Copy", "{} 2",
]  # fmt: skip


@pytest.fixture
def train(tmp_path):
    """Eight clips at four voltages."""
    folder = tmp_path / "data" / "fan" / "train"
    for i, volt in enumerate(("28V", "31V", "34V", "40V") * 2):
        write_bytes(folder / f"section_00_source_train_normal_{i:04d}_spd_{volt}.wav", f"clip {i}")
    return folder


def read(train):
    dataset = Dataset(train.parents[1])
    return dataset, dataset.of("fan", "train")


def said(dataset, name=""):
    rows = dataset.problems[dataset.problems["file"].str.contains(name, regex=False)]
    return " | ".join(rows["problem"])


def assert_volts_are_numbers(clips):
    values = physical_values(attribute_table(clips)["spd"])
    assert values == {"28V": 28, "31V": 31, "34V": 34, "40V": 40}


@pytest.mark.parametrize("mark", MARKED)
@pytest.mark.parametrize("suffix", [".wav", ".WAV"])
def test_a_copy_is_ignored_and_named(train, mark, suffix):
    name = mark.format(STEM) + suffix
    write_bytes(train / name, "clip 0")
    dataset, clips = read(train)
    assert len(clips) == 8 and "a copy: the same audio as" in said(dataset, name)
    assert_volts_are_numbers(clips)


@pytest.mark.parametrize("mark", MARKED)
def test_other_audio_under_a_copys_name_is_used_with_the_names_attributes(train, mark):
    name = mark.format(STEM) + ".wav"
    write_bytes(train / name, "another sound")
    dataset, clips = read(train)
    assert len(clips) == 9 and clips["stem"].is_unique and "other audio than" in said(dataset, name)
    assert_volts_are_numbers(clips)
    assert attribute_table(clips).loc[clips["path"].str.endswith(name), "spd"].item() == "28V"


@pytest.mark.parametrize("mark", MARKED)
def test_a_copy_without_its_original_takes_the_originals_name(train, mark):
    (train / f"{STEM}.wav").rename(train / (mark.format(STEM) + ".wav"))
    dataset, clips = read(train)
    assert len(clips) == 8 and STEM in set(clips["stem"]) and "no other file of this name" in said(dataset)
    assert_volts_are_numbers(clips)
    assert len(dataset.problems) == 1


def test_nautilus_copies():
    copies = ("x (copy)", "x (another copy)", "x (3rd copy)", "x (Kopie)", "x (copy 2)")
    assert {without_copy_marks(name) for name in copies} == {"x"} and without_copy_marks(
        "x (hard copy)"
    ) == "x (hard copy)"


def test_own_names_with_numbers_stay_apart(tmp_path):
    """What Explorer makes of 80 files renamed at once, and a person's own counting."""
    for name in ("recording (1)", "recording (2)", "Bay 2", "Bay 3", "day 2024 - Copying machine"):
        write_bytes(tmp_path / "fan" / "train" / f"{name}.wav", name)
    assert len(Dataset(tmp_path).of("fan")) == 5
    assert without_copy_marks("day 2024 - Copying machine") == "day 2024 - Copying machine"


def test_copies_do_not_move_the_split(train):
    before = validation_mask(read(train)[1])
    assert before.sum() == 0  # two clips a voltage
    for i in range(8, 40):
        write_bytes(train / f"section_00_source_train_normal_{i:04d}_spd_28V (1).wav", f"clip {i}")
    clips = read(train)[1]
    assert validation_mask(clips).sum() == 5  # ⌊0.15 · 34 + 0.5⌋ of one group


def test_a_file_with_letters_in_two_characters_is_the_one_that_the_row_names(tmp_path):
    stem = unicodedata.normalize("NFD", "Lüfter größe")
    write_bytes(tmp_path / "fan" / "train" / f"{stem}.wav", "a")
    write_bytes(tmp_path / "fan" / "attributes_00.csv", unicodedata.normalize("NFC", f"{stem}.wav,spd,3\n"))
    dataset = Dataset(tmp_path)
    assert json.loads(dataset.clips["attributes"].item()) == {"spd": "3"}
    assert "not there" not in said(dataset)


def test_a_machines_name_in_two_characters(tmp_path):
    write_bytes(tmp_path / unicodedata.normalize("NFD", "Lüfter") / "train" / "a.wav", "a")
    for name in ("Lüfter", unicodedata.normalize("NFD", "Lüfter")):
        assert len(Dataset(tmp_path).of(name)) == 1


@pytest.mark.parametrize(
    ("name", "label", "section"),
    [
        ("normal_id_00_00000000", "normal", "00"),
        ("anomaly_id_02_00000007", "anomaly", "02"),
        ("abnormal-3", "anomaly", "00"),
        ("Normal 17", "normal", "00"),
        ("normality", "", "00"),
        ("wednesday", "", "00"),
    ],
)
def test_labels_of_other_years_are_kept_in_test_and_said(tmp_path, name, label, section):
    write_bytes(tmp_path / "fan" / "train" / "normal_id_00_00000000.wav", "a")
    write_bytes(tmp_path / "fan" / "test" / f"{name}.wav", "b")
    dataset = Dataset(tmp_path)
    row = dataset.of("fan", "test").iloc[0]
    assert (row["label"], row["section"], row["domain"]) == (label, section, "source" if label else "")
    assert f"taken as {label or 'unlabelled'}" in said(dataset, f"test/{name}")


def test_an_anomaly_among_the_training_clips_is_said(tmp_path):
    write_bytes(tmp_path / "fan" / "train" / "anomaly_id_00_00000000.wav", "a")
    assert "an anomalous clip among the training clips" in said(Dataset(tmp_path))


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("section_03_source_test_0000", ("03", "source", "test", "", ())),
        ("section_01_target_train_normal_0000_strength_1_ambient", ("01", "target", "train", "normal", (("raw", "strength_1_ambient"),))),
        ("section_00_source_train_normal_0000_mic_pos_A", ("00", "source", "train", "normal", (("raw", "mic_pos_A"),))),
        ("section_00_source_train_normal_0000_spd1000_BckgC", ("00", "source", "train", "normal", (("raw", "spd1000_BckgC"),))),
        ("section_00_source_train_normal_0000_größe_3_速度_5", ("00", "source", "train", "normal", (("größe", "3"), ("速度", "5")))),
    ],
)  # fmt: skip
def test_names_of_other_years(stem, expected):
    name = parse_name(stem)
    assert (name.section, name.domain, name.split, name.label, name.attributes) == expected
