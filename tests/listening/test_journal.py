"""What was scored is in the file, whatever ended the program."""

import csv

import pytest

from lib.listening.journal import COLUMNS, Journal


def lines(path):
    return list(csv.reader(path.open(encoding="utf-8", newline="")))


def test_a_line_a_clip_and_each_is_known(tmp_path):
    clip, other, path = tmp_path / "a, b.wav", tmp_path / "c.wav", tmp_path / "out" / "scores.csv"
    clip.write_bytes(b"x")
    other.write_bytes(b"x")
    journal = Journal(path)
    assert clip not in journal
    journal.add(clip, {"score": 1.23456789, "decision": True, "reason": "3 dB more, there"})
    assert clip in journal and other not in journal
    again = Journal(path)
    assert clip in again and lines(path)[0] == list(COLUMNS)
    assert lines(path)[1][3:8] == ["1.23457", "", "True", "", "3 dB more, there"]
    clip.write_bytes(b"longer")
    assert clip not in again


def test_half_a_line_of_a_killed_program_goes(tmp_path):
    clip, other, path = tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "scores.csv"
    for file in (clip, other):
        file.write_bytes(b"x")
    Journal(path).add(clip, {"score": 1.0})
    with path.open("ab") as file:
        file.write(b"b.wav,1,2,0.")
    journal = Journal(path)
    journal.add(other, {"score": 2.0})
    assert [row[3] for row in lines(path)] == ["score", "1", "2"] and clip in Journal(path)


def test_another_table_is_left_alone(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("name,value\nx,1\n")
    with pytest.raises(ValueError, match="another table, it begins with name,value"):
        Journal(path)
    assert path.read_text() == "name,value\nx,1\n"
