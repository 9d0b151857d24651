"""What was scored is in the file, whatever ended the program."""

import csv
import os

import pytest

from lib.listening.journal import COLUMNS, Journal, State


def lines(path):
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


@pytest.fixture
def opened(tmp_path):
    def journal(machine="mill", row="Spectrum", threshold=1.5):
        return Journal(tmp_path / "out" / "scores.csv", machine, row, threshold)

    return journal


@pytest.fixture
def clips(tmp_path):
    for name in ("a, b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"x")
    return [State.of(tmp_path / name) for name in ("a, b.wav", "c.wav")]


def test_a_line_a_clip_and_each_is_known(opened, clips, tmp_path):
    journal = opened()
    assert not journal.knows(clips[0])
    journal.add(clips[0], {"score": 1.23456789, "decision": True, "reason": "3 dB more, there"})
    journal.add(clips[1], {"problems": "empty"})
    again = opened()
    for each in (journal, again):
        assert each.knows(clips[0]) and each.scored(clips[0]) and each.knows(clips[1]) and not each.scored(clips[1])
    found = lines(tmp_path / "out" / "scores.csv")[0]
    assert list(found) == list(COLUMNS) and found["score"] == "1.23457" and found["reason"] == "3 dB more, there"
    clips[0].file.write_bytes(b"longer")
    assert not again.knows(State.of(clips[0].file))


def test_another_machine_row_or_threshold_is_scored_anew(opened, clips, tmp_path):
    opened().add(clips[0], {"score": 1.0})
    for other in ({"machine": "fan"}, {"row": "OE"}, {"threshold": 1.6}):
        assert not opened(**other).knows(clips[0])
    opened(row="OE").add(clips[0], {"score": 2.0})
    assert opened().knows(clips[0]) and [row["row"] for row in lines(tmp_path / "out" / "scores.csv")] == [
        "Spectrum",
        "OE",
    ]


def test_half_a_line_of_a_killed_program_goes(opened, clips, tmp_path):
    opened().add(clips[0], {"score": 1.0})
    path = tmp_path / "out" / "scores.csv"
    with path.open("ab") as file:
        file.write(b"b.wav,1,2,0.")
    opened().add(clips[1], {"score": 2.0})
    assert [row["score"] for row in lines(path)] == ["1", "2"] and opened().knows(clips[0])
    path.write_text("file,si")
    opened().add(clips[1], {"score": 2.0})
    assert [row["score"] for row in lines(path)] == ["2"]


@pytest.mark.parametrize("text", ["name,value\nx,1\n", "name,value\nx,1", "name,value", "\n"])
def test_another_table_is_left_alone(opened, tmp_path, text):
    path = tmp_path / "out" / "scores.csv"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ValueError, match="another table, it begins with"):
        opened()
    assert path.read_text() == text


def test_a_name_in_no_encoding(opened, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.wav")
    try:
        with open(path, "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes no such name")
    state = State.of(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    opened().add(state, {"score": 1.0})
    assert opened().knows(state)
