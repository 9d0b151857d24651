"""Speed of each stage beside what bare arithmetic or memory allows: python -m workflow.bench [stage …] (make bench).

A module of `MODULES` holds `STAGES`, functions by name that yield `entry.Entry`; all of them are `stages()`. Those of
`APART`, how time and memory grow with machines, clips and hours, take half an hour and are measured when named.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator

from workflow.bench.entry import Entry

MODULES = (
    "recordings", "frontend", "network", "training", "autoencoder", "embedding", "detectors", "notebooks",
)  # fmt: skip
APART = ("scale", "listening")
Stage = Callable[[], Iterator[Entry]]


def stages(modules: tuple[str, ...] = MODULES + APART) -> dict[str, Stage]:
    """{name: stage} of modules, as far as they are there, in their order."""
    found = {}
    for name in modules:
        if importlib.util.find_spec(f"{__name__}.{name}"):
            found |= importlib.import_module(f"{__name__}.{name}").STAGES
    return found
