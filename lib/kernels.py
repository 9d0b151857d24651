"""How a notebook is executed: the kernel is the interpreter that runs this, and its sockets lie in a private folder.

Jupyter's own way looks a kernel up by name, where a user's kernelspec `python3` wins over the environment's, and gives
it TCP ports that were free a second earlier, which of hundreds of kernels two will share.
"""

import os
import signal
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.execute import execute_notebook
from papermill.iorw import LocalHandler, papermill_io
from papermill.log import logger

from lib import homes, paths, warm

STARTS = 3  # a kernel that dies before its first cell is started again, at most twice
PATIENCE = 300  # seconds until a kernel that lives must answer: libraries on a network drive take minutes to import
COMMAND = [sys.executable, "-m", "lib.warm", "ipykernel_launcher", "-f", "{connection_file}"]
ARGUMENTS = [
    "--IPKernelApp.log_level=50",  # a kernel warns of its own loopback ports at every start
    "--IPKernelApp.extra_extensions=lib.step_clock",  # counts where the seconds of a run's step go
    "--InlineBackend.print_figure_kwargs={'bbox_inches': None}",  # figures fit: to crop them is to draw them twice
]


class KernelDied(RuntimeError):
    """The process that executes the cells has ended by itself, or never answered."""


def execute(notebook: Path, executed: Path, parameters: dict) -> None:
    """Execute `notebook` into `executed`, which is kept up to date after every cell.

    Args:
        notebook: with a `parameters` cell. executed: where the copy goes. parameters: of that cell, checked.

    Raises:
        PapermillExecutionError: a cell failed. KernelDied: its kernel did. OSError: the copy cannot be written.
    """
    papermill_engines.register("own", _Engine)
    papermill_io.register(str(executed), _WholeNotebook())
    doubled = str.maketrans({"{": "{{", "}": "}}"})  # papermill fills parameters into the names that it is given
    execute_notebook(
        str(notebook).translate(doubled),
        str(executed).translate(doubled),
        parameters,
        engine_name="own",
        kernel_name="python3",
        language="python",
        progress_bar=False,
        log_output=True,
    )


class OwnKernel(AsyncKernelManager):
    """A kernel of the interpreter that runs this, whatever kernelspecs, JUPYTER_PATH and IPython's profiles say."""

    def __init__(self, folder: Path, transport: str):
        address = {"ip": str(folder / "k")} if transport == "ipc" else {}
        super().__init__(transport=transport, connection_file=str(folder / "kernel.json"), **address)
        self.folder = folder
        self.kernel_id = str(uuid.uuid4())
        self.provisioner = LocalProvisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
        self.process = None

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=COMMAND, display_name="Python 3", language="python")

    async def _async_launch_kernel(self, command, **options):
        options["env"] |= {
            "IPYTHONDIR": str(self.folder / "ipython"),  # no start-up files, and a history that no other kernel locks
            "MPLBACKEND": warm.INLINE,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(paths.PROJECT), os.environ.get("PYTHONPATH")])),
            "TQDM_DISABLE": "1",  # epoch lines are logged; bars are for JupyterLab
        }
        options["env"].pop("PYTHONSTARTUP", None)
        with open(self.folder / "stderr", "wb") as stderr:
            await super()._async_launch_kernel(command, stderr=stderr, **options)
        self.process = self.provisioner.process

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def last_words(self, lines: int = 5) -> str:
        """How its process ended, the last line that it wrote to stderr, and below it those before."""
        status = self.process.poll() if self.process else None
        if status is None:
            return f"does not answer within {PATIENCE} s"
        how = f"ended with exit status {status}"
        if status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
            how += ": most often memory ran out, so fewer CORES or a smaller batch" if status == -9 else ""
        text = (self.folder / "stderr").read_text(encoding="utf-8", errors="replace")
        *before, last = [how, *[line for line in text.splitlines() if line.strip()][-lines:]]
        return "\n  ".join([f"{how}: {last}" if before else how, *before[1:]])


class _Client(PapermillNotebookClient):
    """Executes the cells in an `OwnKernel`."""

    @contextmanager
    def setup_kernel(self, **_):
        for left in reversed(range(STARTS)):
            with homes.private_folder() as (folder, transport):
                self.km = kernel = OwnKernel(folder, transport)
                try:
                    if self._answers(kernel, left):
                        yield
                        return
                except DeadKernelError as error:
                    raise KernelDied(f"the kernel {sys.executable} {kernel.last_words()}") from error
                finally:
                    self.km = kernel  # nbclient forgets it when a start has failed
                    self._cleanup_kernel()

    def _answers(self, kernel, left):
        """Start the kernel; False when it died and there are starts left."""
        try:
            self.start_new_kernel()
            self.start_new_kernel_client()
            return True
        except RuntimeError as error:
            if kernel.ended() and left:
                print(f"the kernel {kernel.last_words(1)}; started again", file=sys.stderr)
                return False
            raise KernelDied(f"the kernel {sys.executable} {kernel.last_words()}") from error
        except OSError as error:
            raise OSError(
                f"cannot start {sys.executable} as a kernel in {kernel.folder}: {error.strerror or error}; free space "
                "there or name another folder by TMPDIR"
            ) from error


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, log_output=False, **_):
        _Client(
            nb_man,
            kernel_name=kernel_name,
            startup_timeout=PATIENCE,
            shutdown_kernel="immediate",  # nothing is left to do in it, and a graceful end takes a second
            extra_arguments=list(ARGUMENTS),
            log=logger,
            log_output=log_output,
        ).execute()


class _WholeNotebook(LocalHandler):
    """Writes the executed copy whole or not at all: a full disk leaves it as it was after the cell before."""

    def write(self, buf, path):
        with paths.whole_file(path, sync=False) as temporary:  # a name that is no UTF-8 may stand in the outputs
            temporary.write_text(buf, encoding="utf-8", errors="backslashreplace")
