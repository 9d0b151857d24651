"""What a person sees of a run: one bar (plain lines where there is no terminal), a line a notebook, what failed."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from lib.job import REPORT
from lib.progress import duration

BAR = "{n_fmt} of {total_fmt} notebooks |{bar:24}| {elapsed} gone, {remaining} left"
KILLED = "its process was killed; most often memory ran out: run again with fewer CORES"
KILLED_THERE = "the cluster ended it; most often its time or memory ran out: raise runtime or mem_mb in the profile"


class Console:
    """Counts what the jobs of a run say, and shows it.

    Args:
        stream: where lines go; a terminal gets a bar, too.

    Attributes:
        failed: {(notebook, machine, *trained): one line} of the notebooks that failed.
        killed: what is said of a notebook that ends without a word.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream, self.killed = stream or sys.stdout, KILLED
        self.failed: dict[tuple[str, ...], str] = {}
        self._running, self._total, self._done, self._bar, self._began = set(), 0, 0, None, time.monotonic()
        if hasattr(self.stream, "reconfigure"):  # a terminal of another encoding than the names of the clips
            self.stream.reconfigure(errors="backslashreplace")

    def say(self, text: str = "") -> None:
        """A line; lost without an error where the terminal has gone."""
        try:
            if self._bar is None:
                print(text, file=self.stream, flush=True)
            else:
                self._bar.write(text, file=self.stream)
        except (OSError, ValueError):
            self.stream = open(os.devnull, "w")  # noqa: SIM115

    def begin(self, counts: Mapping[str, int], earlier: int = 0) -> None:
        """Start counting; `counts` is how many times each notebook will run, `earlier` how many need not any more."""
        self._total, self._done, self._began = sum(counts.values()), 0, time.monotonic()
        if earlier > 0:
            self.say(f"goes on    {earlier} notebooks finished earlier, {self._total} to run")
        if self._total and self.stream.isatty():
            known = os.get_terminal_size(self.stream.fileno()).columns > 0  # not in every container or recorder
            width = {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}
            self._bar = tqdm(
                total=self._total, bar_format=BAR, file=self.stream, smoothing=0, leave=False, disable=False, **width
            )

    def hear(self, event: Mapping) -> None:
        """Take in what a job reported (`lib.job.report`)."""
        key, name = _key(event), _name(event)
        if event["state"] == "started":
            self._running.add(key)
            return
        self._running.discard(key)
        if event["state"] == "failed":
            self._fail(key, name, event["message"], event["executed"])
            return
        self.failed.pop(key, None)  # it was submitted again
        if event["notebook"] == REPORT:  # is not among the notebooks that are counted
            self.say(f"{name}: {duration(event['seconds'])}")
            return
        self._done += 1
        self.say(
            f"[{self._done:{len(str(self._total))}}/{self._total}] {name}: {duration(event['seconds'])}{self._left()}"
        )
        if self._bar is not None:
            self._bar.update()

    def tick(self) -> None:
        """Let the bar's clock go on."""
        if self._bar is not None:
            self._bar.refresh()

    def end(self) -> None:
        """Take the bar away; what started and never said how it ended has failed."""
        self.close()
        for notebook, machine, *trained in sorted(self._running):
            event = {"notebook": notebook, "machine": machine, "trained": trained}
            self._fail(_key(event), _name(event), self.killed, "")
        self._running.clear()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _fail(self, key, name, message, executed):
        where = f"; see {shown(executed)}" if executed else ""
        self.failed[key] = f"{name}: {first_line(message)}{where}"
        self.say(f"failed: {self.failed[key]}")

    def _left(self):
        """Time left in a plain line; on a terminal the bar says it."""
        if self._bar is not None or not 0 < self._done < self._total:
            return ""
        left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        return f", about {duration(left)} left"


def first_line(message: str) -> str:
    """The first line of an error, without the class of the usual one.

    >>> first_line("ValueError: a.wav: cannot be read; delete it\\n  executed copy: x.ipynb")
    'a.wav: cannot be read; delete it'
    """
    lines = message.strip().splitlines()
    return lines[0].removeprefix("ValueError: ") if lines else "no message"


def shown(path: str | Path) -> str:
    """A path as it is shortest from here."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _key(event):
    return (event["notebook"], event["machine"], *event["trained"])


def _name(event):
    return " ".join(filter(None, _key(event)))
