"""Any folder of healthy recordings becomes a data root: nothing of it is moved, the same clips are held out each time."""

import os

import pytest
from makers import write_bytes

from lib.recordings.dcase import Dataset, attribute_table
from lib.recordings.own import lay_out, link_others, names


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "healthy"
    for i in range(14):
        write_bytes(place / ("june" if i % 2 else "july/night") / f"{i:03d} Bay 2.flac", f"{i}")
    write_bytes(place / "june" / "notes.txt", "x")
    return place


def laid(folder, tmp_path, machine="mill"):
    return lay_out(folder, machine, tmp_path / "root", [])


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_any_names_and_folders(folder, tmp_path):
    before = sorted(folder.rglob("*"))
    assert laid(folder, tmp_path) == {"train": 12, "test": 2}
    dataset = Dataset(tmp_path / "root")
    assert dataset.targets() == ["mill"] and len(dataset.clips) == 14 and sorted(folder.rglob("*")) == before
    held = dataset.of("mill", "test")["stem"].tolist()
    assert all(os.path.islink(path) for path in dataset.clips["path"])
    laid(folder, tmp_path)
    assert Dataset(tmp_path / "root").of("mill", "test")["stem"].tolist() == held, "the same are held out"
    (folder / "june" / "001 Bay 2.flac").rename(folder / "june" / "renamed.flac")
    laid(folder, tmp_path)
    again = Dataset(tmp_path / "root")
    assert "june_renamed" in set(again.clips["stem"]) and len(again.clips) == 14, "links of the first call are gone"


def test_a_table_of_attributes(folder, tmp_path):
    rows = "".join(f"{i:03d} Bay 2.flac,{900 + 100 * (i % 3)}\n" for i in range(14))
    write_bytes(folder / "speeds.csv", f"file_name,speed\n{rows}")
    laid(folder, tmp_path)
    table = attribute_table(Dataset(tmp_path / "root").of("mill"))
    assert sorted(set(table["speed"])) == ["1000", "1100", "900"] and len(table) == 14
    write_bytes(folder / "more.csv", "file_name,load\n")
    with pytest.raises(ValueError, match=r"several tables \(more.csv, speeds.csv\)"):
        laid(folder, tmp_path)
    (folder / "speeds.csv").rename(folder / "Attributes.csv")
    laid(folder, tmp_path)
    assert len(attribute_table(Dataset(tmp_path / "root").of("mill")).columns) == 1


def test_too_little_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        laid(folder / "none", tmp_path)
    with pytest.raises(ValueError, match=r"7 .wav or .flac files; at least 10"):
        laid(folder / "june", tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/../..", "/tmp/mill", "others", "data", "shared", ".mill", "a\\b"])
def test_names_that_would_reach_elsewhere_are_refused_before_anything_is_touched(folder, tmp_path, name):
    before = content(tmp_path)
    with pytest.raises(ValueError, match="a machine cannot be called so"):
        laid(folder, tmp_path, name)
    assert content(tmp_path) == before


def test_no_folder_of_the_users_is_cleared(folder, tmp_path):
    write_bytes(tmp_path / "root" / "mill" / "train" / "precious.wav", "x")
    with pytest.raises(ValueError, match="is there, and not of make fit"):
        laid(folder, tmp_path)
    with pytest.raises(ValueError, match="holds the run's own folder"):
        lay_out(folder, "mill", folder / "outputs" / "data", [])
    assert (tmp_path / "root" / "mill" / "train" / "precious.wav").exists()


def test_what_is_not_used_is_listed(folder, tmp_path):
    write_bytes(folder / "june" / "a.mp3", "x")
    lay_out(folder, "mill", tmp_path / "root", problems := [])
    assert any("another format (mp3)" in problem for _, _, problem, _ in problems)


def test_equal_names_of_others_stay_apart_and_no_original_changes(folder, tmp_path):
    """Links go by names: a second one of a name must never write through the first."""
    laid(folder, tmp_path)
    for month in ("june", "july"):
        for i in range(3):
            write_bytes(tmp_path / "data" / "fan" / "train" / month / f"{i}.wav", f"{month} {i}")
            write_bytes(tmp_path / "sounds" / month / f"{i}.wav", f"{month} {i}")
    before = content(tmp_path / "data") | content(tmp_path / "sounds") | content(folder)
    for others, machine in (("data", "fan"), ("sounds", "others")):
        laid(folder, tmp_path)
        link_others(tmp_path / "root", "mill", tmp_path / others)
        clips = Dataset(tmp_path / "root").clips
        assert set(clips["machine"]) == {"mill", machine}, "machines of an earlier call are gone"
        assert (clips["machine"] == machine).sum() == 6
    assert {path: path.read_bytes() for path in before} == before


def test_the_machines_own_clips_are_no_other_machine(folder, tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    folder = folder.rename(sounds / "mill")
    laid(folder, tmp_path)
    for place in (folder, sounds):
        with pytest.raises(ValueError, match=r"no .wav or .flac file of another machine"):
            link_others(tmp_path / "root", "mill", place)
    write_bytes(sounds / "pump" / "a.wav", "pump")
    link_others(tmp_path / "root", "mill", sounds)
    assert len(Dataset(tmp_path / "root").of("others")) == 1


def test_other_machines_are_a_data_root_or_a_folder(folder, tmp_path):
    root = tmp_path / "root"
    laid(folder, tmp_path)
    for machine in ("fan", "mill"):
        for i in range(3):
            write_bytes(tmp_path / "data" / machine / "train" / f"{i}.wav", f"{machine}{i}")
        write_bytes(tmp_path / "data" / machine / "test" / "a.wav", f"{machine}")
    assert link_others(root, "mill", tmp_path / "data") == ["fan"]
    clips = Dataset(root).clips
    assert clips.groupby("machine").size().to_dict() == {"fan": 3, "mill": 14}
    write_bytes(tmp_path / "sounds" / "deep" / "a.wav", "x")
    laid(folder, tmp_path)
    assert link_others(root, "mill", tmp_path / "sounds") == ["others"]
    assert Dataset(root).of("others")["split"].tolist() == ["train"]
    with pytest.raises(ValueError, match=r"no .wav or .flac file of another machine"):
        link_others(root, "mill", tmp_path / "nowhere")
    assert names(["fan"]) == "fan" and names(["fan", "mill", "pump"]) == "fan, mill and pump"
