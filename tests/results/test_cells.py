"""The marks behind the cells of Tables 2–4."""

import numpy as np
import pandas as pd
import pytest
from makers import LACKING, made
from scored import evaluated, rows_of

from lib.detection import ensembles
from lib.detection.collected import LEFT_OUT
from lib.results import tables
from lib.results.cells import Marks
from lib.systems import SYSTEMS


def test_a_machine_without_a_system_averages_the_others_and_is_marked():
    scores = made(systems=tuple(SYSTEMS), lacking={"fan": LACKING})
    rows = rows_of(scores)
    fan = rows[(rows["machine"] == "fan") & (rows["protocol"] == "all")].pivot(
        index="clip", columns="system", values="score"
    )
    assert set(fan) == {"OE", "OE-Flow", "Submitted 1", "Submitted 3", "Submitted 4"}  # Submitted 2 has none of its own
    mean = (fan["OE"] + fan["OE-Flow"]) / 2
    assert np.corrcoef(mean, fan["Submitted 4"])[0, 1] == pytest.approx(1)
    evaluation = ensembles.evaluate(rows)
    marks = Marks.of(evaluation, 4, "all", "paper")
    assert marks.lacking["Submitted 4", "fan"] == ["OE-DFlow", "SerialOE-DFlow"]
    assert marks.lacking["Submitted 3", "fan"] == ["OE-DFlow"] and marks.fewer["Serial-OE"] == ["fan"]
    assert ("Submitted 4", "ToyCar") not in marks.lacking and "Submitted 4" not in marks.fewer and not marks.single
    table = tables.layout(evaluation, 4, "all", "paper", False).droplevel("whose")
    assert table.loc["Submitted 2", "fan"] == table.loc["OE-DFlow", "fan"] == "–"
    assert "†" in table.loc["Submitted 1", "fan"] and "‡" in table.loc["Submitted 2", "overall"]
    assert "†" not in table.loc["OE", "fan"] + table.loc["Submitted 1", "ToyCar"] + table.loc["Submitted 1", "overall"]
    words = tables.caption(evaluation, 4, "all", "paper")
    assert "fan has no OE-DFlow, SerialOE-Flow, SerialOE-DFlow" in words
    assert "without fan: Serial-OE, OE-DFlow, SerialOE-Flow, SerialOE-DFlow, Submitted 2" in words
    whole = evaluated(systems=tuple(SYSTEMS))
    assert tables.caption(whole, 4, "all", "paper") == f"{tables.CAPTIONS[4]} Detectors: all; paper rule."
    assert Marks.of(whole, 4, "all", "paper").words() == ""


def left(*entries):
    return pd.DataFrame(entries, columns=LEFT_OUT)


def test_a_row_that_lacks_a_file_is_marked_and_so_are_its_ensembles():
    """Car of OE-DFlow has failed on fan: its row is of the other parameters, and Submitted 2 of that row."""
    evaluation = evaluated(systems=tuple(SYSTEMS))
    gone = left(
        (
            "fan",
            "OE-DFlow",
            "car",
            0,
            "fan/OE-DFlow/car/seed0/detector_scores.parquet",
            "failed",
            "04: out of memory\nmore",
        )
    )
    table = tables.layout(evaluation, 4, "all", "paper", False, gone).droplevel("whose")
    marked = {
        (row, m) for row in table.index for m in ("fan", "ToyCar", "overall") if set("†‡§") & set(table.loc[row, m])
    }
    assert marked == {(row, "fan") for row in ("OE-DFlow", "Submitted 1", "Submitted 2", "Submitted 3", "Submitted 4")}
    words = tables.caption(evaluation, 4, "all", "paper", gone)
    assert "† a mean of what the machine has: fan has no OE-DFlow car seed 0." in words
    assert "Not in the table (left_out.csv): failed: fan OE-DFlow car seed 0 (04: out of memory)." in words


def test_the_detectors_and_the_flow_of_a_row_are_told_apart():
    evaluation = evaluated(systems=("OE", "OE-Flow"))
    where = "fan/OE-Flow/all/seed0/{}_scores.parquet"
    for name, part in (("flow", "flow"), ("detector", "GMM and KNN")):
        gone = left(("fan", "OE-Flow", "all", 0, where.format(name), "refused", "made by other code"))
        assert f"fan has no OE-Flow {part} seed 0" in tables.caption(evaluation, 4, "all", "paper", gone)


def test_a_cell_without_a_value_is_marked_with_its_reason():
    evaluation = evaluated(systems=("OE", "OE-Flow", "Baseline (MSE)"), lacking={"fan": ("OE-Flow", "Baseline (MSE)")})
    gone = left(
        (
            "fan",
            "OE-Flow",
            "all",
            0,
            "fan/OE-Flow/all/seed0/detector_scores.parquet",
            "refused",
            "made with training.epochs 2, now 3",
        ),
        ("fan", "Baseline", "all", 0, "fan/Baseline/all/seed0/scores.parquet", "missing", "not there yet"),
        ("drill", "", "", "", "", "left out", "no test clips"),
    )
    table = tables.layout(evaluation, 4, "all", "paper", False, gone).droplevel("whose")
    assert (
        table.loc["OE-Flow", "fan"] == table.loc["Baseline (MSE)", "fan"] == "–†" and "†" not in table.loc["OE", "fan"]
    )
    assert table.loc["OE-Flow", "overall"].endswith("‡")
    words = tables.caption(evaluation, 4, "all", "paper", gone)
    assert (
        "fan has no Baseline (MSE), OE-Flow, OE-DFlow," in words
        and "‡ over fewer machines, without fan: Baseline (MSE), OE-Flow." in words
    )
    assert "refused: fan OE-Flow GMM and KNN seed 0 (made with training.epochs 2, now 3)" in words
    assert "left out: drill (no test clips)" in words and words.endswith("missing: 1 score files (fan).")


def test_many_reasons_are_counted():
    gone = left(
        *(
            (f"m{i}", "OE", "all", 0, f"m{i}/OE/all/seed0/detector_scores.parquet", "refused", why)
            for i in range(6)
            for why in ("stale", f"odd {i}")
        )
    )
    words = tables.caption(evaluated(), 4, "all", "paper", gone)
    assert "refused: m0 OE seed 0, m1 OE seed 0, m2 OE seed 0, m3 OE seed 0 and 2 more (stale)" in words
    assert "refused: m2 OE seed 0 (odd 2); 3 more reasons." in words


def one_domain(evaluated_domain):
    """A run whose fan has one domain and whose ToyCar has both."""
    scores = made(systems=("OE", "OE-Flow", "OE-DFlow"))
    kept = (scores["machine"] != "fan") | (scores["domain"] == "source")
    scores["domain"] = scores["domain"].mask(scores["machine"] == "fan", evaluated_domain)
    return ensembles.evaluate(rows_of(scores[kept]), resamples=10)


@pytest.mark.parametrize("domain, taken_as", [("source", "source"), ("target", "target"), ("", "source")])
def test_a_machine_of_one_domain_is_marked_in_every_table(domain, taken_as):
    evaluation = one_domain(domain)
    for number in (2, 3, 4):
        table = tables.layout(evaluation, number, "all", "paper", False).droplevel("whose")
        has = number == 4 or (number == 2) == (taken_as == "source")
        for row in table.index:
            assert table.loc[row, "fan"].split(" ")[0].endswith("§") and (table.loc[row, "fan"] == "–§") == (not has)
            mean = table.loc[row, table.columns[-1]]
            assert mean.split(" ")[0].endswith("§") and "‡" not in mean and mean[0].isdigit()
            assert "§" not in table.loc[row, "ToyCar"]
        words = tables.caption(evaluation, number, "all", "paper")
        assert f"§ one domain (fan: {taken_as}): harmonic mean of its AUC and pAUC" in words


def test_two_domains_have_no_such_mark():
    assert "§" not in tables.page(evaluated(), 4, "all", "paper", False)
