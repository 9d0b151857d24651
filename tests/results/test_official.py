"""Score files as they come: what is read as meant, and what is refused with the file and the row."""

import pytest
from challenge import write

from lib.results import official
from lib.results.official import Section, finite, flag, read_values, section_of

NAMES = [f"section_00_000{i}" for i in range(3)]
PLAIN = "section_00_0000.wav,0.5\nsection_00_0001.wav,-1.25\nsection_00_0002.wav,1e-3\n"
SCORES = dict(zip(NAMES, (0.5, -1.25, 0.001), strict=True))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("anomaly_score_ToyCar_section_00_test.csv", ("anomaly_score", "ToyCar", "00")),
        ("anomaly_score_big_fan_section_12_test.csv", ("anomaly_score", "big_fan", "12")),
        ("anomaly_score_fansection00test.csv", ("anomaly_score", "fan", "00")),
        ("decisionresultfansection01test.csv", ("decision_result", "fan", "01")),
        ("Anomaly_Score_fan_section_00.CSV", ("anomaly_score", "fan", "00")),
        ("anomaly_score_Bay 2 “süd”_section_00_test.csv", ("anomaly_score", "Bay 2 “süd”", "00")),
        ("ground_truth_bandsaw_section_00_test.csv", ("ground_truth", "bandsaw", "00")),
    ],
)
def test_names_of_files(name, meant):
    kind, section = section_of(name)
    assert (kind, *section) == meant


@pytest.mark.parametrize("name", ["notes.csv", "anomaly_score.csv", "._anomaly_score_fan_section_00_test.csv",
                                  "anomaly_score_fan_section_00_test.csv.bak"])  # fmt: skip
def test_other_files_are_none(name):
    assert section_of(name) is None


def test_machines_are_the_same_whatever_underscores_but_never_guessed():
    assert official.same_machine("toycar", ["ToyCar", "ToyTrain"]) == "ToyCar"
    assert official.same_machine("bigfan", ["big_fan", "bigfan"]) == "bigfan", "an exact name first"
    assert official.same_machine("BIGFAN", ["big_fan", "bigfan"]) == "BIGFAN", "two are alike: neither"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        PLAIN + "\n \n,\n",
        PLAIN.replace(",", ", "),
        PLAIN.replace("\n", " \n"),
        PLAIN.replace(".wav", ""),
        PLAIN.replace(".wav", ".WAV"),
        PLAIN.replace("section", "fan/test/section"),
        PLAIN.replace("section", "D:\\fan\\test\\section"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        '"' + PLAIN.strip().replace(",", '","').replace("\n", '"\n"') + '"\n',
        "\n".join(PLAIN.splitlines()[::-1]),
        PLAIN.replace("0.5", "5E-1").replace("-1.25", "-125e-2"),
        PLAIN.replace("\n", ",\n"),
    ],
)
@pytest.mark.parametrize("known", [(), NAMES])
def test_wild_forms_are_read_as_meant(tmp_path, content, known):
    write(tmp_path / "a.csv", content)
    assert read_values(tmp_path / "a.csv", finite, known) == (SCORES, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN.replace("1e-3", "nan"), "not finite: row 3: section_00_0002.wav,nan"),
        (PLAIN.replace("0.5", "-inf"), "not finite: row 1: section_00_0000.wav,-inf"),
        (PLAIN.replace("0.5", "1e999"), "not finite: row 1"),
        (PLAIN.replace("0.5", "0,5"), "not a name and a value: row 1: section_00_0000.wav,0,5"),
        (PLAIN.replace("0.5", ""), "not a name and a value: row 1: section_00_0000.wav"),
        (PLAIN.replace("0.5", "half"), "no number: row 1: section_00_0000.wav,half"),
        (PLAIN + "\nsection_00_0001.wav,7\n", "a clip has a second row: row 5: section_00_0001.wav,7"),
        (PLAIN + "fan/section_00_0001.WAV,7\n", "a clip has a second row: row 4"),
        (PLAIN + "section_00_0003.wav,7\n", "no test clip of this name: row 4: section_00_0003.wav,7"),
        ("file_name,score\n" + PLAIN, "no test clip of this name: row 1: file_name,score"),
        (PLAIN[: PLAIN.rindex("section_00_0002")], "no row for a test clip: section_00_0002"),
        (PLAIN[:-12], "no row for a test clip: section_00_0002"),
        ("", "no row for a test clip (3 of them): section_00_0000; section_00_0001; section_00_0002"),
        (bytes([1, 2, 200, 255]) * 100, "no test clip of this name: row 1: '\\x01\\x02"),
        (b"PK\x03\x04zip", "a spreadsheet, not a CSV file (save it as CSV, UTF-8)"),
    ],
)
def test_what_is_wrong_names_the_file_and_the_row(tmp_path, content, said):
    path = tmp_path / "anomaly_score_fan_section_00_test.csv"
    write(path, content)
    faults = read_values(path, finite, NAMES)[1]
    assert all(fault.isprintable() and len(fault) < 400 for fault in faults)
    assert any(fault.startswith(f"{path}: {said}") for fault in faults), faults


def test_every_fault_is_collected_and_long_lists_are_counted(tmp_path):
    many = "".join(f"section_00_{i:04d}.wav,nan\n" for i in range(30))
    write(tmp_path / "a.csv", many + "section_00_0000.wav,1\nx.wav\n")
    first, second, third = read_values(tmp_path / "a.csv", finite)[1]
    assert "not finite (30 of them): row 1: " in first and first.endswith("and 20 more") and first.count("row ") == 10
    assert "second row: row 31" in second and "not a name and a value: row 32: x.wav" in third


def test_an_unreadable_or_empty_file_is_one(tmp_path):
    write(tmp_path / "a.csv", "\n\n")
    assert read_values(tmp_path / "a.csv", finite)[1] == [f"{tmp_path}/a.csv: empty, without a row"]
    (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere.csv")
    found, faults = read_values(tmp_path / "b.csv", finite)
    assert not found and "b.csv: cannot be read: No such file" in faults[0] and "attributes" not in faults[0]


@pytest.mark.parametrize("text", ["2", "-1", "0.5", "yes", "nan", ""])
def test_a_flag_is_0_or_1(text):
    assert [flag(t) for t in ("0", "1", "1.0", " 0")] == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        flag(text)


def test_folders_at_any_depth_each_by_itself(tmp_path):
    for place in ("teams/a/one", "teams/a/two", "."):
        write(tmp_path / place / "anomaly_score_fan_section_00_test.csv", PLAIN)
    write(tmp_path / "teams/a/one/decision_result_fan_section_00_test.csv", PLAIN)
    write(tmp_path / "ground_truth_data/ground_truth_fan_section_00_test.csv", PLAIN)
    found = official.folders(tmp_path)
    assert list(found) == [tmp_path, tmp_path / "teams/a/one", tmp_path / "teams/a/two"]
    assert set(found[tmp_path / "teams/a/one"][Section("fan", "00")]) == set(official.KINDS)
    with pytest.raises(ValueError, match="no score files there"):
        official.folders(tmp_path / "ground_truth_data")
    with pytest.raises(ValueError, match="no such folder"):
        official.folders(tmp_path / "nowhere")


def test_links_are_followed_once_and_copies_are_named(tmp_path):
    write(tmp_path / "there" / "anomaly_score_fan_section_00_test.csv", PLAIN)
    write(tmp_path / "there" / "anomaly_score_fan_section_00_test (1).csv", PLAIN)
    write(tmp_path / "there" / "notes.csv", PLAIN)
    (tmp_path / "there" / "back").symlink_to(tmp_path)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "team").symlink_to(tmp_path / "there")
    assert list(official.folders(tmp_path / "given")) == [tmp_path / "given" / "team"]
    assert official.strays(tmp_path / "there") == ["anomaly_score_fan_section_00_test (1).csv"]
