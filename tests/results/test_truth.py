"""Where labels and domains come from: the official layout wherever it lies, data roots, folders and lists of names."""

import pytest
from challenge import clips_of, write, write_truth

from lib.results import truth
from lib.results.official import Section

FAN = Section("fan", "00")
NAMED = [f"section_00_{d}_test_{x}_{i:04d}_m-n_W" for d in ("source", "target") for x in ("normal", "anomaly") for i in range(2)]  # fmt: skip


def said(known):
    return {clip: (row.domain, row.label) for clip, row in known.clips.iterrows()}


def of_name(stem):
    return stem.split("_")[2], stem.split("_")[4]


@pytest.mark.parametrize("given", [".", "up", "up/evaluator", "up/evaluator/ground_truth_data"])
def test_the_official_layout_from_above_or_within(tmp_path, given):
    clips, root = clips_of(), tmp_path / "up" / "evaluator"
    write_truth(root, "fan", clips)
    write(root / "teams" / "x" / "anomaly_score_fan_section_00_test.csv", "")
    found = truth.read(tmp_path / given)
    assert list(found) == [FAN] and not found[FAN].faults
    assert said(found[FAN]) == {name.removesuffix(".wav"): (domain, label) for name, domain, label in clips}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda f: (f / "ground_truth_domain" / "ground_truth_fan_section_00_test.csv").unlink(), "domain/ground_truth_fan_section_00_test.csv: no such file"),
        (lambda f: write(f / "ground_truth_domain" / "ground_truth_fan_section_00_test.csv", "section_00_0000.wav,1\n"), "no row for a test clip (19 of them): section_00_0001"),
        (lambda f: write(f / "ground_truth_data" / "ground_truth_fan_section_00_test.csv", "section_00_0000.wav,2\n"), "neither 0 nor 1: row 1: section_00_0000.wav,2"),
    ],
)  # fmt: skip
def test_a_faulty_ground_truth_names_its_file(tmp_path, broken, message):
    write_truth(tmp_path, "fan", clips_of())
    broken(tmp_path)
    assert message in "\n".join(truth.read(tmp_path)[FAN].faults)


def test_layouts_that_are_refused(tmp_path):
    write_truth(tmp_path / "a", "fan", clips_of())
    write_truth(tmp_path / "b", "fan", clips_of())
    with pytest.raises(ValueError, match="several folders of ground truth"):
        truth.read(tmp_path)
    for path in (tmp_path / "b" / "ground_truth_domain").iterdir():
        path.unlink()
    (tmp_path / "b" / "ground_truth_domain").rmdir()
    with pytest.raises(ValueError, match="b: no folder ground_truth_domain there"):
        truth.read(tmp_path / "b")
    with pytest.raises(ValueError, match="no such file or folder"):
        truth.read(tmp_path / "c")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no clips found"):
        truth.read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("below", "given", "machine"),
    [
        ("data/dev_data/raw/fan", "data", "fan"),
        ("data/fan", "data", "fan"),
        ("data/fan", "data/fan", "fan"),
        ("data/fan", "data/fan/test", "fan"),
    ],
)
def test_clips_say_it_by_their_names(tmp_path, below, given, machine):
    for stem in NAMED:
        write(tmp_path / below / "test" / f"{stem}.wav", "")
    write(tmp_path / below / "train" / "section_00_source_train_normal_0000_m-n_W.wav", "")
    found = truth.read(tmp_path / given)
    assert list(found) == [Section(machine, "00")]
    assert said(found[Section(machine, "00")]) == {stem: of_name(stem) for stem in NAMED}


def test_a_flat_folder_and_a_list_without_folders_name_no_machine(tmp_path):
    for stem in NAMED:
        write(tmp_path / "clips" / f"{stem}.wav", "")
    write(tmp_path / "list.txt", "file_name\r\n" + "\r\n".join(f"{stem}.wav" for stem in NAMED) + "\r\n\r\n")
    for given in ("clips", "list.txt"):
        found = truth.read(tmp_path / given)
        assert list(found) == [Section("", "00")] and len(found[Section("", "00")].clips) == len(NAMED)


def test_a_list_of_paths_names_machines_and_leaves_training_clips(tmp_path):
    lines = [f"{machine}/test/{stem}.wav" for machine in ("fan", "big pump") for stem in NAMED]
    lines += [
        "fan/train/section_00_0000.wav",
        "fan/section_00_source_train_normal_0000_m-n_W.wav",
        f"raw\\mill\\{NAMED[0]}",
    ]
    write(tmp_path / "list.txt", "\n".join(lines))
    found = truth.read(tmp_path / "list.txt")
    assert [section.machine for section in found] == ["fan", "big pump", "mill"]
    assert [len(known.clips) for known in found.values()] == [len(NAMED), len(NAMED), 1]


def test_names_that_say_nothing_are_faults(tmp_path):
    write(
        tmp_path / "list.txt",
        "\n".join([*NAMED, "section_00_0007.wav", "section_00_source_test_0008.wav", "Monday.wav"]),
    )
    (fault,) = truth.read(tmp_path / "list.txt")[Section("", "00")].faults
    assert "list.txt: the name does not say label and domain" in fault and fault.endswith(
        " (3 of them): section_00_0007; section_00_source_test_0008; Monday"
    )
    write(tmp_path / "empty.txt", "\n")
    with pytest.raises(ValueError, match="lists no names"):
        truth.read(tmp_path / "empty.txt")


def test_a_score_files_own_names(tmp_path):
    path = tmp_path / "anomaly_score_fan_section_00_test.csv"
    assert said(truth.of_names(path, FAN, NAMED)) == {stem: of_name(stem) for stem in NAMED}
    other = NAMED[0].replace("section_00", "section_01")
    for stems, fault in (
        (["section_00_source_train_normal_0000"], "does not say label and domain"),
        ([other], f"not of fan section_00: {other}"),
    ):
        assert fault in truth.of_names(path, FAN, [*NAMED[1:], *stems]).faults[0]
