import json

import pytest
from makers import write_bytes

from lib.recordings.attributes import physical_values
from lib.recordings.dcase import Dataset, attribute_table
from lib.recordings.values import number_of, same_value, settle, tidy


def read(root, values, key="spd"):
    """A machine whose clips have these values in its attribute file; the table of its attributes and the problems."""
    for i in range(len(values)):
        write_bytes(root / "fan" / "train" / f"section_00_source_train_normal_{i:04d}.wav", str(i))
    rows = (f"section_00_source_train_normal_{i:04d}.wav;{key};{value}\n" for i, value in enumerate(values))
    write_bytes(root / "fan" / "attributes_00.csv", "file_name;d1p;d1v\n" + "".join(rows))
    dataset = Dataset(root)
    return attribute_table(dataset.clips).get(key), " | ".join(dataset.problems["problem"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("28V", (28, "v")), ("28.0", (28, "")), ("1E+02", (100, "")), ("-2%", (-2, "%")), ("+3.5", (3.5, "")),
        ("20°C", (20, "°c")), ("9.81m/s²", (9.81, "m/s²")), ("5µm", (5, "µm")), ("B1", None), ("1.2.3", None),
        ("", None), ("28V (1)", None), ("2024-01-02", None), ("1" * 400, None),
    ],
)  # fmt: skip
def test_numbers(text, number):
    assert number_of(text) == number


def test_tidy_takes_off_what_spreadsheets_add_and_no_more():
    assert [tidy(text) for text in (" 28 V ", "1,5\u00a0kg", '"on"', "half  load", "1,2,3", "B1 ", "x, y")] == [
        "28V", "1.5kg", "on", "half load", "1,2,3", "B1", "x, y",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("28V", "28 v", True), ("28", "28V", True), ("0,11", "0.11", True), ("28V", "28A", False), ("a", "b", False)],
)
def test_same_value(one, other, same):
    assert same_value(one, other) is same and same_value(other, one) is same


def test_one_number_in_several_spellings_is_one_class(tmp_path):
    values, problems = read(tmp_path, ["28V", "28V", "28.0", "28 V", "28v", "31V", "31", "0040V", "4.0E+01V"])
    assert values.tolist() == ["28V"] * 5 + ["31V"] * 2 + ["0040V"] * 2
    assert "one value in several spellings: spd=28.0, 28V, 28v; taken as 28V" in problems


def test_texts_stay_apart(tmp_path):
    values, problems = read(tmp_path, ["A1", "A2", "a1", "B1", "02x1"])
    assert sorted(values) == ["02x1", "A1", "A2", "B1", "a1"] and not problems


@pytest.mark.parametrize("other", ["full", "2", "2kg", "2g", "02", "two"])
def test_names_of_test_clips_settle_nothing_about_training_clips(other):
    """Neither whether `none` is a value, nor which spellings are one, nor which of them is kept."""

    def settled(*tested):
        values = [("train", "2"), ("train", "none"), ("train", "2g"), *(("test", value) for value in tested)]
        clips = [{"split": split, "path": "x", "attributes": {"load": value}} for split, value in values]
        settle("fan", clips, [])
        return [clip["attributes"].get("load") for clip in clips][:3]

    assert settled(*[other] * 4) == settled() == ["2g", None, "2g"]


def test_several_units_are_said_and_not_mixed_up(tmp_path):
    values, problems = read(tmp_path, ["1kg", "1kg", "500g", "1g"])
    assert sorted(set(values)) == ["1g", "1kg", "500g"] and "several units: spd in g, kg" in problems


def test_a_number_without_the_unit_of_the_others_is_said(tmp_path):
    """3 beside 2k is no thousandth of anything on purpose; 2 beside 2V is one value in two spellings."""
    values, problems = read(tmp_path, ["2k", "2k", "1500", "3k"])
    assert sorted(set(values)) == ["1500", "2k", "3k"] and "a unit missing: spd=1500 without 'k'" in problems
    assert "a unit missing" not in read(tmp_path / "same", ["2V", "2", "3V", "3V"])[1]


@pytest.mark.parametrize(
    "token", ["n/a", "N/A", "NaN", "-", "–", "?", "null", "#N/A", "#WERT!", "none", "NA", "unknown"]
)
def test_words_for_nothing_among_numbers_are_no_value(tmp_path, token):
    values, problems = read(tmp_path, ["28V", "31V", "31V", token])
    assert physical_values(values) == {"28V": 28, "31V": 31} and values.iloc[3] == ""
    assert f"no value: spd={token!r} in 1 clip" in problems


def test_none_among_words_is_a_value(tmp_path):
    values, problems = read(tmp_path, ["none", "half", "full", "none"], "load")
    assert values.tolist() == ["none", "half", "full", "none"] and not problems


@pytest.mark.parametrize(
    ("odd", "why"),
    [("fast", "where most are"), ("28V*", "where most are"), ("03. Apr", "a date"), ("3-Apr", "a date"), ("Apr 03", "a date"), ("2024-04-03", "a date"), ("3.4.2024", "a date"), ("03/04/24", "a date")],
)  # fmt: skip
def test_a_value_that_turns_numbers_into_ranks_is_named_with_its_file(tmp_path, odd, why):
    read(tmp_path, ["28V", "31V", "31V", odd])
    problems = Dataset(tmp_path).problems
    row = problems.iloc[-1]
    assert f"no number: spd={odd!r} in 1 clip, {why}" in row["problem"] and "ranks" in row["problem"]
    assert row["file"].endswith("_0003.wav")


def test_words_and_test_clips_turn_nothing_into_ranks(tmp_path):
    assert read(tmp_path, ["B1", "B2", "A1", "28"])[1] == ""
    write_bytes(tmp_path / "fan" / "test" / "section_00_source_test_normal_0000_volt_fast.wav", "x")
    for i in range(4):
        write_bytes(tmp_path / "fan" / "train" / f"section_00_source_train_normal_010{i}_volt_{i}.wav", str(i + 9))
    assert not Dataset(tmp_path).problems["problem"].str.contains("no number").any()


def test_one_key_in_several_spellings(tmp_path):
    for i, key in enumerate(("spd", "Spd", "spd", "SPD")):
        write_bytes(tmp_path / "fan" / "train" / f"section_00_source_train_normal_000{i}_{key}_{i}V.wav", str(i))
    dataset = Dataset(tmp_path)
    assert [json.loads(text) for text in dataset.clips["attributes"]] == [{"spd": f"{i}V"} for i in range(4)]
    assert "one key in several spellings: SPD, Spd, spd; taken as spd" in dataset.problems["problem"].item()


@pytest.mark.parametrize(
    "values", [["900 1/min", "1200 1/min"], ["1 000", "1 200"], ["28±1", "30±1"], ["28%20V", "9%20V"]]
)
def test_numbers_that_all_are_written_oddly_are_named_too(tmp_path, values):
    assert f"no number: spd={values[0]!r} in 2 clips, though most begin as one" in read(tmp_path, values * 2)[1]


def test_a_comma_of_thousands_or_decimals_is_not_guessed(tmp_path):
    values, problems = read(tmp_path, ["800", "900", "950", '"1,200"'])
    assert "1,200" in values.tolist() and "'1,200' in 1 clip, a comma that may be of thousands" in problems
    assert [tidy(text) for text in ("0,110", "1,20", "-1,5V", "1,200V", "12,345,678")] == [
        "0.110", "1.20", "-1.5V", "1,200V", "12,345,678",
    ]  # fmt: skip


def test_a_typesetters_minus_is_a_minus():
    assert number_of(tidy("\u221210 °C")) == (-10, "°c") and tidy("a\u22121") == "a\u22121"
