"""Where the seconds of a process go: wall and CPU time by kind of work, each second counted once.

A function says what it is by `@counts("training")`; what a function of another kind takes within it is taken off. The
clock is one for the whole process, as a log is: it changes no result, and no result follows from this module's code
(`dependencies.APART`).
"""

import functools
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

START_UP, IMPORTS, FIGURES, OTHER = "start-up", "imports", "figures", "other"
KINDS = (START_UP, IMPORTS, "bank", "training", "embedding", "fitting", "scoring", FIGURES, "writing", OTHER)
Function = TypeVar("Function", bound=Callable)


class Reading(NamedTuple):
    """Seconds: wall, CPU of this process, CPU of children that have ended."""

    wall: float
    own: float
    children: float


class Seconds(NamedTuple):
    """Of wall and CPU."""

    wall: float
    cpu: float


def read() -> Reading:
    """The time now."""
    ended = os.times()
    return Reading(time.perf_counter(), time.process_time(), ended.children_user + ended.children_system)


class Clock:
    """Wall and CPU seconds by kind, of the innermost kind that is open; without one, of start-up.

    Children count for the kind in which they end (processes that decode clips), but not for start-up: what a job starts
    there has a clock of its own. CPU counts from the process's start, wall from the clock's.

    Args:
        now: `read`, or another in its place.
    """

    def __init__(self, now: Callable[[], Reading] = read):
        self._now = now
        self._begin(now()._replace(own=0.0, children=0.0))

    def _begin(self, reading):
        self._first = self._last = reading
        self._open, self._spent = [], {}

    def restart(self) -> None:
        """Forget what was counted; all counts from here on."""
        self._begin(self._now())

    def open(self, kind: str) -> int:
        """What follows is of this kind; returns the level to `close`."""
        self._count()
        self._open.append(kind)
        return len(self._open) - 1

    def close(self, level: int = 0) -> None:
        """End all that was opened at this level and above."""
        self._count()
        del self._open[level:]

    @contextmanager
    def during(self, kind: str) -> Iterator[None]:
        """The block is of this kind; in another thread than the main one, of what the main one does meanwhile."""
        if self._open[-1:] == [kind] or threading.get_ident() != threading.main_thread().ident:
            yield
            return
        level = self.open(kind)
        try:
            yield
        finally:
            self.close(level)

    def spent(self) -> dict[str, Seconds]:
        """{kind: seconds so far}."""
        self._count()
        return {kind: Seconds(*seconds) for kind, seconds in self._spent.items()}

    def elapsed(self) -> Seconds:
        """Since the beginning, all children with it."""
        now = self._now()
        own, children = now.own - self._first.own, now.children - self._first.children
        return Seconds(now.wall - self._first.wall, own + children)

    def _count(self):
        """Give what has passed since the last look to the kind that is open."""
        now = self._now()
        wall, own, children = (there - here for there, here in zip(now, self._last, strict=True))
        spent = self._spent.setdefault(self._open[-1] if self._open else START_UP, [0.0, 0.0])
        spent[0] += wall
        spent[1] += own + (children if self._open else 0.0)
        self._last = now


CLOCK = Clock()


def counts(kind: str) -> Callable[[Function], Function]:
    """Decorator: the function's seconds are of this kind, one of `KINDS`."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r} of work; known: {', '.join(KINDS)}")

    def decorate(function):
        if inspect.isgeneratorfunction(function):
            raise ValueError(f"{function.__name__}: a generator works where it is read; count the function that does")

        @functools.wraps(function)
        def counted(*arguments, **named):
            with CLOCK.during(kind):
                return function(*arguments, **named)

        return counted

    return decorate
