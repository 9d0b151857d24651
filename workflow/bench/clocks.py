"""How long works take that take turns, so that a machine's drift meets all of them."""

import time
from collections.abc import Callable

import numpy as np
import torch

LEAST, MOST = 3, 50  # turns
CORE, WALL = "core", "wall"  # whose seconds


def now(clock: str = CORE) -> float:
    """Seconds of a clock.

    With a card all that it was given is finished first, and the clock is the wall's. Else that of one core: what this
    process computed, which other programs on the machine hardly lengthen; works that start processes take the wall's.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.perf_counter() if clock == WALL else time.process_time()


def in_turn(
    works: dict[str, Callable[[], object]],
    seconds: float = 20,
    clock: str = CORE,
    before: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Seconds of each work, the least of its turns.

    Args:
        works: by name; each is done once unmeasured. seconds: of the wall, about, that the turns may take; there are
            three of them at least. clock: as `now`. before: each work is done this, unmeasured.
    """
    turns, begin = [], None
    while len(turns) < LEAST or (len(turns) < MOST and time.perf_counter() - begin < seconds):
        turn = []
        for work in works.values():
            before()
            first = now(clock)
            work()
            turn.append(now(clock) - first)
        if begin is None:
            begin = time.perf_counter()  # that was the one which warms up
        else:
            turns.append(turn)
    return dict(zip(works, np.maximum(np.min(turns, axis=0), 1e-9).tolist(), strict=True))
