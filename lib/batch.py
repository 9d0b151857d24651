"""Runs the whole graph with Snakemake: python -m lib.batch --preset demo (what `make demo` and `make run` call).

When some notebooks fail, tables and report are made from what finished, and the exit status says so.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from lib import clock, homes, paths
from lib.console import KILLED_THERE, Console
from lib.locks import RunLock
from lib.profiles import load_profile
from lib.progress import cores
from lib.settings import load_settings, seed_numbers

SIGNALS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "the end of its terminal"}


class Stopped(SystemExit):
    """A signal ends the run; a process that decodes clips leaves without a traceback, too."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.why = SIGNALS[signal.Signals(number).name]


def main(arguments: list[str] | None = None) -> int:
    """Command line.

    Returns:
        Exit status: 0 when all that could run did, 1 when something failed, 2 for what is refused before it starts,
        128 + the signal that ended it.
    """
    given, console = _arguments(arguments), Console()
    clock.CLOCK.restart()
    homes.settle()
    before = _take_signals()
    try:
        settings, seeds = load_settings(given.preset), seed_numbers(given.seeds)
        if not seeds:
            raise ValueError("no seeds: give whole numbers with spaces between, such as SEEDS='0 1'")
        profile, name = load_profile(given.profile), given.run or Path(given.preset).stem
        if not given.dry_run:
            profile.check(name)
        if not profile.local:
            if given.clock:
                raise ValueError(
                    "--clock counts on one computer; a cluster's run has each step's seconds in its report"
                )
            console.killed = KILLED_THERE
        run = _run_folder(name)
        with RunLock(run.state) as lock:
            return _batch(given, settings, seeds, run, lock.token, profile, console)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except Stopped as stop:
        console.close()
        console.say(f"stopped by {stop.why}: what finished is kept, and the same command goes on from there")
        return stop.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _take_signals():
    """Let each of `SIGNALS` end the run, but those that are ignored, as under nohup; returns the handlers before."""
    before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in SIGNALS)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _stop)
    return before


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m lib.batch", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="demo", help="name in workflow/presets, or path of a YAML file")
    parser.add_argument("--data", default="", help="data root; none: demo data")
    parser.add_argument("--machines", default="", help="names; none: all with training and test clips")
    parser.add_argument("--seeds", default="0", help="such as '0 1 2 3'")
    parser.add_argument("--run", default="", help="name under outputs, or a path; none: the preset's name")
    parser.add_argument("--cores", type=_positive, help="jobs at a time; none: all cores, or what the profile says")
    parser.add_argument("--card-jobs", type=_positive, default=0, help="trainings a graphics card; none: by its memory")
    parser.add_argument("--profile", default="", help="name in workflow/profiles, or path of one; none: this computer")
    parser.add_argument("--clock", action="store_true", help="say afterwards where the seconds went")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and run nothing")
    return parser.parse_args(arguments)


def _positive(text):
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _stop(number, _frame):
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # once is enough: the end takes a moment
    raise Stopped(number)


def _run_folder(name):
    """The run, its folder made; ValueError when it cannot be."""
    folder = Path(name).expanduser()
    folder = folder if folder.is_absolute() else paths.OUTPUTS / folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make {folder}: {error.strerror}; choose another run folder (RUN)") from None
    return paths.Run(folder.resolve())


def _batch(given, settings, seeds, run, token, profile, console):
    from lib import graph, summary  # they take a second, which a refused command line should not

    at_once = given.cores or (cores() if profile.local else profile.jobs)
    asked = given.preset, given.data, given.machines, seeds, at_once, token, profile, given.card_jobs
    planned = graph.Graph.of(run, settings, *asked)
    for line in summary.first_lines(planned):
        console.say(line)
    if given.dry_run:
        would = planned.to_run()
        console.say("\n".join([f"would run {len(would)} notebooks", *(f"  {name}" for name in would)]))
        return 0
    begin = time.monotonic()
    for left in (run.log, run.failures):
        left.unlink(missing_ok=True)
    status = planned.start(console)
    if status and profile.grouped:  # what failed has taken along what shared its submission
        console.say("again, each by itself: what failed and what shared a submission with it or waited for it")
        console.failed.clear()
        status = planned.start(console, alone=True)
    if status and not console.failed:
        raise ValueError(f"Snakemake stopped: {summary.why_it_stopped(run.log)}; all that it said is in {run.log}")
    if console.failed:
        summary.write_failures(run, console)  # the report tells them
        planned.go_on(console)
    for line in summary.last_lines(planned, console, time.monotonic() - begin):
        console.say(line)
    for line in summary.clock_lines(planned, clock.CLOCK) if given.clock else ():
        console.say(line)
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
