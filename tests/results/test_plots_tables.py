"""The figures of 06."""

import pytest
from makers import LACKING, made
from scored import rows_of

from lib.detection import ensembles
from lib.detection.ranking import rank_detectors
from lib.results import plots_tables
from lib.systems import ROWS, SYSTEMS

EIGHT = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain", "shaker")
MANY = (*ROWS[:2], *SYSTEMS)


@pytest.mark.parametrize(
    ("machines", "systems"),
    [(("fan",), MANY), (EIGHT, ("OE",)), pytest.param(EIGHT, MANY, marks=pytest.mark.long)],
)
def test_figures_hold_every_row_and_cut_no_label(machines, systems):
    scores = made(machines, systems, lacking={"fan": LACKING}, test=5)
    ranking = rank_detectors(ensembles.detector_scores(scores, ()))
    evaluation = ensembles.evaluate(rows_of(scores), resamples=20)
    figure = plots_tables.table_figure(evaluation, 4, beside_paper=True)
    shown = {axis.get_title() for axis in figure.axes}
    assert shown == {*machines, "overall"}
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [row for row in ROWS if row in set(evaluation["system"])]
    for drawn in (figure, plots_tables.ranking_figure(ranking)):
        box, (width, height) = drawn.get_tightbbox(), drawn.get_size_inches()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_one_domain_is_said_in_the_figure():
    scores = made(systems=("OE", "OE-Flow"))
    scores = scores[(scores["machine"] != "fan") | (scores["domain"] == "source")]
    evaluation = ensembles.evaluate(rows_of(scores), resamples=10)
    for number in (2, 3, 4):
        figure = plots_tables.table_figure(evaluation, number)
        assert [axis.get_title() for axis in figure.axes] == ["fan §", "ToyCar", "overall §"]
        assert "§ one domain" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_many_machines_are_ticks_in_one_panel(monkeypatch):
    """A thousand panels take an hour and cannot be read."""
    monkeypatch.setattr(plots_tables, "MOST", 2)
    evaluation = ensembles.evaluate(rows_of(made(EIGHT[:3], ("OE",), test=5)), resamples=10)
    (axis,) = plots_tables.table_figure(evaluation, 4).axes
    ticks = next(line for line in axis.lines if line.get_marker() == "|")
    each = evaluation.query("score == 'hmean' and protocol == 'all' and rule == 'paper' and machine != 'overall'")
    assert sorted(ticks.get_xdata()) == sorted(each["value"])
    assert axis.get_title() == "overall, a tick for each of 3 machines"
