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


def test_any_names_and_folders(folder, tmp_path):
    before = sorted(folder.rglob("*"))
    assert lay_out(folder, "mill", tmp_path / "root") == {"train": 12, "test": 2}
    dataset = Dataset(tmp_path / "root")
    assert dataset.targets() == ["mill"] and len(dataset.clips) == 14 and sorted(folder.rglob("*")) == before
    held = dataset.of("mill", "test")["stem"].tolist()
    assert all(os.path.islink(path) for path in dataset.clips["path"])
    (folder / "june" / "001 Bay 2.flac").rename(folder / "june" / "renamed.flac")
    lay_out(folder, "mill", tmp_path / "root")
    again = Dataset(tmp_path / "root")
    assert "june_renamed" in set(again.clips["stem"]) and len(again.clips) == 14, "links of the first call are gone"
    if "june_001 Bay 2" not in held and "june_renamed" not in again.of("mill", "test")["stem"].tolist():
        assert again.of("mill", "test")["stem"].tolist() == held


def test_a_table_of_attributes(folder, tmp_path):
    rows = "".join(f"{i:03d} Bay 2.flac,{900 + 100 * (i % 3)}\n" for i in range(14))
    write_bytes(folder / "speeds.csv", f"file_name,speed\n{rows}")
    lay_out(folder, "mill", tmp_path / "root")
    table = attribute_table(Dataset(tmp_path / "root").of("mill"))
    assert sorted(set(table["speed"])) == ["1000", "1100", "900"] and len(table) == 14
    write_bytes(folder / "more.csv", "file_name,load\n")
    with pytest.raises(ValueError, match=r"several tables \(more.csv, speeds.csv\)"):
        lay_out(folder, "mill", tmp_path / "root")
    (folder / "speeds.csv").rename(folder / "Attributes.csv")
    lay_out(folder, "mill", tmp_path / "root")
    assert len(attribute_table(Dataset(tmp_path / "root").of("mill")).columns) == 1


def test_too_little_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        lay_out(folder / "none", "mill", tmp_path / "root")
    with pytest.raises(ValueError, match=r"7 .wav or .flac files; at least 10"):
        lay_out(folder / "june", "mill", tmp_path / "root")


def test_other_machines_are_a_data_root_or_a_folder(folder, tmp_path):
    root = tmp_path / "root"
    lay_out(folder, "mill", root)
    for machine in ("fan", "mill"):
        for i in range(3):
            write_bytes(tmp_path / "data" / machine / "train" / f"{i}.wav", f"{machine}{i}")
        write_bytes(tmp_path / "data" / machine / "test" / "a.wav", f"{machine}")
    assert link_others(root, "mill", tmp_path / "data") == ["fan"]
    clips = Dataset(root).clips
    assert clips.groupby("machine").size().to_dict() == {"fan": 3, "mill": 14}
    write_bytes(tmp_path / "sounds" / "deep" / "a.wav", "x")
    assert link_others(root, "mill", tmp_path / "sounds") == ["others"]
    assert Dataset(root).of("others")["split"].tolist() == ["train"]
    with pytest.raises(ValueError, match=r"no .wav or .flac files; name a folder"):
        link_others(root, "mill", tmp_path / "nowhere")
    assert names(["fan"]) == "fan" and names(["fan", "mill", "pump"]) == "fan, mill and pump"
