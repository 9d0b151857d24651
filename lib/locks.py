"""One process at a time works in a run's folder: the lock, and the watch that ends what a killed run left working.

The system's kernel holds the locks (flock), so none outlives its process: neither kill -9 nor a power cut leaves one
behind. `RunLock` is the run's own. Every notebook and Snakemake itself call `watch`: they share a second lock, which
the next run waits for, and end when the run that started them is gone.
"""

import fcntl
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

TOKEN = "ASD_RUN"  # environment variable by which a process knows the run that started it
INTERVAL = 0.5  # s between two looks of the watch
GRACE = 5.0  # s for a notebook to end its kernel
PATIENCE = 60.0  # s that a new run waits for the notebooks of a killed one
CANCEL = 10.0  # s for Snakemake to take its jobs out of a cluster's queue
GONE = "the run that started this has ended, or locks of this disk do not reach from one computer to another"


class RunLock:
    """The lock of a run, for a `with` block; `token` is for the environment of what the run starts.

    Args:
        state: `paths.Run.state` of the run.

    Raises:
        ValueError: another process works there, which the message names; or the folder cannot be locked.
    """

    def __init__(self, state: Path):
        self.state = Path(state)
        self.token = f"{os.getpid()}-{time.time_ns()}"

    def __enter__(self) -> "RunLock":
        self._file = _locked(self.state / "run.lock", fcntl.LOCK_EX, patience=3 * INTERVAL)
        if self._file is None:
            raise ValueError(f"{self.state.parent}: {_holder(self.state)}; wait for it, or choose another RUN")
        facts = {"token": self.token, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        facts["command"] = shlex.join(sys.orig_argv)
        (self.state / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        left = _locked(self.state / "jobs.lock", fcntl.LOCK_EX, PATIENCE)
        if left is None:
            raise ValueError(f"{self.state.parent}: notebooks of a killed run still work there; end them and try again")
        left.close()
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def watch(state: Path, ends: signal.Signals = signal.SIGTERM) -> None:
    """Tie this process and what it starts to the run that started it; does nothing where none did.

    When that run is gone the process gets `ends`, and is killed with its children where that does not end it.
    """
    token = os.environ.get(TOKEN)
    if not token:
        return
    state = Path(state).absolute()  # Snakemake goes back to where it was started, at its end
    jobs = _locked(state / "jobs.lock", fcntl.LOCK_SH, PATIENCE)
    if jobs is None or not _alive(state, token):
        print(f"{state}: {GONE}", file=sys.stderr, flush=True)
        os._exit(1)
    threading.Thread(target=_end_with_the_run, args=(state, token, jobs, ends), daemon=True).start()


def end_group(leader: psutil.Process) -> None:
    """End Snakemake, which leads a process group, and all that it started.

    It is stopped at once; its notebooks are asked (SIGTERM) and have `GRACE` to end their kernels, which are groups of
    their own; what lives then is killed.
    """
    family = []
    with suppress(psutil.NoSuchProcess):
        leader.suspend()  # or it would start the next job for each that ends
        family = leader.children(recursive=True)
    with suppress(ProcessLookupError):  # no more of its group are left
        os.killpg(leader.pid, signal.SIGTERM)
    with suppress(psutil.NoSuchProcess):
        leader.kill()
    _, living = psutil.wait_procs(family, GRACE)
    _kill(living)


@contextmanager
def interrupts_are_heard() -> Iterator[None]:
    """What is started within the block hears SIGINT, also where this process does not: in a script's background."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt(leader: psutil.Process) -> None:
    """Have Snakemake take its jobs out of a cluster's queue, before it is ended; nothing where it has ended."""
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        leader.send_signal(signal.SIGINT)
        leader.wait(CANCEL)


def _end_with_the_run(state, token, _jobs, ends):
    while _alive(state, token):
        time.sleep(INTERVAL)
    os.kill(os.getpid(), ends)
    time.sleep(GRACE)
    end_children()
    os._exit(1)


def end_children() -> None:
    """Kill all that this process started and that still lives."""
    _kill(psutil.Process().children(recursive=True))


def _kill(processes):
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _alive(state, token):
    """Whether the run of this token still holds its folder."""
    free = _locked(state / "run.lock", fcntl.LOCK_SH)
    if free is not None:
        free.close()
        return False
    return _facts(state).get("token", token) == token


def _locked(path, kind, patience=0.0):
    """The open file with its lock; None when others keep it longer than `patience` seconds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115  the lock lives as long as the file is open
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; choose another run folder (RUN)") from None
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= until:
                file.close()
                return None
            time.sleep(0.05)
        except OSError as error:
            file.close()
            raise ValueError(
                f"cannot lock {path}: {error.strerror}; choose a run folder on another disk (RUN)"
            ) from None


def _facts(state):
    try:
        return json.loads((state / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _holder(state):
    facts = _facts(state)
    if not facts:
        return "another process works there"
    return f"process {facts['pid']} has worked there since {facts['since']} ({facts['command']})"
