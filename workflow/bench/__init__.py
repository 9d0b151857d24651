"""Speed of each stage beside what bare arithmetic or memory allows: python -m workflow.bench [stage …] (make bench).

A module of `MODULES` holds `STAGES`, functions by name that yield `entry.Entry`; all of them are `stages()`.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator

from workflow.bench.entry import Entry

MODULES = (
    "recordings", "frontend", "network", "training", "autoencoder", "embedding", "detectors", "notebooks",
    "scale", "listening",
)  # fmt: skip
Stage = Callable[[], Iterator[Entry]]


def stages() -> dict[str, Stage]:
    """{name: stage} of all modules that are there, in their order."""
    found = {}
    for name in MODULES:
        if importlib.util.find_spec(f"{__name__}.{name}"):
            found |= importlib.import_module(f"{__name__}.{name}").STAGES
    return found
