"""Executed notebooks as pages: what they show, no script of theirs, and one that cannot be read stops nothing."""

import base64
import io

import nbformat
import numpy as np
import pytest
import soundfile
from conftest import HOSTILE  # tests/report
from makers import at_most
from PIL import Image

from lib.report.notebook_pages import Notebooks, markdown, mathml


def cell_with(**data):
    outputs = [nbformat.v4.new_output("display_data", data={key.replace("_", "/", 1): v for key, v in data.items()})]
    return nbformat.v4.new_code_cell("x = 1  # <b>", outputs=outputs)


def written(path, *cells):
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells), metadata={"papermill": {"duration": 3.5}}), path)
    return path


@pytest.fixture
def notebooks(tmp_path):
    return Notebooks(tmp_path / "media")


def png(colour):
    content = io.BytesIO()
    Image.new("RGBA", (300, 200), colour).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_a_page_has_the_cells_and_its_pictures_are_files_each_once(notebooks, tmp_path):
    title = nbformat.v4.new_markdown_cell("# 08 Spectrum\n\nHow far?")
    path = written(
        tmp_path / "n.ipynb",
        title,
        cell_with(image_png=png("red")),
        cell_with(image_png=png("red")),
        cell_with(image_png=png("blue")),
    )
    page = notebooks.page(path)
    assert page.title == "08 Spectrum" and page.seconds == 3.5 and page.problem == ""
    assert "How far?" in page.body and "&lt;b&gt;" in page.body and "data:image" not in page.body
    assert page.body.count('src="media/') == 3 and len(list(notebooks.media.iterdir())) == 2


def test_scripts_and_markup_of_texts_and_outputs_do_not_reach_the_page(notebooks, tmp_path):
    texts = [nbformat.v4.new_markdown_cell(f"# {HOSTILE[0]}\n\n[a](javascript:alert(1)) <img src=x onerror=alert(1)>")]
    path = written(
        tmp_path / "n.ipynb", *texts, cell_with(application_javascript="alert(1)"),
        cell_with(text_markdown=f"| {HOSTILE[0]}<br>[1] |\n| --- |\n| 1 |"), cell_with(text_plain="<script>alert(1)</script>"),
    )  # fmt: skip
    body = notebooks.page(path).body
    assert "<script" not in body and "<img" not in body and "javascript:" not in body
    assert "&lt;script&gt;" in body and "<br>" in body


def test_a_cell_that_failed_is_shown_and_said(notebooks, tmp_path):
    error = nbformat.v4.new_output(
        "error", ename="ValueError", evalue="odd <b>", traceback=["\x1b[31mValueError\x1b[0m: odd <b>"]
    )
    page = notebooks.page(written(tmp_path / "n.ipynb", nbformat.v4.new_code_cell("f()", outputs=[error])))
    assert page.problem == "a cell failed" and "odd &lt;b&gt;" in page.body and "\x1b" not in page.body


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', "\0\0"])
def test_a_notebook_that_cannot_be_read_has_a_problem(notebooks, tmp_path, content):
    path = tmp_path / "n.ipynb"
    path.write_text(content)
    page = notebooks.page(path)
    assert page.body == "" and page.problem.startswith("cannot be read (") and page.title == "n"


def test_a_picture_that_is_none_stays_as_it_is(notebooks, tmp_path):
    page = notebooks.page(written(tmp_path / "n.ipynb", cell_with(image_png="bm9uZQ==")))
    assert 'src="data:image/png;base64,bm9uZQ=="' in page.body and page.problem == ""


def test_formulas_are_mathml_and_one_that_is_none_is_code():
    assert "<msub>" in markdown(r"$\mathcal{L}_{\mathrm{machine}}$") and "$" not in markdown("$$x$$")
    assert mathml(r"\frac{") == r"<code>\frac{</code>" and "<b>" not in mathml("{<b>")


def test_a_sound_is_a_smaller_file_and_one_that_is_none_stays(notebooks, tmp_path):
    content = io.BytesIO()
    soundfile.write(content, np.sin(np.arange(16000) / 9) / 2, 16000, format="WAV")
    sound = base64.b64encode(content.getvalue()).decode()
    player = '<audio controls="controls"><source src="data:audio/wav;base64,{}" type="audio/wav" /></audio>'
    page = notebooks.page(
        written(
            tmp_path / "n.ipynb",
            cell_with(text_html=player.format(sound)),
            cell_with(text_html=player.format("bm9uZQ==")),
        )
    )
    (path,) = notebooks.media.iterdir()
    assert f'src="media/{path.name}"' in page.body and page.body.count("base64") == 1 and page.problem == ""
    assert soundfile.info(path).duration == 1.0 and path.stat().st_size < len(content.getvalue())


def test_a_disk_that_is_full_is_no_fault_of_the_notebook(notebooks, tmp_path):
    noise = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noise, "PNG")
    path = written(tmp_path / "n.ipynb", cell_with(image_png=base64.b64encode(noise.getvalue()).decode()))
    with at_most(100), pytest.raises(OSError, match="cannot write"):
        notebooks.page(path)
