"""One notebook of a run, as Snakemake starts it: `lib.run`, tied to the run, with a line for the run's console.

python -m lib.job NOTEBOOK preset=… run_dir=… key=value …: the executed copy goes where `paths.Run.notebook` says.
NOTEBOOK may be `REPORT`, too: the run's pages.
"""

import contextlib
import fcntl
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import MutableMapping
from typing import TextIO

from lib import clock, locks, paths, step_clock
from lib.settings import load_settings
from lib.systems import ALL, BASELINE

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
THREAD_VARIABLES += ("VECLIB_MAXIMUM_THREADS", "GOTO_NUM_THREADS")
WHICH = ("machine", "system", "parameter", "seed")  # parameters that `lib.run` names a notebook by
REPORT = "report"  # the one job that is no notebook
EVENTS = "events.jsonl"  # in `paths.Run.state`: what the jobs of the last call said, a JSON object a line


def report(run: paths.Run, **event) -> None:
    """Append an event, so that jobs at the same time do not mix: also those of several computers, hence the lock."""
    with open(run.state / EVENTS, "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write((json.dumps(event) + "\n").encode())


def read_events(file: TextIO) -> list[dict]:
    """What has been reported since this file was last read; the lock makes a network drive look anew."""
    fcntl.flock(file, fcntl.LOCK_SH)
    try:
        return [json.loads(line) for line in file]
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status of `lib.run`."""
    notebook, *pairs = sys.argv[1:] if arguments is None else arguments
    given = dict(pair.partition("=")[::2] for pair in pairs)
    run = paths.run_folder(given["run_dir"], given["preset"])
    locks.watch(run.state)
    signal.signal(signal.SIGTERM, _stop)
    trained = ()
    if "seed" in given:
        trained = (given.get("system", BASELINE), given.get("parameter", ALL), f"seed{given['seed']}")
    executed = run.notebook(notebook, given.get("machine"), trained)
    which = {"notebook": notebook, "machine": given.get("machine", ""), "trained": trained}
    report(run, **which, state="started")
    begin, kept = time.perf_counter(), run.clock(notebook, given.get("machine"), trained)
    try:
        set_threads(load_settings(given["preset"]).threads)
        with step_clock.of_step(kept, os.environ.get(locks.TOKEN, "")):
            status, message = _execute(notebook, executed, pairs)
    except KeyboardInterrupt:
        locks.end_children()
        return 130
    except Exception as error:
        traceback.print_exc()
        status, message = 1, f"{type(error).__name__}: {error}"
    state, copy = "failed" if status else "done", str(executed) if executed.exists() else ""
    report(run, **which, state=state, seconds=time.perf_counter() - begin, message=message, executed=copy)
    return status


def _execute(notebook, executed, pairs):
    """(exit status, what it said on stderr) of `lib.run`."""
    if notebook == REPORT:
        from lib.report import report as pages

        given = dict(pair.partition("=")[::2] for pair in pairs)
        with clock.CLOCK.during(clock.OTHER):
            pages.write(paths.run_folder(given["run_dir"], given["preset"]))
        return 0, ""
    from lib import run as runner  # papermill takes a second, in which a killed run's job should not live on

    said, which = io.StringIO(), [pair for pair in pairs if pair.split("=")[0] in WHICH]
    with contextlib.redirect_stderr(said):
        status = runner.main([notebook, str(executed), *pairs])
    print(said.getvalue(), end="", file=sys.stderr, flush=True)
    if status == 130:
        raise KeyboardInterrupt
    return status, said.getvalue().strip().removeprefix(" ".join([notebook, *which]) + ": ")


def _stop(*_):
    raise KeyboardInterrupt


def set_threads(number: int, environment: MutableMapping[str, str] = os.environ) -> None:
    """Give every numerical library the same number of threads, whatever Snakemake derived from --cores."""
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(number)))


if __name__ == "__main__":
    sys.exit(main())
