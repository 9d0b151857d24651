"""An attribute file says the same whatever program wrote it, and what cannot be read from it is named by file and row."""

import json
import os

import pytest
from makers import write_bytes

from lib.recordings import attributes
from lib.recordings.dcase import Dataset, attribute_table

CLIPS = [f"clip_{i}" for i in range(4)]
PLAIN = "file_name,d1p,d1v,d2p,d2v\n" + "".join(f"fan/train/clip_{i}.wav,spd,{28 + i}V,mic,{i % 2 + 1}\n" for i in range(4))  # fmt: skip
EXPECTED = [{"spd": f"{28 + i}V", "mic": str(i % 2 + 1)} for i in range(4)]


def read(root, text, name="attributes_00.csv", clips=CLIPS):
    for stem in clips:
        write_bytes(root / "fan" / "train" / f"{stem}.wav", stem)
    write_bytes(root / "fan" / name, text)
    dataset = Dataset(root)
    rows = dataset.of("fan", "train")
    listed = dataset.problems[~dataset.problems["problem"].str.contains("outside the grammar")]
    return [json.loads(each) for each in rows["attributes"]], listed, rows


def wide(separator, text=PLAIN):
    return text.replace(",", separator)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        wide(";"), wide("\t"), wide("|"), "sep=;\n" + wide(";"), '"sep=\t"\n' + wide("\t"), "sep=,\r\n" + PLAIN,
        PLAIN.encode("utf-8-sig"), PLAIN.encode("utf-16"), PLAIN.encode("utf-16-le"), PLAIN.encode("utf-16-be"),
        wide(";").encode("utf-16"), PLAIN.replace("\n", "\r\n"), PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ", "), PLAIN.replace(",", " , "), PLAIN.replace("V", "\u00a0V"), PLAIN.replace("V", " V"),
        PLAIN.replace("\n", ",,,\n"), PLAIN.replace("\n", ";\n").replace(",", ";"), "\n\n" + PLAIN + "\n\n",
        PLAIN.replace("/", "\\"), PLAIN.replace("fan/train/", ""), PLAIN.replace(".wav", ""),
        PLAIN.replace(".wav", ".WAV"), PLAIN.replace(".wav", ".flac"), PLAIN.replace("clip", "Clip"),
        PLAIN.replace("file_name", "File Name"), PLAIN.replace("file_name", "filename"), PLAIN + PLAIN.split("\n")[0],
        PLAIN.split("\n", 1)[1], PLAIN.replace("spd", '"spd"'), "\n".join(f'"{line}"' for line in PLAIN.splitlines()),
        "# made on Monday\n" + PLAIN,
        "\n".join(f"{'' if i == 0 else i - 1},{line}" for i, line in enumerate(PLAIN.splitlines())),  # pandas' index
        "\n".join(f"{'No' if i == 0 else i};{line}" for i, line in enumerate(wide(";").splitlines())),
        "spd,mic,file_name\n" + "".join(f"{28 + i}V,{i % 2 + 1},clip_{i}.wav\n" for i in range(4)),
        "file_name,spd,mic\n" + PLAIN.split("\n", 1)[1].replace("spd,", "").replace("mic,", ""),
        "file;spd (V);mic\n" + "".join(f"clip_{i}.wav;{28 + i}V;{i % 2 + 1}\n" for i in range(4)),
    ],
)  # fmt: skip
def test_every_spelling_of_the_file_gives_the_same(tmp_path, content):
    found, problems, _ = read(tmp_path, content)
    assert found == EXPECTED
    assert problems.empty, problems.to_dict("records")


@pytest.mark.parametrize("key", ["load1", "motor_speed", "größe", "速度", "m-n", "Motor speed", "a.b"])
def test_keys_of_other_data_sets(tmp_path, key):
    found, problems, rows = read(tmp_path, "".join(f"{stem}.wav,{key},{i}\n" for i, stem in enumerate(CLIPS)))
    assert found == [{key.replace(" ", "_"): str(i)} for i in range(4)] and problems.empty
    assert attributes.parameters(rows) == [key.replace(" ", "_")]


@pytest.mark.parametrize("key", ["all", "raw", "section", "m/s", "7"])
def test_keys_that_no_folder_may_have_are_named(tmp_path, key):
    found, problems, _ = read(tmp_path, f"clip_0.wav,{key},1\n")
    assert found[0] == {}
    assert f"['{key}', '1'] are not keys and values" in problems["problem"].iloc[0]
    assert problems["file"].iloc[0].endswith("attributes_00.csv, row 1")


def test_blank_values_pair_with_their_own_keys(tmp_path):
    text = "file_name,d1p,d1v,d2p,d2v\nclip_0.wav,spd,28V,mic,1\nclip_1.wav,spd,31V,mic,2\nclip_2.wav,spd,,mic,\nclip_3.wav,,,mic,2\n"
    found, problems, rows = read(tmp_path, text)
    assert found == [{"spd": "28V", "mic": "1"}, {"spd": "31V", "mic": "2"}, {}, {"mic": "2"}]
    assert attributes.physical_values(attribute_table(rows)["spd"]) == {"28V": 28, "31V": 31}
    assert set(problems["problem"].str.extract(r"no value: (\w+)")[0]) == {"spd", "mic"}


@pytest.mark.parametrize("row", [",spd,1", "spd,,1", "spd,1,mic", "spd,1,spd,2", "1,spd"])
def test_rows_that_are_no_pairs_are_named(tmp_path, row):
    found, problems, _ = read(tmp_path, f"clip_0.wav,mic,1\nclip_1.wav,{row}\n")
    assert found[1] == {} and "are not keys and values; row ignored" in " ".join(problems["problem"])
    assert problems["file"].str.endswith("attributes_00.csv, row 2").any()


def test_a_blank_key_or_value_of_a_wide_table(tmp_path):
    found, problems, _ = read(tmp_path, "file_name,spd,,mic\nclip_0.wav,1,note,2\nclip_1.wav,,,2\n")
    assert found[:2] == [{"spd": "1", "mic": "2"}, {"mic": "2"}]
    assert "no value: spd is blank in 1 row" in " ".join(problems["problem"])


def test_other_encodings_are_read_and_said(tmp_path):
    found, problems, _ = read(tmp_path, "Lüfter.wav;größe;3\n".encode("cp1252"), clips=["Lüfter"])
    assert found == [{"größe": "3"}] and "read as cp1252" in problems["problem"].item()


def test_decimal_commas(tmp_path):
    text = 'clip_0.wav,ac,"0,11"\nclip_1.wav,ac,0.21\nclip_2.wav,ac,"1,5 kg"\nclip_3.wav,ac,"2,25"\n'
    found, problems, rows = read(tmp_path, text)
    assert [each["ac"] for each in found] == ["0.11", "0.21", "1.5kg", "2.25"]
    assert attributes.physical_values(attribute_table(rows)["ac"])["0.11"] == 0.11
    assert problems["problem"].str.contains("several spellings: ac=0.11").sum() <= 1


def test_spreadsheet_and_other_files_are_named(tmp_path):
    _, problems, _ = read(tmp_path, b"PK\x03\x04....", "attributes_00.xlsx")
    assert "another format (.xlsx)" in problems["problem"].item() and "CSV" in problems["mend"].item()
    _, problems, _ = read(tmp_path, b"PK\x03\x04....", "attributes_00.csv")
    assert problems["problem"].str.contains("a spreadsheet, not a CSV file").any()


@pytest.mark.parametrize("name", ["attributes_00 (1).csv", "attributes_00.csv.csv", "Attributes_00.CSV", "attributes.csv", "attributes_00.tsv", "attributes_00.txt"])  # fmt: skip
def test_other_names_of_the_file(tmp_path, name):
    assert read(tmp_path, PLAIN, name)[0] == EXPECTED


def test_a_copy_of_the_file_is_not_read(tmp_path):
    write_bytes(tmp_path / "fan" / "attributes_00 (1).csv", PLAIN.replace("28V", "99V"))
    found, problems, _ = read(tmp_path, PLAIN)
    assert found == EXPECTED
    assert "a second attribute file of section 00" in problems["problem"].item()
    assert problems["file"].item().endswith("attributes_00 (1).csv")


def test_every_section_has_its_file(tmp_path):
    names = [f"section_0{s}_source_train_normal_000{i}" for s in (0, 1) for i in (0, 1)]
    for section in (0, 1):
        rows = "".join(f"{name}.wav,spd,{section + 5}\n" for name in names if f"section_0{section}" in name)
        write_bytes(tmp_path / "fan" / f"attributes_0{section}.csv", rows)
    write_bytes(tmp_path / "fan" / "attributes_02.csv", "clip_0.wav,spd,9\n")
    for name in (*names, "clip_0"):
        write_bytes(tmp_path / "fan" / "train" / f"{name}.wav", name)
    rows = Dataset(tmp_path).of("fan").set_index("stem")
    assert attribute_table(rows)["spd"].to_dict() == {names[0]: "5", names[1]: "5", names[2]: "6", names[3]: "6", "clip_0": "9"}  # fmt: skip
    assert rows.loc["clip_0", "section"] == "02"


def test_the_file_of_a_clips_own_section_wins(tmp_path):
    name = "section_01_source_train_normal_0000"
    write_bytes(tmp_path / "fan" / "train" / f"{name}.wav", "a")
    write_bytes(tmp_path / "fan" / "attributes_00.csv", f"{name}.wav,spd,1\n")
    write_bytes(tmp_path / "fan" / "attributes_01.csv", f"{name}.wav,spd,2\n")
    dataset = Dataset(tmp_path)
    assert json.loads(dataset.clips["attributes"].item()) == {"spd": "2"}
    assert "attributes_00.csv, row 1" in dataset.problems["file"].item()


def test_one_stem_in_train_and_in_test(tmp_path):
    for split in ("train", "test"):
        write_bytes(tmp_path / "fan" / split / "0000.wav", split)
    write_bytes(tmp_path / "fan" / "attributes_00.csv", "fan/train/0000.wav,spd,1\nfan/test/0000.wav,spd,2\n")
    clips = Dataset(tmp_path).clips.set_index("split")
    assert attribute_table(clips)["spd"].to_dict() == {"train": "1", "test": "2"}


def test_a_row_says_where_the_keys_of_a_name_end(tmp_path):
    names = ["section_00_source_train_normal_0000_mic_pos_A", "section_00_source_train_normal_0001_mic_pos_B"]
    found, problems, _ = read(tmp_path, f"{names[0]}.wav,mic_pos,A\n", clips=names)
    assert found[0] == {"mic_pos": "A"} and found[1] == {"raw": "mic_pos_B"}
    assert "no list of keys and values" in problems["problem"].iloc[0] and len(problems) == 2


def test_a_file_that_is_not_readable_is_a_problem(tmp_path):
    (tmp_path / "fan").mkdir()
    os.symlink("nowhere", tmp_path / "fan" / "attributes_00.csv")
    found, problems, _ = read_without_file(tmp_path)
    assert found == [{}] * 4 and "cannot be read: No such file" in problems["problem"].item()


def read_without_file(root):
    for stem in CLIPS:
        write_bytes(root / "fan" / "train" / f"{stem}.wav", stem)
    dataset = Dataset(root)
    listed = dataset.problems[~dataset.problems["problem"].str.contains("outside the grammar")]
    return [json.loads(each) for each in dataset.clips["attributes"]], listed, dataset.clips


def test_a_quote_that_does_not_end_costs_no_other_row(tmp_path):
    found, problems, _ = read(tmp_path, PLAIN.replace("29V", '"29V'))
    assert found == EXPECTED and "a quote that does not end" in problems["problem"].item()


@pytest.mark.parametrize(
    "name", ["attributes-00.csv", "attributes 00.csv", "attributes_section_00.csv", "Attributes_00.CSV"]
)
def test_other_spellings_of_the_files_name(tmp_path, name):
    found, listed, _ = read(tmp_path, PLAIN, name)
    assert found == EXPECTED and listed.empty


@pytest.mark.parametrize(
    ("name", "mend"),
    [("attributes_00_fan.csv", "call it attributes_00.csv"), ("train/attributes_00.csv", "move it up")],
)
def test_a_file_that_is_not_read_is_named(tmp_path, name, mend):
    found, listed, _ = read(tmp_path, PLAIN, name)
    assert found == [{}] * 4 and mend in listed["mend"].item() and listed["file"].item().endswith(name)


def test_two_columns_of_one_name_are_not_mixed_up(tmp_path):
    text = "file_name,speed (rpm),speed (V)\n" + "".join(f"clip_{i}.wav,{i}00,{i}V\n" for i in range(1, 4))
    found, listed, _ = read(tmp_path, text, clips=CLIPS[1:])
    assert found == [{"speed": f"{i}00"} for i in range(1, 4)]
    assert "a second column speed: 'speed (V)'; ignored" in listed["problem"].item()


@pytest.mark.parametrize("key", ["all", "section"])
def test_a_key_of_the_projects_own_in_a_name_is_named(tmp_path, key):
    for i in range(4):
        write_bytes(
            tmp_path / "fan" / "train" / f"section_00_source_train_normal_000{i}_{key}_{i}_spd_{i}V.wav", str(i)
        )
    dataset = Dataset(tmp_path)
    assert list(attribute_table(dataset.clips)) == ["spd"] and len(dataset.problems) == 4
    assert f"{key}=0 ignored" in dataset.problems["problem"][0]


def test_a_row_of_a_train_clip_says_nothing_of_the_test_clip_of_its_name(tmp_path):
    write_bytes(tmp_path / "fan" / "test" / "clip_0.wav", "another")
    read(tmp_path, PLAIN)
    dataset = Dataset(tmp_path)
    assert attribute_table(dataset.of("fan", "test")).empty
    (tmp_path / "fan" / "train" / "clip_0.wav").unlink()
    assert attribute_table(Dataset(tmp_path).of("fan", "test")).to_dict("records") == EXPECTED[:1]


def test_of_two_columns_that_a_key_abbreviates_the_one_with_its_value_is_meant(tmp_path):
    stems = [f"section_00_source_train_normal_{i:04d}_spd_{28 + i}V" for i in range(4)]
    text = "file_name,spread,speed\n" + "".join(f"{stem}.wav,{i},{28 + i}V\n" for i, stem in enumerate(stems))
    found, listed, _ = read(tmp_path, text, clips=stems)
    assert found == [{"spd": f"{28 + i}V", "spread": str(i)} for i in range(4)]
    assert listed["problem"].str.contains("calls spd speed").all()
