"""Figures for print: all that a run's tables hold, the same bytes twice, and what cannot be drawn is said."""

import numpy as np
import pytest
from makers import made
from scored import evaluated

from lib.paths import Run
from lib.results import figures, plots


@pytest.fixture(scope="module")
def evaluation():
    return evaluated(20, systems=("OE", "Spectrum (power)", "Spectrum (flux)"))


def test_the_overall_figure_has_a_line_a_row_and_both_rules(evaluation):
    figure = figures.overall_figure(evaluation)
    (axis,) = figure.axes
    rows = [label.get_text() for label in axis.get_yticklabels()]
    assert rows[0] == "OE" and rows[-1] == "Spectrum + Submitted 1" and len(rows) == 8
    points = {(line.get_ydata()[0], line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "o"}
    chosen = evaluation.query("protocol == 'all' and score == 'hmean' and machine == 'overall'")
    assert len(points) == 2 * len(rows) and {x for _, x in points} == set(chosen["value"])
    assert figure.get_figwidth() == pytest.approx(plots.COLUMN)


def test_points_lie_where_they_lay_and_no_other_draw_follows_from_them():
    scores = made(machines=("fan",), test=4).assign(score=lambda table: table["standardized"])
    np.random.seed(3)
    following, offsets = np.random.rand(), []
    for seed in (3, 4):
        np.random.seed(seed)
        axis = plots.score_distributions(scores).axes[0]
        offsets.append(np.concatenate([c.get_offsets() for c in axis.collections if len(c.get_offsets())]))
        assert (np.random.rand() == following) == (seed == 3)
    assert np.array_equal(*offsets) and len(offsets[0]) > 10


def test_a_run_without_labels_or_tables_is_refused(tmp_path):
    run = Run(tmp_path)
    with pytest.raises(ValueError, match=r"evaluation.csv.*run 06_ensemble_and_tables again"):
        next(figures.figures_of(run))
    with pytest.raises(ValueError, match="nope: no such run; there is none"):
        figures.write(tmp_path / "nope")
    run.tables.mkdir(parents=True)
    (run.tables / "evaluation.csv").write_text("system,protocol,rule,machine,score,value,low,high,sd,seeds\n")
    with pytest.raises(ValueError, match="no labels"):
        next(figures.figures_of(run))
    (tmp_path / "mine" / "tables").mkdir(parents=True)
    (tmp_path / "mine" / "tables" / "evaluation.csv").touch()
    with pytest.raises(ValueError, match="nope: no such run; there are mine"):
        figures.write(tmp_path / "nope")
