"""The layout of the notebooks: stripped, one parameters cell, short cells, saved once at the end."""

import ast
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.display import Audio

from lib.paths import NOTEBOOKS

BOOKS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
PARAMETERS = {"machine", "system", "parameter", "seed", "preset", "data_root", "run_dir", "machines", "seeds"}
PARAMETERS |= {"row", "clips"}  # of a machine that listens


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture(params=BOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_first_cell_says_what_it_is(path):
    first = nbformat.read(path, as_version=4).cells[0]
    number = path.stem[:2]
    assert first.cell_type == "markdown" and first.source.startswith(f"# {number} ")
    assert "**" in first.source and "Reads" in first.source and "eaves" in first.source and "Paper:" in first.source


def test_stripped(path):
    for cell in code_cells(path):
        assert not cell.outputs and cell.execution_count is None, "make lint tells; nbstripout mends"


def test_one_parameters_cell_of_commented_literals(path):
    cells = code_cells(path)
    assert [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])] == cells[:1]
    lines = cells[0].source.splitlines()
    assert all("  # " in line for line in lines)
    names = [node.targets[0].id for node in ast.parse(cells[0].source).body if isinstance(node.value, ast.Constant)]
    assert len(names) == len(lines) and set(names) <= PARAMETERS


def test_imports_stand_together(path):
    for i, cell in enumerate(code_cells(path)):
        found = any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(cell.source)))
        assert found == (i == 1)


def test_cells_are_short_and_define_nothing(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 20, "move the code into lib/"
        assert not any(isinstance(n, ast.ClassDef | ast.FunctionDef) for n in ast.walk(ast.parse(cell.source)))


def test_most_of_a_notebook_is_the_story(path):
    """What opens the experiment and what saves: at most a quarter of the lines of code (06 saves what it is for)."""
    lines = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert lines[2] + lines[-1] <= sum(lines) / 4 or path.stem.startswith("06")


def test_results_are_written_by_the_last_cell_alone(path):
    cells = nbformat.read(path, as_version=4).cells
    assert cells[-2].source == "## Save"
    for cell in cells[:-1]:
        if cell.cell_type == "code":
            assert not any(word in cell.source for word in (".save(", "write_", "to_csv", "to_parquet", "savefig"))


def test_players_are_small_for_any_clip_and_rate():
    """The cells of the audit on half an hour at 192 kHz."""
    shown, drawn = [], []
    rate, rows = 192_000, [("train", "source", "normal"), ("test", "source", "anomaly")]
    own = pd.DataFrame(rows, columns=["split", "domain", "label"]).assign(usable=True, seconds=1800.0)
    bank = SimpleNamespace(sample_rate=rate, sound=lambda row: np.broadcast_to(np.int16(1), 1800 * rate))
    audit = SimpleNamespace(spectrogram_pair=lambda sounds, *_: drawn.extend(sounds))
    names = {"own": own, "bank": bank, "plots_audit": audit, "Audio": Audio, "display": shown.append, "figures": {}}
    names["FULL_SCALE"] = 32768
    for cell in code_cells(NOTEBOOKS / "01_data_audit.ipynb"):
        if "sounds" in cell.source:
            exec(cell.source, names)
    assert len(shown) == 2 and max(len(player.data) for player in shown) < 1_000_000
    assert len(drawn) == 2 and max(map(len, drawn)) < 500_000
