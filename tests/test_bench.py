"""The bench: works that take turns, what it keeps, what it prints, the page that is made of it."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workflow import bench, mutate
from workflow.bench import __main__ as command
from workflow.bench import clocks, detectors, history, listening, nights, page, recordings, scale
from workflow.bench.entry import Entry
from workflow.bench.table import GREEN, RED, cells, since, table

ENTRY = Entry("OE training", '64 × 157, "fp32", é', 19.0, "clips/s", 20.0, "the bare, step", goal=0.95)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of its own for all that the bench writes."""
    monkeypatch.setattr(history, "FOLDER", tmp_path / "bench")
    monkeypatch.setattr(history, "PROJECT", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "performance.md")
    return tmp_path / "bench"


def once(works, *_, before=lambda: None, **__):
    """`in_turn` for tests: every work is done, none is measured."""
    for work in works.values():
        work()
    return dict(zip(works, itertools.count(1), strict=False))


def test_works_take_turns_and_the_least_counts(monkeypatch):
    done, clock = [], iter(np.cumsum([0, 9, 0, 9, 0, 3, 0, 4, 0, 2, 0, 5, 0, 7, 0, 6]))
    monkeypatch.setattr(clocks, "now", lambda _: next(clock))
    works = {name: lambda name=name: done.append(name) for name in "ab"}
    took = clocks.in_turn(works, seconds=0, before=lambda: done.append("-"))
    assert took == {"a": 2, "b": 4} and "".join(done) == 4 * "-a-b"


def test_turns_go_on_as_long_as_there_is_time(monkeypatch):
    done = []
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: len(done))
    clocks.in_turn({"a": lambda: done.append(1)}, seconds=7)
    assert len(done) == 8  # the first of them warms up


def test_what_is_kept_is_what_was_found(kept):
    path = kept / "a-2-cores.csv"
    other = Entry("decode", "wav", 0.000123456, "clips/s")
    history.append(path, [ENTRY, other], "2026-01-02", "abc")
    history.append(path, [replace(ENTRY, rate=38.0)], "2026-01-03", "def")
    rows = history.read(path)
    assert [page.entry_of(row) for row in rows.to_dict("records")][:2] == [ENTRY, replace(other, rate=0.00012346)]
    assert rows["commit"].tolist() == ["abc", "abc", "def"]
    last = history.newest(rows)
    assert last[["stage", "rate"]].values.tolist() == [["OE training", 38.0], ["decode", 0.00012346]]
    assert history.change(ENTRY, rows) == pytest.approx(-0.5)
    assert history.change(replace(ENTRY, size="other"), rows) is None
    assert history.change(replace(ENTRY, unit="vectors/s"), rows) is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace(b"19", b"many"), "many"),
        (lambda text: text.replace(b"19,", b"-1,"), "row 2: a rate that is not above 0"),
        (lambda text: text.replace(b"19,", b",", 1), "row 2: a rate that is not above 0"),
        (lambda text: text.replace(b"stage,", b""), "its columns are"),
        (lambda text: text.replace("é".encode(), b"\xe9"), "utf-8"),
        (lambda text: b"", "No columns"),
        (lambda text: text + b'2026,abc,"OE', "EOF"),
    ],
)
def test_a_damaged_file_is_named_with_its_mend(kept, damage, said):
    path = kept / "a-2-cores.csv"
    history.append(path, [ENTRY], "2026-01-02", "abc")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"a-2-cores.csv: cannot be read.*{said}.*restore it by git checkout"):
        history.read(path)


def test_what_became_slower_is_said_in_red_and_in_words(kept):
    path = kept / "a-2-cores.csv"
    history.append(path, [replace(ENTRY, rate=22.0)], "2026-01-02", "abc")
    rows = history.read(path)
    assert [since(replace(ENTRY, rate=rate), rows) for rate in (22, 18.8, 18.6, 44)] == [
        "+0 %", "-15 %", "-15 % SLOWER", "+100 %",
    ]  # fmt: skip
    assert since(replace(ENTRY, size="other"), rows) == "new"
    assert cells(ENTRY)[4:6] == ["0.95", "≥ 0.95 met"]
    assert cells(replace(ENTRY, rate=18.6))[4:6] == ["0.93", "≥ 0.95 missed"]
    plain, coloured = (table([ENTRY, replace(ENTRY, rate=18.6)], rows, colours) for colours in (False, True))
    assert "\033" not in plain and "SLOWER" in plain.splitlines()[2]
    assert GREEN in coloured.splitlines()[1] and coloured.splitlines()[2].count(RED) == 2


def test_modules_that_are_not_there_have_no_stages(monkeypatch):
    assert list(bench.stages(("notebooks", "not_there"))) == ["start"]


def test_the_command_measures_prints_keeps(kept, monkeypatch, capsys):
    monkeypatch.setattr(bench, "stages", lambda *_: {"a": lambda: iter([ENTRY]), "b": lambda: iter([])})
    assert command.main(["c"]) == 2 and "unknown stage 'c'; known: a, b" in capsys.readouterr().err
    assert command.main(["a", "--no-keep"]) == 0 and not kept.exists()
    assert command.main(["a"]) == 0 and command.main([]) == 0
    (file,) = history.files().values()
    assert len(history.read(file)) == 2 and "+0 %" in capsys.readouterr().out
    assert "| OE training |" in page.PAGE.read_text(encoding="utf-8") and file.with_suffix(".png").stat().st_size > 5000
    file.write_text("nonsense")
    assert command.main(["a"]) == 2 and "restore it" in capsys.readouterr().err


def test_the_page_of_performance_is_what_was_measured():
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "make it anew: .venv/bin/python -m workflow.bench.page"
    figures = [path.with_suffix(".png") for path in history.files().values()]
    assert figures and all(figure.exists() for figure in figures)


def measured(oe, joint, plain, size="224 × 313, fp32"):
    stages = (("OE training", "every batch mixed", oe), ("joint training", "every batch mixed", joint),
              ("joint training", "none mixed", plain))  # fmt: skip
    rows = [(stage, f"{size}, {words}", rate) for stage, words, rate in stages if rate]
    return pd.DataFrame(rows, columns=["stage", "size", "rate"]).reindex(columns=history.COLUMNS)


def test_hours_are_all_clips_over_their_rates():
    rows = measured(100.0, 50.0, 25.0)
    count, total = nights.hours(rows, "paper", serial=False)
    clips = 14 * 128  # 848 training clips, 64 a step
    assert count == 49 and total * 3600 == pytest.approx(
        7 * 150 * clips / 100 + 42 * 250 * clips * (0.75 / 50 + 0.25 / 25)
    )
    assert nights.hours(rows, "paper", serial=True)[0] == 56
    assert nights.hours(rows, "quick", serial=False) is None
    assert nights.hours(measured(100.0, 50.0, None), "paper", serial=False) is None


def test_cores_work_side_by_side_and_a_card_that_is_not_there_is_owed():
    rows = measured(100.0, 50.0, 25.0)
    alone = list(nights.lines({"x-1-core": rows}))
    assert any("owed" in line for line in alone)
    took = [float(next(nights.lines({name: rows})).split("|")[4]) for name in ("x-1-core", "x-4-cores")]
    assert took[0] == pytest.approx(4 * took[1], rel=0.02)
    card = list(nights.lines({"nvidia-h100": rows}))
    assert [line.split(" | ")[0] for line in card[:3:2]] == ["| one nvidia-h100", "| ten nodes of one nvidia-h100"]
    assert not any("owed" in line for line in card)


def test_small_stages_give_entries(monkeypatch):
    monkeypatch.setattr(recordings, "in_turn", once)
    monkeypatch.setattr(recordings.librosa, "load", lambda *_, **__: None)
    monkeypatch.setattr(detectors, "in_turn", once)
    found = [*recordings.decode(2), *detectors.knn(60, 10)]
    assert [entry.stage for entry in found] == ["decode", "decode", "KNN, scoring"]
    assert all(entry.rate > entry.floor > entry.peer > 0 for entry in found[:2])


@pytest.mark.long
def test_scale_and_listening_are_measured_at_a_small_size():
    """What a machine's tables, a network, a listener take; that they are wanted so is not tested, see docs."""
    found = [*scale.planning((2,)), *scale.tables((2,)), *scale.clips((20,)), *scale.outputs()]
    found += listening.listening(repeats=3, many=8)
    assert len(found) == 25 and all(entry.rate > 0 and entry.stage and entry.unit for entry in found)
    listings = next(entry for entry in found if entry.stage == "planning, listings of a folder")
    assert listings.rate == 1
    assert all(entry.rate >= entry.floor for entry in found if entry.stage in ("trained network", "stream and batch"))


@pytest.mark.long
def test_every_stage_gives_entries(monkeypatch):
    """At full size, each work once."""
    stages = bench.stages(bench.MODULES)
    for module in {sys.modules[stage.__module__] for stage in stages.values()}:
        monkeypatch.setattr(module, "in_turn", once)
    for name, stage in stages.items():
        found = list(stage())
        assert found and all(entry.rate > 0 and entry.stage and entry.unit for entry in found), name


def test_mutation_finds_the_tests_of_the_package(monkeypatch):
    assert mutate.test_files(mutate.Path("workflow/bench/history.py"), []) == ["tests/test_bench.py"]
    assert mutate.test_files(mutate.Path("lib/network/flow.py"), [])[0] == "tests/network/test_flow.py"
