"""Where the seconds of a run went: sums over its steps, what this call ran, and what has no clock."""

import json

import pytest
from makers import write_bytes

from lib.clock import Seconds
from lib.results import clock_table
from lib.results.clock_table import Call, ClockTable

OE, FIT, TABLES = "03_oe_training", "05_inlier_fitting", "06_ensemble_and_tables"


@pytest.fixture
def clocked(run):
    """Two trainings and the tables, the latter of a later call; a fitting whose clock is damaged, another without."""
    which = ("OE", "all", "seed0")
    for machine, seconds in (("fan", 20), ("a, b", 30)):
        kinds = {"training": [seconds, 2 * seconds], "start-up": [4, 3]}
        write_bytes(run.clock(OE, machine, which), json.dumps({"call": "1", "kinds": kinds}))
    write_bytes(run.clock(TABLES), json.dumps({"call": "2", "kinds": {"scoring": [5, 5.06]}}))
    write_bytes(run.clock("report"), json.dumps({"call": "2", "kinds": {}}))
    write_bytes(run.clock(FIT, "fan", which), "{")
    write_bytes(run.clock(FIT, "pump", which), json.dumps({"call": "2", "kinds": {}}))
    for place in (run.notebook(OE, "fan", which), run.notebook(FIT, "fan", which), run.notebook(FIT, "pump", which)):
        write_bytes(place, "{}")
    return run


def test_seconds_are_summed_by_kind_by_notebook_and_by_step(clocked):
    table = ClockTable.of(clocked)
    assert (table.steps, table.without) == (3, 2)
    kinds = table.by_kind().fillna(-1).T.to_dict("list")
    assert kinds == {"start-up": [8, 6, 6, -1], "training": [50, 100, 100, -1], "scoring": [5, 5.06, -1, 5.06]}
    assert list(table.by_kind()) == ["wall", "cpu", "03", "06"]
    notebooks = table.by("notebook")
    assert list(notebooks.index) == [OE, TABLES] and list(notebooks) == ["steps", "wall", "cpu", "mostly"]
    assert notebooks.loc[OE].tolist() == [2, 58, 106, "training 94 %, start-up 6 %"]
    assert list(table.by("step").index) == [f"a, b/{OE}-OE-all-seed0", f"fan/{OE}-OE-all-seed0", TABLES]


def test_a_call_counts_the_steps_that_it_ran_and_its_own_time(clocked):
    call = Call("2", 2, Seconds(20, 25.06), {"bank": Seconds(3, 10)})
    text = "\n".join(clock_table.printed(ClockTable.of(clocked), call))
    lines = {line.split("  ")[0].strip(): line.split() for line in text.splitlines()}
    assert "1 steps, 20 s on 2 cores: 25 s computed, 15 s waited" in text and OE not in text
    assert "2 steps ran in earlier calls and do not count" in text and "2 executed notebooks have no clock" in text
    assert lines["bank"][1:] == ["3.0", "10", "40", "%"] and lines["scoring"][1:] == ["5.0", "5.1", "20", "%", "5.1"]
    assert lines["outside the steps"][3:] == ["10", "40", "%"] and lines["waiting"][1:] == ["15"]
    each = [line.split() for line in text.splitlines() if line.startswith(TABLES)]
    assert each == [[TABLES, "1", "5.0", "5.1", "scoring", "100", "%"], [TABLES, "5.0", "5.1", "scoring", "100", "%"]]


def test_a_call_that_ran_nothing_and_one_on_too_few_cores_say_so(clocked):
    text = "\n".join(clock_table.printed(ClockTable.of(clocked), Call("9", 1, Seconds(2, 3), {})))
    assert "0 steps, 2.0 s on 1 cores: 3.0 s computed, 0.0 s waited" in text and "mostly" not in text


def test_the_longest_steps_are_shown_by_themselves(run):
    for i in range(12):
        write_bytes(run.clock(OE, f"m{i:02d}"), json.dumps({"call": "", "kinds": {"other": [i, 1]}}))
    found = clock_table.of_steps(ClockTable.of(run))
    longest = found["the 10 longest steps"]
    assert longest["step"].tolist() == [f"m{i:02d}/{OE}" for i in range(11, 1, -1)]
    assert longest["wall [s]"].tolist()[:3] == ["11", "10", "9.0"]


def test_every_step_of_a_run_has_a_clock_and_every_kind_of_work_its_time(smoke):
    """The run that all tests of a graph share."""
    folder, _ = smoke
    from lib.paths import Run

    table, run = ClockTable.of(Run(folder)), Run(folder)
    assert table.without == 0 and table.steps == len(run.executed()) + 1, "and the report"
    assert set(table.by_kind().index) == set(clock_table.KINDS)
    known = {step.rpartition("/")[2][:2]: set(rows["kind"]) for step, rows in table.rows.groupby("step")}
    for notebook, kinds in {
        "01": {"bank", "figures"}, "02": {"training", "embedding", "fitting", "scoring"}, "03": {"training", "embedding"},
        "04": {"training", "embedding", "scoring"}, "05": {"fitting", "scoring"}, "06": {"bank", "scoring", "figures"},
        "08": {"embedding", "fitting"}, "09": {"training", "embedding"},
    }.items():  # fmt: skip
        assert notebook not in known or known[notebook] >= kinds | {
            "start-up",
            "imports",
            "figures",
            "writing",
            "other",
        }
    walls = table.rows.groupby("step")["wall"].sum()
    assert (walls > 0.1).all() and (table.rows["cpu"] >= 0).all() and table.rows["call"].nunique() == 1
