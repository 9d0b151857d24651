import json

import pandas as pd
import pytest
from makers import write_noise

from lib.recordings.dcase import Dataset, attribute_table, validation_mask
from lib.recordings.names import format_name, parse_name


def attributes(dataset, stem):
    clips = dataset.clips
    return json.loads(clips.loc[clips["stem"] == stem, "attributes"].item())


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("section_00_source_train_normal_0016_car_B1_spd_31V_mic_1", {"car": "B1", "spd": "31V", "mic": "1"}),
        ("section_00_target_test_anomaly_0000_m-n_X", {"m-n": "X"}),
        ("section_00_source_train_normal_0000_vel_300_ac_0.11", {"vel": "300", "ac": "0.11"}),
        ("section_00_source_train_normal_0000_noAttribute", {}),
        ("section_00_source_train_normal_0000", {}),
        ("section_00_source_train_normal_0000_weight00_BckgA", {"raw": "weight00_BckgA"}),
        ("section_00_source_train_normal_0000_car_B1_spd", {"raw": "car_B1_spd"}),
    ],
)
def test_attributes_of_a_name(stem, expected):
    assert dict(parse_name(stem).attributes) == expected


def test_name_grammar():
    name = parse_name("section_00_target_test_anomaly_0012_m-n_X")
    assert (name.section, name.domain, name.split, name.label) == ("00", "target", "test", "anomaly")
    unlabelled = parse_name("section_00_0007")
    assert (unlabelled.section, unlabelled.domain, unlabelled.label) == ("00", "", "")
    assert parse_name("recording of Monday") is None
    attributes = {"vel": "300", "ac": "0.11"}
    assert dict(parse_name(format_name("source", "train", "normal", 3, attributes)).attributes) == attributes


def test_both_layouts_and_both_suffixes(root):
    write_noise(root / "grinder" / "train" / "section_00_source_train_normal_0000_noAttribute.flac")
    dataset = Dataset(root)
    assert sorted(dataset.clips["machine"].unique()) == ["fan", "grinder", "pump"]
    assert dataset.targets() == ["fan"]
    assert len(dataset.of("fan", "train")) == 11 and len(dataset.of("fan", "test")) == 4
    with pytest.raises(ValueError, match=r"unknown machine 'drill'.*fan, grinder, pump"):
        dataset.of("drill")


@pytest.mark.parametrize("made", [False, True])
def test_a_root_without_clips(tmp_path, made):
    if made:
        (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="none"):
        Dataset(tmp_path / "none")


def test_names_outside_the_grammar_are_problems_not_stops(root):
    fan = root / "dev_data" / "raw" / "fan"
    write_noise(fan / "train" / "monday morning.wav", seed=50)
    write_noise(fan / "test" / "tuesday.wav", seed=51)
    write_noise(fan / "test" / "section_00_0000.wav", seed=52)
    (fan / "train" / "notes.txt").write_text("hello")
    (fan / "train" / "._section_00_source_train_normal_0000_m-n_W.wav").write_text("what macOS leaves")
    dataset = Dataset(root)
    rows = dataset.of("fan").set_index("stem")
    assert tuple(rows.loc["monday morning", ["domain", "label"]]) == ("source", "normal")
    assert tuple(rows.loc["tuesday", ["domain", "label"]]) == ("", "")
    assert tuple(rows.loc["section_00_0000", ["domain", "label"]]) == ("", "")
    files = dataset.problems["file"].str.rsplit("/", n=1).str[-1]
    assert set(files) == {"monday morning.wav", "tuesday.wav", "notes.txt"}
    assert dataset.problems["mend"].str.len().min() > 0


def test_two_clips_with_one_name(root):
    fan = root / "dev_data" / "raw" / "fan" / "train"
    write_noise(fan / "section_00_source_train_normal_0000_m-n_W.flac")
    dataset = Dataset(root)
    assert len(dataset.of("fan", "train")) == 11
    (problem,) = dataset.problems.itertuples()
    assert "second clip of this name" in problem.problem and problem.file.endswith("0000_m-n_W.wav")


def write_attributes(root, text, encoding="utf-8"):
    (root / "dev_data" / "raw" / "fan" / "attributes_00.csv").write_bytes(text.encode(encoding))


def test_attribute_file_adds_what_the_name_lacks_in_spite_of_bom_and_crlf(root):
    plain = root / "dev_data" / "raw" / "fan" / "train" / "section_00_source_train_normal_0099.wav"
    write_noise(plain, seed=99)
    rows = [f"fan/train/{plain.name},m-n,Y,load,3", "section_00_source_train_normal_0000_m-n_W,m-n,W"]
    rows += [f"fan/train/section_00_source_train_normal_{i:04d}_m-n_W.wav,m-n,W" for i in range(1, 8)]
    rows += [f"fan/train/section_00_target_train_normal_{i:04d}_m-n_X.wav,m-n,X" for i in range(8, 11)]
    write_attributes(root, "\r\n".join(["file_name,d1p,d1v,d2p,d2v", *rows, ""]), "utf-8-sig")
    dataset = Dataset(root)
    assert attributes(dataset, plain.stem) == {"m-n": "Y", "load": "3"}
    assert dataset.problems.empty


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("fan/train/section_00_source_train_normal_0000_m-n_W.wav,m-n,Q", "the name wins"),
        ("fan/train/section_00_source_train_normal_0000_m-n_W.wav,m-n,W,load", "not keys and values"),
        ("fan/train/section_00_source_train_normal_0000_m-n_W.wav,7,W", "not keys and values"),
        ("fan/train/section_00_source_train_normal_0000_m-n_W.wav,m-n,W,m-n,X", "not keys and values"),
        ("fan/train/section_00_source_train_normal_0000_m-n_W.wav;m-n;W", "not there"),
        ("fan/train/section_00_source_train_normal_0777_m-n_W.wav,m-n,W", "not there"),
        ("fan/train/section_00_source_train_normal_0000_m-n_W.wav,m-n,W\n" * 2, "a second row"),
    ],
)
def test_irregular_attribute_rows_are_problems(root, row, expected):
    write_attributes(root, "file_name,d1p,d1v\n" + row)
    problems = Dataset(root).problems
    assert problems["problem"].str.contains(expected).any() or problems["mend"].str.contains(expected).any()
    assert problems["problem"].str.contains("no row for").any()
    assert attributes(Dataset(root), "section_00_source_train_normal_0000_m-n_W") == {"m-n": "W"}


def test_attribute_file_that_spells_a_key_otherwise(root):
    stem = "section_00_source_train_normal_0042_spd_31V"
    write_noise(root / "dev_data" / "raw" / "fan" / "train" / f"{stem}.wav", seed=42)
    write_attributes(root, f"file_name,d1p,d1v\nfan/train/{stem}.wav,speed,31V\n")
    dataset = Dataset(root)
    assert attributes(dataset, stem) == {"spd": "31V"}
    assert dataset.problems["problem"].str.contains("calls spd speed").any()


def test_attribute_file_in_another_encoding(root):
    write_attributes(root, "file_name,d1p,d1v\nfan/train/größe.wav,m-n,W\n", "latin-1")
    assert Dataset(root).problems["problem"].str.contains("not UTF-8").any()


def test_attribute_file_that_is_no_csv(root):
    write_attributes(root, 'a,"' + "x" * 200_000)
    assert Dataset(root).problems["problem"].str.contains("not a CSV file").any()


def test_names_in_another_encoding_are_problems(root):
    write_noise(root / "dev_data" / "raw" / "fan" / "train" / "plain.wav", seed=3).tofile(
        bytes(root / "dev_data" / "raw" / "fan" / "train") + b"/gl\xfcck.wav"
    )
    dataset = Dataset(root)
    assert dataset.problems["problem"].str.contains("unreadable characters").sum() == 1
    dataset.problems.to_csv().encode()


@pytest.mark.parametrize("name", ["overall", "tables"])
def test_a_machine_cannot_be_called_like_a_result(root, name):
    write_noise(root / name / "train" / "a.wav")
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        Dataset(root)


def table(count, domain, tail="noAttribute", first=0):
    stems = [f"section_00_{domain}_train_normal_{first + i:04d}_{tail}" for i in range(count)]
    return pd.DataFrame({"stem": stems, "domain": domain})


def test_split_of_the_paper():
    clips = pd.concat([table(990, "source"), table(10, "target", first=990)], ignore_index=True)
    held = validation_mask(clips)
    assert held[clips["domain"] == "source"].sum() == 149  # ⌊0.15 · 990 + 0.5⌋
    target = clips[clips["domain"] == "target"]
    assert held[target.index].tolist() == [True, False, False] * 3 + [True]


def test_split_by_group_and_by_name_alone():
    groups = [table(3, "source", "a_1"), table(20, "source", "a_2", 3), table(2, "target", first=23)]
    clips = pd.concat(groups, ignore_index=True)
    held = validation_mask(clips)
    assert held[:3].sum() == 0 and held[3:23].sum() == 3 and held[23:].sum() == 0
    shuffled = clips.sample(frac=1, random_state=1)
    assert validation_mask(shuffled).sort_index().equals(held)


def test_raw_tails_make_no_groups():
    clips = pd.concat([table(1, "source", f"weight{i:02d}_BckgA", i) for i in range(40)], ignore_index=True)
    assert validation_mask(clips).sum() == 6


def test_attribute_table(root):
    values = attribute_table(Dataset(root).of("fan"))
    assert values["m-n"].value_counts().to_dict() == {"W": 8, "X": 3, "Z": 4}


def test_real_names(real_root):
    dataset = Dataset(real_root)
    assert dataset.targets() == ["valve", "ToyCar"]
    values = attribute_table(dataset.of("ToyCar", "train"))
    assert set(values.columns) == {"car", "spd", "mic"} and set(values["spd"]) == {"28V", "31V", "34V", "37V", "40V"}
    held = validation_mask(dataset.of("ToyCar", "train"))
    assert held.sum() == 34
    assert set(dataset.problems["machine"]) == {"RoboticArm"}
