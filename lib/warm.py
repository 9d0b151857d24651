"""Imports paid once a run, not once a notebook: a process that has them forks every job and kernel of the run.

python -m lib.warm MODULE … runs a module as `python -m` does: in a fork of the warm process where the run has one, else
here. The process that was started so stands for the fork: signals go on to it, it ends as the fork ended, and the fork
ends when it is gone. A crash takes down one fork. Of `lib` hardly anything is imported before the fork, so that it runs
the code that lies there now.
"""

import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lib import homes

SOCKET = "ASD_WARM"  # environment variable: where the warm process of the run listens
LIBRARIES = (  # what notebooks, kernels and papermill import; one that is missing is left to who needs it
    "torch", "torch._dynamo", "lib.network.torchvision_pair", "nflows.transforms", "numpy", "scipy.signal",
    "scipy.stats", "pandas", "pyarrow.parquet", "sklearn.mixture", "sklearn.neighbors", "sklearn.manifold",
    "sklearn.decomposition", "sklearn.covariance", "matplotlib.pyplot", "matplotlib.backends.backend_pdf", "seaborn",
    "fontTools.subset", "librosa.filters", "librosa.core.audio", "librosa.core.spectrum", "soundfile", "soxr",
    "pydantic", "yaml", "safetensors.torch", "tqdm", "psutil", "threadpoolctl", "IPython", "ipykernel.kernelapp",
    "papermill", "nbclient",
)  # fmt: skip
INLINE = "module://matplotlib_inline.backend_inline"
ENVIRONMENT = {  # while it imports: no library starts a thread; figures are shown in the notebook that draws them
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false", "MPLBACKEND": INLINE,
}  # fmt: skip
SERVER = (sys.executable, "-m", "lib.warm")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 2.0  # s between SIGTERM and SIGKILL for a fork whose process is gone
PATIENCE = 10.0  # s for a request to arrive whole
DEATH = 1  # PR_SET_PDEATHSIG of prctl


@contextmanager
def process(command: Sequence[str] = SERVER) -> Iterator[dict[str, str]]:
    """A warm process; yields what to add to the environment of what shall use it.

    Without Linux, whose forks are safe, or a place for sockets there is none. `command` starts it.
    """
    with homes.private_folder() as (folder, transport):
        if transport != "ipc" or not sys.platform.startswith("linux"):
            yield {}
            return
        place = str(folder / "warm")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(place)
            listener.listen(64)
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | ENVIRONMENT
            started = subprocess.Popen(
                [*command, f"--serve={listener.fileno()}", str(os.getpid())],
                pass_fds=[listener.fileno()],
                env=environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            yield {SOCKET: place}
        finally:
            started.terminate()  # its forks end with it
            started.wait()


@dataclass
class Fork:
    """A child of the warm process, and the connection to the process that stands for it."""

    pid: int
    connection: socket.socket
    kill_at: float = float("inf")


class Server:
    """The warm process: one thread, that waits for requests, ended forks and lost connections."""

    def __init__(self, listener: socket.socket):
        self.listener, self.forks = listener, []
        self.selector = selectors.DefaultSelector()
        self.woken, waker = socket.socketpair()
        self.woken.setblocking(False)
        waker.setblocking(False)
        self.waker = waker
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self.selector.register(listener, selectors.EVENT_READ)
        self.selector.register(self.woken, selectors.EVENT_READ)

    def serve(self) -> dict:
        """Serve until the process is ended; returns, in each fork, the request that it is to carry out."""
        while True:
            due = min((fork.kill_at for fork in self.forks), default=float("inf")) - time.monotonic()
            for key, _ in self.selector.select(None if due == float("inf") else max(due, 0)):
                if key.fileobj is self.listener:
                    if (request := self._fork()) is not None:
                        return request
                elif key.fileobj is self.woken:
                    with suppress(BlockingIOError):
                        self.woken.recv(4096)
                else:
                    self._hear(key.data)
            self._reap()
            for fork in self.forks:
                if time.monotonic() >= fork.kill_at:
                    os.kill(fork.pid, signal.SIGKILL)

    def _fork(self):
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        files = []
        try:
            request, files = _receive(connection)
            own, pid = os.getpid(), os.fork()
        except (OSError, ValueError):  # who asked has gone, or there is no room for a process more
            with suppress(OSError):
                connection.sendall(b"null")
            connection.close()
            for file in files:
                os.close(file)
            return None
        if not pid:
            self._become(request, files, connection)
            end_with(own)
            return request
        for file in files:
            os.close(file)
        fork = Fork(pid, connection)
        self.forks.append(fork)
        self.selector.register(connection, selectors.EVENT_READ, fork)
        return None

    def _become(self, request, files, connection):
        """Make the fork what a process that was started by itself would be."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.selector.close()
        for other in (self.listener, self.woken, self.waker, connection, *(fork.connection for fork in self.forks)):
            other.close()
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.path[:], sys.argv = request["path"], [request["module"], *request["arguments"]]

    def _hear(self, fork):
        """Pass a signal on; end a fork whose process is gone."""
        try:
            said = fork.connection.recv(64)
        except OSError:
            said = b""
        for number in said:
            with suppress(ProcessLookupError):
                os.kill(fork.pid, number)
        if not said:
            self.selector.unregister(fork.connection)
            with suppress(ProcessLookupError):
                os.kill(fork.pid, signal.SIGTERM)
            fork.kill_at = time.monotonic() + GRACE

    def _reap(self):
        for fork in list(self.forks):
            pid, status = os.waitpid(fork.pid, os.WNOHANG)
            if not pid:
                continue
            self.forks.remove(fork)
            with suppress(KeyError, ValueError):
                self.selector.unregister(fork.connection)
            with suppress(OSError):
                fork.connection.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            fork.connection.close()


def warm_up() -> None:
    """Import `LIBRARIES`; starts no thread, which a fork would lack."""
    import gc

    for name in LIBRARIES:
        with suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def end_with(parent: int) -> None:
    """Get SIGTERM when the process that started this one, of that id, is gone, however and whenever it went."""
    ctypes.CDLL(None, use_errno=True).prctl(DEATH, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def ask(place: str, module: str, arguments: list[str]) -> int | None:
    """Have the module run in a fork of the warm process at `place`.

    Returns:
        Its exit status, −n where signal n ended it; None where no warm process listens, or it cannot fork.
    """
    connection = socket.socket(socket.AF_UNIX)
    request = {"module": module, "arguments": arguments, "folder": os.getcwd(), "path": sys.path}
    request["environment"] = dict(os.environ)
    try:
        connection.connect(place)
        content = json.dumps(request).encode("utf-8", "surrogateescape")
        socket.send_fds(connection, [len(content).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(content)
    except OSError:
        return None
    for number in PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
    said = b"".join(iter(lambda: connection.recv(64), b""))
    if not said:
        print("the process that it was forked from has ended", file=sys.stderr)
    return json.loads(said) if said else 1


def _receive(connection):
    """(request, [stdin, stdout, stderr]) of `ask`."""
    size, files, _, _ = socket.recv_fds(connection, 8, 3)
    parts, left = [], int.from_bytes(size, "big")
    while left:
        parts.append(connection.recv(left))
        if not parts[-1]:
            raise ValueError("the request ends early")
        left -= len(parts[-1])
    return json.loads(b"".join(parts).decode("utf-8", "surrogateescape")), files


def main() -> None:
    """Command line."""
    module, *arguments = sys.argv[1:]
    if module.startswith("--serve="):
        end_with(int(arguments[0]))
        warm_up()
        request = Server(socket.socket(fileno=int(module.partition("=")[2]))).serve()
        module, arguments = request["module"], request["arguments"]
    elif place := os.environ.get(SOCKET):
        status = ask(place, module, arguments)
        if status is not None and status < 0:
            signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
            os.kill(os.getpid(), -status)
        if status is not None:
            sys.exit(status)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
