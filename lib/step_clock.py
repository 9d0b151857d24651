"""The clock of a step of a run: a small file beside its executed notebook, from which the run's table is made.

Its job writes the file at the beginning and at the end. In between the kernel does, an IPython extension of which this
is: after every cell, because a kernel is killed when its notebook is done. In JupyterLab and under plain papermill no
file is named and nothing is written.
"""

import ast
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lib import clock
from lib.clock import FIGURES, IMPORTS, KINDS, OTHER, START_UP, Seconds
from lib.paths import readable, whole_file

FILE = "ASD_CLOCK"  # environment variable by which a kernel knows the file of its step


@contextmanager
def of_step(path: Path, call: str) -> Iterator[None]:
    """Keep the clock of the step that the block is, also of one that fails. Where it cannot be written it is lost.

    Args:
        path: of the file. call: the token of the run's lock, by which a later call knows its own steps.
    """
    _write(path, call)
    os.environ[FILE] = str(path)
    try:
        yield
    finally:
        os.environ.pop(FILE, None)
        _write(path, call, joined(clock.CLOCK.spent(), (read(path) or {}).get("kinds", {})))


def joined(job: Mapping[str, Seconds], kernel: Mapping[str, Seconds]) -> dict[str, Seconds]:
    """The clocks of a job and its kernel as one: a second in which the kernel worked is none of the job's start-up.

    >>> joined({"start-up": Seconds(9, 1)}, {"start-up": Seconds(3, 2), "training": Seconds(5, 4)})
    {'start-up': Seconds(wall=4, cpu=3), 'training': Seconds(wall=5, cpu=4)}
    """
    cells = sum(seconds.wall for kind, seconds in kernel.items() if kind != START_UP)
    found = {}
    for kind in (kind for kind in KINDS if kind in job or kind in kernel):
        own, other = job.get(kind, Seconds(0, 0)), kernel.get(kind, Seconds(0, 0))
        wall = max(own.wall - cells, 0) if kind == START_UP else own.wall + other.wall
        found[kind] = Seconds(wall, own.cpu + other.cpu)
    return found


def read(path: Path) -> dict | None:
    """What a file says: its `call`, and its `kinds` as {kind: `Seconds`}; None where it is not there or is damaged."""
    try:
        with readable(path, "run its notebook again"):
            said = json.loads(path.read_text(encoding="utf-8"))
            kinds = {kind: Seconds(*map(float, found)) for kind, found in said["kinds"].items() if kind in KINDS}
            whole = all(math.isfinite(value) and value >= 0 for seconds in kinds.values() for value in seconds)
    except ValueError:
        return None
    return {"call": str(said.get("call", "")), "kinds": kinds} if whole else None


def _write(path, call, kinds=None):
    with suppress(OSError), whole_file(path, sync=False) as temporary:
        temporary.write_text(json.dumps({"call": call, "kinds": kinds or {}}), encoding="utf-8")


class Cells:
    """Counts the cells of a notebook: those of imports alone, and what no function claims of the others.

    Args:
        path: of the step's file, to which the kernel's seconds are added.
    """

    def __init__(self, path: Path):
        self.path, self._works = Path(path), False

    def began(self, info) -> None:
        """Event `pre_run_cell`."""
        self._works = True
        clock.CLOCK.open(IMPORTS if _imports_alone(info.raw_cell) else OTHER)

    def executed(self) -> None:
        """Event `post_execute`, at which matplotlib draws the cell's figures into the notebook."""
        if self._works:  # it is none of what a client asks in silence
            clock.CLOCK.open(FIGURES)

    def ended(self, _result=None) -> None:
        """Event `post_run_cell`, whether the cell has failed or not."""
        self._works = False
        clock.CLOCK.close()
        _write(self.path, (read(self.path) or {}).get("call", ""), clock.CLOCK.spent())


def _imports_alone(source):
    try:
        found = ast.parse(source).body
    except (SyntaxError, ValueError):  # a magic is no Python
        return False
    return bool(found) and all(isinstance(node, ast.Import | ast.ImportFrom) for node in found)


def load_ipython_extension(shell) -> None:
    """Called by IPython in the kernel of a run, before its first cell."""
    if path := os.environ.get(FILE):
        cells = Cells(Path(path))
        for event, does in (
            ("pre_run_cell", cells.began), ("post_execute", cells.executed), ("post_run_cell", cells.ended),
        ):  # fmt: skip
            shell.events.register(event, does)
