"""Clips are found wherever people and programs put them; what cannot be read or is no recording is named with the mend."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from makers import write_bytes

from lib.recordings import folders
from lib.recordings.dcase import Dataset
from lib.recordings.names import format_name


def fill(machine, train=2, test=1):
    for split, count in (("train", train), ("test", test)):
        for i in range(count):
            write_bytes(
                machine / split / f"{format_name('source', split, 'normal', i, {})}.wav", f"{machine}{split}{i}"
            )


def said(dataset):
    return " | ".join(dataset.problems["file"] + ": " + dataset.problems["problem"] + " → " + dataset.problems["mend"])


@pytest.mark.parametrize("layout", ["", "raw", "dev_data", "dev_data/raw", "eval_data", "eval_data/raw"])
def test_layouts(tmp_path, layout):
    fill(tmp_path / layout / "fan")
    dataset = Dataset(tmp_path)
    assert len(dataset.of("fan", "train")) == 2 and len(dataset.of("fan", "test")) == 1 and dataset.problems.empty


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("train (1)", "test ")]
)
def test_renamed_split_folders(tmp_path, names):
    fill(tmp_path / "fan")
    for split, name in zip(("train", "test"), names, strict=True):
        (tmp_path / "fan" / split).rename(tmp_path / "fan" / name)
    assert Dataset(tmp_path).clips["split"].tolist() == ["test", "train", "train"]


def test_an_archive_unpacked_into_a_folder_of_its_own(tmp_path):
    fill(tmp_path / "dev_data" / "raw" / "dev_fan" / "fan")
    fill(tmp_path / "dev_data" / "raw" / "pump")
    fill(tmp_path / "dev_data" / "raw" / "old" / "pump")
    dataset = Dataset(tmp_path)
    assert dataset.targets() == ["fan", "pump"] and len(dataset.of("pump")) == 3
    assert "old/pump: a second folder of a machine: pump, one folder deeper; left out" in said(dataset)


def test_nested_clips_are_found_and_two_of_one_name_stay_two(tmp_path):
    for label in ("normal", "abnormal"):
        for i in range(2):
            write_bytes(tmp_path / "fan" / "test" / label / f"000{i}.wav", f"{label}{i}")
    write_bytes(tmp_path / "fan" / "train" / "june" / "3rd" / "0000.wav", "a")
    dataset = Dataset(tmp_path)
    rows = dataset.of("fan", "test").set_index("stem")["label"]
    assert rows.to_dict() == {"normal_0000": "normal", "normal_0001": "normal", "abnormal_0000": "anomaly", "abnormal_0001": "anomaly"}  # fmt: skip
    assert dataset.of("fan", "train")["stem"].tolist() == ["june_3rd_0000"]


def test_a_link_to_a_folder_is_followed_and_one_that_leads_back_is_not(tmp_path):
    fill(tmp_path / "elsewhere" / "fan")
    (tmp_path / "root" / "pump" / "train").mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere" / "fan", tmp_path / "root" / "fan")
    os.symlink(tmp_path / "root" / "pump" / "train", tmp_path / "root" / "pump" / "train" / "again")
    os.symlink("self", tmp_path / "root" / "pump" / "train" / "self")
    fill(tmp_path / "root" / "pump")
    dataset = Dataset(tmp_path / "root")
    assert len(dataset.of("fan")) == 3 and len(dataset.of("pump")) == 3
    assert "again: a link that leads back" in said(dataset)


def test_what_systems_leave_is_no_problem(tmp_path):
    fill(tmp_path / "fan")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.wav", "__MACOSX/fan/train/._a.wav", "@eaDir/a.wav"):
        write_bytes(tmp_path / "fan" / "train" / name, "x")
        write_bytes(tmp_path / name, "x")
    dataset = Dataset(tmp_path)
    assert len(dataset.clips) == 3 and dataset.problems.empty


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.mp3"], "another format (mp3)"),
        (["a.m4a", "b.m4a", "c.m4a"], "another format (m4a): 3 files, first a.m4a, ignored"),
        (["a.aif"], "ffmpeg -i 'a.aif' 'a.wav'"),
        (["a.wav.part"], "an unfinished download (.part)"),
        (["a.wav.crdownload"], "download it again"),
        (["a.wav.1"], "a copy or leftover of a recording"),
        (["a.wav~"], "a copy or leftover of a recording"),
        (["notes.txt"], "not a .wav or .flac file"),
    ],
)
def test_other_files_are_named_with_the_mend(tmp_path, names, expected):
    fill(tmp_path / "fan")
    for name in names:
        write_bytes(tmp_path / "fan" / "train" / name, "x")
    dataset = Dataset(tmp_path)
    assert len(dataset.clips) == 3 and len(dataset.problems) == 1 and expected in said(dataset)


def test_recordings_beside_train_and_test_are_named(tmp_path):
    fill(tmp_path / "fan")
    write_bytes(tmp_path / "fan" / "supplemental" / "a.wav", "x")
    write_bytes(tmp_path / "fan" / "b.wav", "x")
    text = said(Dataset(tmp_path))
    assert "supplemental: outside train and test: 1 recordings; not used" in text and "fan/b.wav: outside" in text


@pytest.mark.parametrize("name", ["line\nbreak", "back\\slash", "a∕b", "bell\a"])
def test_machine_names_that_no_path_bears_are_left_out(tmp_path, name):
    fill(tmp_path / "fan")
    fill(tmp_path / name)
    dataset = Dataset(tmp_path)
    assert dataset.targets() == ["fan"] and "rename the folder" in said(dataset)


@pytest.mark.parametrize(
    "name", ["fan 3", "fan #3", "fan's", 'the "old" fan', "Lüfter", "风扇", "-v", "{fan}", "a,b;c"]
)
def test_machine_names_that_work(tmp_path, name):
    fill(tmp_path / name)
    dataset = Dataset(tmp_path)
    assert dataset.targets() == [name] and dataset.problems.empty


@pytest.mark.parametrize("given", ["data/dev_data/raw/fan", "data/dev_data/raw/fan/train", "."])
def test_a_root_too_low_or_too_high_names_the_right_one(tmp_path, given):
    fill(tmp_path / "data" / "dev_data" / "raw" / "fan")
    fill(tmp_path / "data" / "eval_data" / "raw" / "pump")
    right = tmp_path / "data" / ("dev_data/raw" if "fan" in given else "")
    with pytest.raises(ValueError, match=f"give .*{right}$"):
        Dataset(tmp_path / given)


def test_an_archive_as_root(tmp_path):
    write_bytes(tmp_path / "data.zip", "x")
    with pytest.raises(ValueError, match="a file; give the data root"):
        Dataset(tmp_path / "data.zip")


def test_recordings_in_no_train_folder_are_found_for_the_error(tmp_path):
    write_bytes(tmp_path / "healthy" / "june" / "1.flac", "x")
    with pytest.raises(
        ValueError, match=r"healthy/june holds recordings, but in no train or test folder: expected <root>"
    ):
        Dataset(tmp_path)


def test_an_archive_of_windows_unpacked_into_names(tmp_path):
    write_bytes(tmp_path / "fan\\train\\a.wav", "x")
    with pytest.raises(ValueError, match=r"recordings, but in no train|backslashes: unpack"):
        Dataset(tmp_path)


def test_the_order_of_the_file_system_changes_nothing(tmp_path, monkeypatch):
    for name in ("fan", "Pump", "valve"):
        fill(tmp_path / name, 5, 3)
        write_bytes(tmp_path / name / "train" / "a.mp3", "x")
    before, scandir = Dataset(tmp_path), os.scandir

    class Reversed:
        def __init__(self, folder):
            with scandir(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(folders.os, "scandir", Reversed)
    after = Dataset(tmp_path)
    assert after.clips.equals(before.clips) and after.problems.equals(before.problems)


def test_what_may_not_be_read_is_a_problem_with_the_mend(tmp_path, monkeypatch):
    """Root may read everything, so the system's answer is played."""
    for name in ("fan", "pump", "valve"):
        fill(tmp_path / name)
    (tmp_path / "lost+found").mkdir()
    scandir = os.scandir

    def refuse(folder):
        if folder.name in ("lost+found", "pump") or folder.match("valve/train"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    dataset = Dataset(tmp_path)
    assert sorted(dataset.clips["machine"].unique()) == ["fan", "valve"] and len(dataset.of("valve", "train")) == 0
    text = said(dataset)
    assert "pump: a folder that cannot be read: Permission denied; left out → chmod -R a+rX" in text
    assert "lost+found: a folder that cannot be read: Permission denied; left out → leave it" in text
    assert "valve/train: a folder that cannot be read" in text
    monkeypatch.setattr(folders.os, "scandir", lambda folder: refuse(type(folder)("pump")))
    with pytest.raises(ValueError, match="cannot be read: Permission denied"):
        Dataset(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become another user")
def test_a_user_without_rights_gets_an_index():
    """In a folder of its own, since pytest's are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        _as_nobody(Path(folder))


def _as_nobody(tmp_path):
    fill(tmp_path / "fan")
    (tmp_path / "lost+found").mkdir(mode=0o700)
    write_bytes(tmp_path / "fan" / "attributes_00.csv", "a.wav,spd,1\n")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)
    for path in (tmp_path / "lost+found", tmp_path / "fan" / "attributes_00.csv", tmp_path / "fan" / "test"):
        path.chmod(0o700)
    script = (
        "import os, sys; from lib.recordings.dcase import Dataset; os.setuid(65534); d = Dataset('.');"
        "print(len(d.clips), *sorted(d.problems['problem']), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[:1] == ["2"], done.stderr
    assert done.stdout.count("Permission denied") == 3, done.stdout


def test_a_machine_without_train_and_test_beside_others_is_named(tmp_path):
    fill(tmp_path / "fan")
    for place in ("valve/a.wav", "pump/id_00/normal/b.wav", "slider/Trainingsdaten/c.flac"):
        write_bytes(tmp_path / place, place)
    (tmp_path / "notes").mkdir()
    dataset = Dataset(tmp_path)
    assert set(dataset.clips["machine"]) == {"fan"} and len(dataset.problems) == 3
    for machine in ("valve", "pump", "slider"):
        assert f"{machine}: no train or test folder: 1 recordings; not used → put them into train" in said(dataset)


def test_what_lies_in_no_machines_folder_is_named(tmp_path):
    fill(tmp_path / "fan")
    write_bytes(tmp_path / "a.wav", "x")
    write_bytes(tmp_path / "attributes_00.csv", "file_name,spd\n")
    fill(tmp_path / "archive" / "pump")
    write_bytes(tmp_path / "archive" / "normal" / "b.wav", "x")
    text = said(Dataset(tmp_path))
    assert "in no machine's folder: 1 recordings, first a.wav; not used → move them" in text
    assert "attributes_00.csv: an attribute file in no machine's folder: ignored → move it into" in text
    assert "archive: no train or test folder: 1 recordings; not used" in text


def test_folders_of_2021(tmp_path):
    write_bytes(tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.wav", "x")
    for domain, label in (("source", "normal"), ("target", "anomaly")):
        name = f"section_00_{domain}_test_{label}_0000.wav"
        write_bytes(tmp_path / "fan" / f"{domain}_test" / name, name)
    clips = Dataset(tmp_path).of("fan", "test")
    assert clips[["domain", "label"]].to_numpy().tolist() == [["source", "normal"], ["target", "anomaly"]]


def test_machines_inside_train_and_test_are_the_other_way_round(tmp_path):
    for place in ("train/fan", "train/pump", "test/fan", "test/pump"):
        write_bytes(tmp_path / place / "a.wav", place)
    with pytest.raises(ValueError, match=r"other way round: expected <root>/<machine>/train, found <root>/train/fan"):
        Dataset(tmp_path)


@pytest.mark.parametrize("between", ["normal", "normal_id_00"])
def test_a_machine_whose_folders_say_what_is_healthy_is_one_machine(tmp_path, between):
    for place in (f"train/{between}", f"test/{between}", "test/anomaly"):
        write_bytes(tmp_path / "fan" / place / "a.wav", place)
    with pytest.raises(ValueError, match="one machine's folder"):
        Dataset(tmp_path / "fan")
    assert Dataset(tmp_path).targets() == ["fan"]


def test_no_folder_is_listed_twice(tmp_path, monkeypatch):
    """Thousands of machines lie on a network's disk, too."""
    for name in ("fan", "deeper/pump"):
        fill(tmp_path / name)
        write_bytes(tmp_path / name / "attributes_00.csv", "file_name\n")
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    assert len(Dataset(tmp_path).clips) == 6 and len(listed) == len(set(listed)) > 6
