"""The figures of 05, of machines of one domain."""

import io
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from makers import made

from lib.detection import ensembles
from lib.results import plots
from lib.settings import Evaluation

HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "machine": 0.5, "validation_loss": 0.6, "embedding_variance": 1.0, "learning_rate": 1e-4}
)


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


def test_a_pdf_holds_its_letters_as_outlines_and_none_of_the_fonts_layout(tmp_path):
    figure = plots.training_curves(HISTORY)
    plots.save({"curves": figure}, tmp_path)
    content = (tmp_path / "curves.pdf").read_bytes()
    assert b"/Type3" not in content and b"/FontFile2" in content
    streams = [zlib.decompress(each) for each in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)]
    fonts = [TTFont(io.BytesIO(each)) for each in streams if each.startswith(b"\0\1\0\0")]
    assert fonts and all("glyf" in font for font in fonts)
    assert not any({"GSUB", "GPOS", "GDEF"} & set(font.keys()) for font in fonts)


def test_a_figure_that_a_notebook_shows_is_drawn_once_for_its_file_too_unless_it_changes(tmp_path, monkeypatch):
    shown, drawn = [], []
    monkeypatch.setattr("IPython.get_ipython", lambda: "a notebook")
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr(plots.matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    draw = plots.FigureCanvasAgg.print_png
    monkeypatch.setattr(plots.FigureCanvasAgg, "print_png", lambda *a, **k: drawn.append(1) or draw(*a, **k))
    figure = plots.training_curves(HISTORY)
    plots.save({"curves": figure}, tmp_path)
    assert (tmp_path / "curves.png").read_bytes() == shown[0].data and len(shown) == len(drawn) == 1
    assert shown[0].width == round(110 * plots.PAGE) and not plots.plt.fignum_exists(figure.number)
    figure.axes[0].set_title("another")
    plots.save({"curves": figure}, tmp_path)
    plots.save({"again": figure}, tmp_path)
    changed = (tmp_path / "curves.png").read_bytes()
    assert changed != shown[0].data and (tmp_path / "again.png").read_bytes() == changed
