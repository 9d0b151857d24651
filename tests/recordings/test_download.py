"""The real data by one call: whole or said to be missing, and never asked for twice."""

import hashlib
import json
import shutil
from collections import namedtuple
from functools import partial

import pytest
from zenodo_server import HASTE, clips, zipped

from lib.recordings import download as module
from lib.recordings.dcase import Dataset, attribute_table
from lib.recordings.download import download
from lib.recordings.zenodo import SERVER, archives, file_url, listing_url

DEVELOPMENT = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")
EVALUATION = ("ToyDrone", "ToyNscale", "ToyTank", "Vacuum", "bandsaw", "grinder", "shaker")
DEV, TRAIN, TEST = 7882613, 7830345, 7860847
MACHINES = ("fan", "ToyTank")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "the data"


@pytest.fixture
def get(zenodo, root):
    """`download` of both machines from the server."""
    return partial(download, root, MACHINES, server=zenodo.address, patience=HASTE)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_comes_is_read_as_machines_with_clips(get, root, capsys):
    assert get() == {}
    dataset = Dataset(root)
    assert dataset.targets() == ["fan", "ToyTank"] and dataset.problems.empty
    assert [len(dataset.of(m, s)) for m in MACHINES for s in ("train", "test")] == [12, 4, 4, 3]
    assert set(attribute_table(dataset.of("fan", "train"))["spd"]) == {"0V", "1V", "2V"}
    assert set(dataset.of("fan", "test")["label"]) == {"normal", "anomaly"}
    printed = capsys.readouterr().out
    assert "3 archives, " in printed and "CC BY-NC-SA 4.0: for non-commercial use" in printed
    assert "[3/3] eval_data_ToyTank_test.zip: 3 clips in " in printed
    left = {path.name for path in (root / ".download").iterdir()}
    assert not [name for name in left if name.endswith((".zip", ".part")) or name.startswith("tmp")]


def test_a_second_call_asks_for_nothing(get, root, zenodo, capsys):
    get()
    zenodo.asked.clear()
    assert get() == {} and zenodo.asked == []
    assert "nothing to download: what 3 archives hold is there" in capsys.readouterr().out
    facts = json.loads((root / ".download" / "dev_fan.zip.json").read_text())
    assert facts["md5"] == hashlib.md5(zenodo.files[DEV]["dev_fan.zip"]).hexdigest() and len(facts["files"]) == 17


@pytest.mark.parametrize("harm", ["a clip is gone", "a clip is empty", "the record is cut"])
def test_what_is_no_longer_there_is_fetched_again_and_that_alone(get, root, zenodo, harm):
    get()
    clip = sorted((root / "dev_data" / "raw" / "fan" / "train").iterdir())[0]
    whole, record = clip.read_bytes(), root / ".download" / "dev_fan.zip.json"
    if harm == "the record is cut":
        record.write_text(record.read_text()[:50])
    else:
        clip.unlink()
        if harm == "a clip is empty":
            clip.touch()
    zenodo.asked.clear()
    missing = get()
    assert [name for name, *_ in zenodo.asked] == ["listing", "dev_fan.zip"]
    if harm == "a clip is empty":
        assert "1 of 17 files are others than" in missing["dev_fan.zip"] and clip.name in missing["dev_fan.zip"]
        clip.unlink()
        zenodo.asked.clear()
        assert get() == {} and zenodo.ranges("dev_fan.zip") == [], "the zip was kept"
    assert clip.read_bytes() == whole


def test_what_one_archive_lacks_stops_no_other(get, root, zenodo, capsys):
    del zenodo.files[TRAIN]["eval_data_ToyTank_train.zip"]
    zenodo.faults["dev_fan.zip"] = [404]
    missing = get()
    assert set(missing) == {"dev_fan.zip", "eval_data_ToyTank_train.zip"}
    assert f"not listed in {zenodo.address}/api/records/{TRAIN}" in missing["eval_data_ToyTank_train.zip"]
    assert "404 Not Found" in missing["dev_fan.zip"] and len(zenodo.ranges("dev_fan.zip")) == 1, "asked once"
    assert all(line.count("dev_fan.zip: ") < 2 for line in capsys.readouterr().out.splitlines())
    assert len(names(root / "eval_data" / "raw" / "ToyTank" / "test")) == 3
    assert get() == {"eval_data_ToyTank_train.zip": missing["eval_data_ToyTank_train.zip"]}


HUGE = b'{"files": [{"key": "a.zip", "size": Infinity, "checksum": "md5:0"}]}'


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b'{"files": [{"key": "a.zip", "size": 3}]}', b'{"files": 3}', HUGE]
)
def test_a_listing_that_is_none(get, zenodo, capsys, answer):
    zenodo._listing = lambda record: answer
    missing = get()
    assert len(missing) == 3 and "no list of files with size and md5" in missing["dev_fan.zip"]
    assert capsys.readouterr().out.count("no list of files") == 3
    assert [name for name, *_ in zenodo.asked] == ["listing"] * 3


def test_what_a_stopped_call_left_is_not_counted_again(get, root, zenodo, capsys):
    zenodo.faults["dev_fan.zip"] = ["cut", 503, 503, 503]
    assert list(get()) == ["dev_fan.zip"]
    part, whole = root / ".download" / "dev_fan.zip.part", len(zenodo.files[DEV]["dev_fan.zip"])
    capsys.readouterr()
    rest = whole - part.stat().st_size
    assert get() == {} and f"1 archives, {rest / 1000:.0f} kB to download" in capsys.readouterr().out
    assert json.loads((root / ".download" / f"{DEV}.json").read_text())["id"] == DEV, "kept for zips at hand"


def test_wrong_bytes_are_thrown_away(get, root, zenodo):
    zenodo.faults["dev_fan.zip"] = ["wrong"]
    why = get()["dev_fan.zip"]
    assert "MD5 hash" in why and "thrown away: run again" in why and "\n" not in why
    assert not (root / "dev_data").exists() and not list((root / ".download").glob("dev_fan.zip*"))
    assert get() == {}


Usage = namedtuple("Usage", "total used free")


def test_a_disk_too_small_is_refused_before_anything_comes(get, root, zenodo, monkeypatch):
    size = sum(
        len(content) for files in zenodo.files.values() for name, content in files.items() if "readme" not in name
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1.5 * size))
    with pytest.raises(OSError, match=r"kB free, \d+ kB needed to download \d+ kB.* unpack.* choose another folder"):
        get()
    assert {name for name, *_ in zenodo.asked} == {"listing"}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 3 * size))
    assert get() == {}


def test_a_disk_that_fills_up_keeps_the_zip(get, root, zenodo, monkeypatch):
    room = iter([1e9, 1e9, 0, 1e9, 1e9])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, next(room)))
    missing = get()
    assert list(missing) == ["eval_data_ToyTank_train.zip"] and "0 B free" in missing["eval_data_ToyTank_train.zip"]
    zenodo.asked.clear()
    monkeypatch.undo()
    assert get() == {} and zenodo.ranges("eval_data_ToyTank_train.zip") == []


def test_the_archives_are_those_of_the_challenge():
    known = {archive.name: archive for archive in archives()}
    assert sorted(known) == sorted(
        [f"dev_{machine}.zip" for machine in DEVELOPMENT]
        + [f"eval_data_{machine}_{split}.zip" for machine in EVALUATION for split in ("train", "test")]
    )
    assert [archive.record for archive in archives(["fan", "Vacuum"])] == [DEV, TRAIN, TEST]
    assert file_url(SERVER, known["dev_fan.zip"]) == "https://zenodo.org/records/7882613/files/dev_fan.zip?download=1"
    assert listing_url(SERVER + "/", DEV) == "https://zenodo.org/api/records/7882613"


def test_names_that_are_not_known(root):
    for given, said in (
        ({"machines": ["toycar"]}, "MACHINES: unknown machine 'toycar'; did you mean ToyCar? known: bearing, fan"),
        ({"machines": ["drill"]}, "unknown machine 'drill'; known: bearing"),
        ({"sets": ["test"]}, "SETS: unknown set 'test'; known: dev, eval"),
        ({"machines": ["fan", "ToyTank"], "sets": ["dev"]}, "ToyTank is no machine of SETS=dev"),
    ):
        with pytest.raises(ValueError, match=said.replace("?", r"\?")):
            download(root, **given)
    assert not root.exists()


def test_a_root_that_is_none(root, get):
    root.write_text("x")
    with pytest.raises(ValueError, match="a file; name a folder"):
        get()
    root.unlink()
    root.mkdir()
    (root / "synthetic.json").touch()
    with pytest.raises(ValueError, match="holds the demo data"):
        get()
    (root / "synthetic.json").unlink()
    (root / ".download").touch()
    with pytest.raises(OSError, match=r"cannot write .*File exists; choose another folder"):
        get()


def test_one_call_at_a_time(root, get):
    (root / ".download").mkdir(parents=True)
    (root / ".download" / "tmp1234").touch()  # of a call that was killed
    with module._locked(module.paths.Downloads(root)), pytest.raises(ValueError, match="another download works there"):
        get()
    assert get() == {} and not (root / ".download" / "tmp1234").exists()


@pytest.fixture
def zips(tmp_path, zenodo):
    """A folder of the archives, as a browser leaves them."""
    folder = tmp_path / "from a browser"
    folder.mkdir()
    for files in zenodo.files.values():
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("listing", ["kept", "of the server", "none"])
def test_zips_at_hand(zips, root, zenodo, capsys, listing):
    before = {path: path.read_bytes() for path in zips.iterdir()}
    if listing == "kept":
        zenodo.files[DEV]["dev_fan.zip"] += b"x"
        for record in zenodo.files:
            kept = module.paths.Downloads(root).listing(record)
            module.paths.write_text(kept, zenodo._listing(record).decode())
    elif listing == "none":
        zenodo.faults["listing"] = [503] * 9
    missing = download(root, server=zenodo.address, zips=zips)
    printed = capsys.readouterr().out
    if listing == "kept":
        assert list(missing) == ["dev_fan.zip"] and "is not the file that is listed" in missing["dev_fan.zip"]
        assert not zenodo.asked
    else:
        assert missing == {} and Dataset(root).targets() == ["fan", "ToyTank"]
        assert "no list of files" not in printed and "answers 503" not in printed
        assert printed.count("by its own checksums alone") == (3 if listing == "none" else 0)
    assert not [name for name, *_ in zenodo.asked if name != "listing"]
    assert {path: path.read_bytes() for path in zips.iterdir()} == before, "the user's"


def test_zips_that_are_not_there_or_broken(zips, root, zenodo, tmp_path):
    zenodo.faults["listing"] = [503] * 9
    whole = (zips / "dev_fan.zip").read_bytes()
    middle = len(whole) // 2
    (zips / "dev_fan.zip").write_bytes(whole[:middle] + bytes(99) + whole[middle + 99 :])
    (zips / "eval_data_ToyTank_test.zip").write_bytes(whole[:middle])
    (zips / "eval_data_ToyTank_train.zip").unlink()
    missing = download(root, MACHINES, server=zenodo.address, zips=zips)
    assert "Bad CRC-32" in missing["dev_fan.zip"] and "not a zip file" in missing["eval_data_ToyTank_test.zip"]
    assert f"not in {zips}; get it from {zenodo.address}/records/{TRAIN}/" in missing["eval_data_ToyTank_train.zip"]
    assert not list(root.rglob("*.wav")) and not list(root.rglob(".*.zip"))
    with pytest.raises(ValueError, match="no such folder"):
        download(root, zips=tmp_path / "none")
    with pytest.raises(ValueError, match=r"none of the archives is there; they are called dev_bearing\.zip"):
        download(root, zips=tmp_path)


def test_attribute_files_of_two_archives_of_a_machine(get, root, zenodo, capsys):
    other = clips("ToyTank", train=0, test=3, labelled=False) | {"ToyTank/attributes_00.csv": b"file_name\n"}
    zenodo.files[TEST]["eval_data_ToyTank_test.zip"] = zipped(other)
    assert get() == {}
    assert "attributes_00.csv stays as it is; eval_data_ToyTank_test.zip has another" in capsys.readouterr().out
    assert set(attribute_table(Dataset(root).of("ToyTank", "train"))["spd"]) == {"0V", "1V", "2V"}
