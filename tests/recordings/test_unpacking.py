"""A zip is unpacked whole or not at all, within its machine's folder, and over nothing that is there."""

import os
import shutil
import stat
import zipfile

import pytest
from makers import at_most
from zenodo_server import clips, zipped

from lib.recordings.unpacking import unpack

ENTRIES = clips("fan", train=3, test=2)
SOCKET, LINK, FIFO, DEVICE = stat.S_IFSOCK, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR


def entry(name, mode=stat.S_IFREG):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (mode | 0o644) << 16
    return info


@pytest.fixture
def put(tmp_path):
    """Unpack a zip of these bytes."""

    def call(content):
        archive = tmp_path / "dev_fan.zip"
        archive.write_bytes(content if isinstance(content, bytes) else zipped(content))
        return unpack(archive, "fan", tmp_path / "raw" / "fan")

    return call


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(tmp_path):
    return {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}


def test_all_of_the_machine_and_nothing_else(put, tmp_path):
    around = {"readme.txt": b"x", "__MACOSX/fan/._x": b"x", "pump/train/x.wav": b"x", "fan/train/": b""}
    done = put(around | ENTRIES)
    assert {f"fan/{name}": data for name, data in content(tmp_path / "raw" / "fan").items()} == ENTRIES
    assert done.clips == 5 and done.left == [] and os.listdir(tmp_path / "raw") == ["fan"]
    assert done.files == {name[4:]: len(data) for name, data in ENTRIES.items()}
    shutil.rmtree(tmp_path / "raw")
    put({f"dev_data/raw/{name}": data for name, data in ENTRIES.items()})
    assert len(content(tmp_path / "raw" / "fan")) == len(ENTRIES), "in the folders of the whole set, too"


@pytest.mark.parametrize(
    ("evil", "said"),
    [
        (entry("../evil.wav"), "leads out of the folder"),
        (entry("fan/train/../../../evil.wav"), "leads out of the folder"),
        (entry("/tmp/evil.wav"), "leads out of the folder"),
        (entry("C:/evil.wav"), "leads out of the folder"),
        (entry("fan\\train\\evil.wav"), "leads out of the folder"),
        (entry("fan/train/evil\n.wav"), "a name that no file may have"),
        (entry("fan/train", LINK), "is a link or a device"),
        (entry("fan/train/evil.wav", LINK), "is a link or a device"),
        (entry("fan/train/evil.wav", FIFO), "is a link or a device"),
        (entry("fan/train/evil.wav", DEVICE), "is a link or a device"),
        (entry("fan/train/evil.wav", SOCKET), "is a link or a device"),
        (next(iter(ENTRIES)).replace("fan/", "fan/./"), "is in it twice"),
    ],
    ids=str,
)
def test_an_unsafe_entry_spoils_the_whole(put, tmp_path, evil, said):
    with pytest.raises(ValueError, match=rf"dev_fan.zip: .*{said}; nothing of it was unpacked: get it anew"):
        put({**ENTRIES, evil: b"/etc"})
    assert everything(tmp_path) == {"dev_fan.zip"}


def test_bombs_and_what_is_encrypted(put, tmp_path):
    bomb = zipped(ENTRIES | {"fan/train/zeros.wav": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"kB that would unpack to 10.1 MB"):
        put(bomb)
    whole = bytearray(zipped(ENTRIES))
    whole[whole.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(ValueError, match="is encrypted"):
        put(bytes(whole))
    assert everything(tmp_path) == {"dev_fan.zip"}


def test_an_entry_that_lies_about_its_size(put, tmp_path):
    whole = bytearray(zipped(ENTRIES))
    at = whole.index(b"PK\1\2") + 24
    whole[at : at + 4] = (100).to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"cannot be read \(.*; get it anew"):
        put(bytes(whole))
    assert not content(tmp_path / "raw")


@pytest.mark.parametrize("harm", ["truncated", "empty", "text", "a flipped bit", "of another machine", "without clips"])
def test_what_is_no_whole_zip_of_the_machine(put, tmp_path, harm):
    whole = zipped(ENTRIES, zipfile.ZIP_DEFLATED)
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    harmed = {
        "truncated": whole[:middle], "empty": b"", "text": b"<html>", "a flipped bit": flipped,
        "of another machine": clips("pump", train=1), "without clips": {"fan/attributes_00.csv": b"x"},
    }  # fmt: skip
    said = "no clips in fan/train or fan/test" if harm in ("of another machine", "without clips") else "cannot be read"
    with pytest.raises(ValueError, match=rf"dev_fan.zip: {said}.*get it anew"):
        put(harmed[harm])
    assert not content(tmp_path / "raw") if (tmp_path / "raw").exists() else True
    put(whole)
    assert len(content(tmp_path / "raw" / "fan")) == len(ENTRIES)


def test_two_zips_of_a_machine_are_one_folder(put, tmp_path):
    train = {name: data for name, data in ENTRIES.items() if "/test/" not in name}
    test = {name: data for name, data in ENTRIES.items() if "/test/" in name}
    put(train)
    done = put(test | {"fan/attributes_00.csv": b"of the test clips"})
    assert done.left == ["attributes_00.csv"] and done.clips == 2
    assert {f"fan/{name}": data for name, data in content(tmp_path / "raw" / "fan").items()} == ENTRIES
    assert put(ENTRIES).left == [] and os.listdir(tmp_path / "raw") == ["fan"]


def test_a_clip_of_the_users_is_not_overwritten(put, tmp_path):
    mine = tmp_path / "raw" / "fan" / sorted(ENTRIES)[1][4:]
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(
        ValueError, match=rf"fan: 1 of 6 files are others than in dev_fan.zip, first test/{mine.name}; no"
    ):
        put(ENTRIES)
    assert content(tmp_path / "raw") == {f"fan/test/{mine.name}": b"mine"}


def test_a_call_that_was_killed_leaves_nothing_in_the_way(put, tmp_path):
    (tmp_path / "raw" / ".dev_fan.zip" / "train").mkdir(parents=True)
    (tmp_path / "raw" / ".dev_fan.zip" / "train" / "half.wav").write_bytes(b"x")
    put(ENTRIES)
    assert len(content(tmp_path / "raw")) == len(ENTRIES)


def test_a_disk_that_is_full(put, tmp_path, monkeypatch):
    archive = tmp_path / "dev_fan.zip"
    archive.write_bytes(zipped(ENTRIES))
    with at_most(10_000), pytest.raises(OSError, match="File too large"):
        unpack(archive, "fan", tmp_path / "raw" / "fan")
    assert not content(tmp_path / "raw")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 80_000))
    with pytest.raises(OSError, match=r"80.0 kB free, 80.6 kB needed to unpack dev_fan.zip; free space there, or"):
        put(ENTRIES)
    assert not content(tmp_path / "raw")
