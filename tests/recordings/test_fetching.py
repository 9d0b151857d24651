"""A file over a line that breaks: gone on with, begun anew, or given up with all that came."""

import hashlib
import io
import os

import pooch
import pytest
from tqdm import tqdm
from zenodo_server import HASTE

from lib.recordings import fetching
from lib.recordings.fetching import CHUNK, Patience, fetch_file, fetch_text

NAME, RECORD = "dev_fan.zip", 7882613


@pytest.fixture
def content(zenodo):
    return zenodo.files[RECORD][NAME]


@pytest.fixture
def fetch(zenodo, content, tmp_path):
    url, target = f"{zenodo.address}/records/{RECORD}/files/{NAME}?download=1", tmp_path / NAME

    def call(patience=HASTE):
        md5 = hashlib.md5(content).hexdigest()
        fetch_file(url, target, tmp_path / f"{NAME}.part", len(content), md5, patience)
        assert target.read_bytes() == content and os.listdir(tmp_path) == [NAME]

    return call


def test_a_line_that_breaks_is_taken_up_where_it_ended(fetch, zenodo, content):
    zenodo.faults[NAME] = ["cut", "cut"]
    fetch()
    (none, half), (second, _), (third, last) = zenodo.ranges(NAME)
    begin = half - half % CHUNK
    assert none is None and half == len(content) // 2 and second == f"bytes={begin}-"
    assert int(third[6:-1]) > begin and last == len(content) - int(third[6:-1]), "the rest alone was sent"


def test_a_second_call_goes_on_with_what_the_first_left(fetch, zenodo, content, tmp_path):
    zenodo.faults[NAME] = ["cut", 503, 503, 503]
    with pytest.raises(
        OSError, match=rf"{NAME}.*: the server answers 503 .*; run again later, it goes on where it stop"
    ):
        fetch()
    begin = (tmp_path / f"{NAME}.part").stat().st_size
    assert 0 < begin < len(content) and not (tmp_path / NAME).exists() and len(os.listdir(tmp_path)) == 1
    zenodo.asked.clear()
    fetch()
    assert zenodo.ranges(NAME) == [(f"bytes={begin}-", len(content) - begin)]


@pytest.mark.parametrize("faults", [["cut", "elsewhere"], ["cut", 416], ["cut", 503, 429], [500, 502], ["silent"]])
def test_servers_that_recover(fetch, zenodo, faults):
    """One that goes on elsewhere, one that cannot go on, ones that are busy, one that falls silent."""
    zenodo.faults[NAME] = list(faults)
    fetch()
    assert len(zenodo.asked) == len(faults) + 1


def test_a_server_without_range_begins_anew(fetch, zenodo, content):
    zenodo.takes_ranges, zenodo.faults[NAME] = False, ["cut"]
    fetch()
    assert [sent for _, sent in zenodo.ranges(NAME)] == [len(content) // 2, len(content)]


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_tries_are_counted_anew_when_more_came(fetch, zenodo, takes_ranges):
    """A line that breaks often gets the file at last; one that breaks at the same place each time is given up."""
    zenodo.takes_ranges, zenodo.faults[NAME] = takes_ranges, ["cut", 503, 503, "cut", 503, 503]
    if takes_ranges:
        return fetch()
    with pytest.raises(OSError, match="the connection broke; run again"):
        fetch()
    assert len(zenodo.asked) == 4


def test_a_server_that_falls_silent_is_said_to(fetch, zenodo):
    zenodo.takes_ranges, zenodo.faults[NAME] = False, ["silent", "silent"]
    with pytest.raises(OSError, match=r"nothing came for 0\.2 s; run again later"):
        fetch(Patience(tries=1, wait=0.01, timeout=0.2))


def test_a_busy_server_says_how_long(fetch, zenodo, monkeypatch):
    waited, zenodo.faults[NAME], zenodo.headers = [], [429, 503], {"Retry-After": "7"}
    monkeypatch.setattr(fetching.time, "sleep", waited.append)
    fetch()
    assert waited == [7, 7]
    zenodo.faults[NAME], zenodo.headers = [429, 503], {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}
    fetch_text(f"{zenodo.address}/api/records/{RECORD}", HASTE)


def test_what_is_not_tried_again(zenodo):
    for url, said in (
        (f"{zenodo.address}/records/1/files/a.zip?download=1", "the server answers 404 Not Found; look at the address"),
        ("zenodo.org/api/records/1", "No scheme supplied"),
        ("ftp://127.0.0.1/a", "No connection adapters"),
    ):
        with pytest.raises(OSError, match=f"{url[:8]}.*{said}"):
            fetch_text(url, Patience(tries=9, wait=9))
    assert len(zenodo.asked) == 1


def test_a_server_that_is_not_there(zenodo):
    with pytest.raises(OSError, match=r"^http://127.0.0.1:9/x: the server cannot be reached \(.*refused\); run again"):
        fetch_text("http://127.0.0.1:9/x", HASTE)


def test_more_than_is_listed_is_not_written(fetch, zenodo, content, tmp_path):
    zenodo.faults[NAME] = ["longer"]
    with pytest.raises(ValueError, match=rf"more than the {len(content)} bytes that are listed; it was thrown away"):
        fetch()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("length", ["whole", "longer", "of other bytes"])
def test_a_part_that_lies_there(fetch, zenodo, content, tmp_path, length):
    part = tmp_path / f"{NAME}.part"
    part.write_bytes({"whole": content, "longer": content + b"x", "of other bytes": b"x" * 5}[length])
    if length != "of other bytes":
        fetch()
        assert len(zenodo.asked) == (length == "longer")
        return
    with pytest.raises(ValueError, match="does not match"):
        fetch()
    assert not os.listdir(tmp_path)


def test_ctrl_c_keeps_the_part_even_while_it_is_checked(fetch, zenodo, content, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pooch.core, "hash_matches", interrupt)
        fetch()
    assert os.listdir(tmp_path) == [f"{NAME}.part"]
    fetch()
    assert len(zenodo.asked) == 1


def test_a_disk_without_links(fetch, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fetching.os, "link", refuse)
    fetch()


def test_a_bar_for_a_person_and_lines_without_one(fetch, zenodo, content, tmp_path, monkeypatch, capsys):
    fetch()
    assert capsys.readouterr().out == "", "nothing for a file that takes less than half a minute"
    (tmp_path / NAME).unlink()
    monkeypatch.setattr(fetching, "TOLD", -1.0)
    fetch()
    assert f"  {NAME}: 131 kB of 261 kB\n" in capsys.readouterr().out
    (tmp_path / NAME).unlink()
    bars = []

    def bar(*given, **options):
        bars.append(tqdm(*given, file=io.StringIO(), **options))
        return bars[0]

    monkeypatch.setattr(fetching, "progress", bar)
    zenodo.faults[NAME] = ["cut"]
    fetch()
    assert bars[0].n == bars[0].total == len(content)
