"""The start of a notebook: what a step of a run costs beside its cells."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat

from lib import warm
from lib.paths import PROJECT
from workflow.bench.clocks import WALL, in_turn
from workflow.bench.entry import Entry

CELLS = ('machine = "fan"  # str', "print(machine)")


def start() -> Iterator[Entry]:
    """A notebook of two small cells, as a run executes it and by itself, against an interpreter that does nothing."""
    with tempfile.TemporaryDirectory() as folder, warm.process() as added:
        path, executed = Path(folder) / "small.ipynb", Path(folder) / "executed.ipynb"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, path)
        own = ("lib.run", path, executed, "machine=pump")
        took = in_turn(
            {
                "of a run": lambda: _python("-m", "lib.warm", *own, **added),
                "by itself": lambda: _python("-m", *own),
                "nothing": lambda: _python("-c", "pass"),
                "papermill": lambda: _python("-m", "papermill", path, executed, "-p", "machine", "pump"),
            },
            10,
            WALL,
        )
    for size in ("of a run", "by itself"):
        yield Entry(
            "a notebook's start", size, 1 / took[size], "notebooks/s", 1 / took["nothing"],
            "an interpreter that does nothing", 1 / took["papermill"], "papermill",
        )  # fmt: skip


def _python(*arguments, **added):
    environment = os.environ | {"PYTHONPATH": str(PROJECT)} | added
    subprocess.run([sys.executable, *map(str, arguments)], check=True, capture_output=True, env=environment)


STAGES = {"start": start}
