"""The figures of 05, of machines of one domain."""

import numpy as np
import pytest
from makers import made

from lib.detection import ensembles
from lib.results import plots
from lib.settings import Evaluation


def one(domain):
    scores = made(machines=("fan",), test=6)
    return scores[scores["domain"] == "source"].assign(domain=domain)


@pytest.mark.parametrize("domain, taken_as", [("source", "source"), ("target", "target"), ("", "source")])
def test_one_domain_has_a_curve_and_no_empty_panel(domain, taken_as):
    scores = one(domain)
    row = ensembles.system_rows(ensembles.detector_scores(scores, ()))
    figure = plots.roc_curves(row[row["part"] == "test"])
    (curve,) = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert curve.startswith(f"{taken_as}, AUC ")
    grid = plots.detector_grid(ensembles.evaluate_detectors(scores, Evaluation()))
    assert [axis.get_title() for axis in grid.axes] == [f"AUC {taken_as} [%]", "pAUC [%]", "harmonic mean [%]"]
    assert all(len(axis.texts) == 4 and "nan" not in axis.texts[0].get_text() for axis in grid.axes)


def test_two_domains_have_two_curves_and_four_panels():
    scores = made(machines=("fan",), test=6)
    row = ensembles.system_rows(ensembles.detector_scores(scores, ()))
    assert len(plots.roc_curves(row[row["part"] == "test"]).axes[0].get_legend().get_texts()) == 2
    grid = plots.detector_grid(ensembles.evaluate_detectors(scores, Evaluation()))
    assert len(grid.axes) == 4 and np.all([len(axis.texts) == 4 for axis in grid.axes])
