"""Where every file of a run lives: the one place that builds a path."""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib import clock

if TYPE_CHECKING:
    import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
PRESETS = PROJECT / "workflow" / "presets"
PROFILES = PROJECT / "workflow" / "profiles"
NOTEBOOKS = PROJECT / "notebooks"
OUTPUTS = PROJECT / "outputs"
DATA = PROJECT / "data"  # where the real recordings go by themselves
ANOTHER = "choose another run folder (RUN)"
MENDS = {  # of a failed write
    errno.ENOSPC: f"free space there or {ANOTHER}",
    errno.EDQUOT: f"your quota is used up: delete files of yours there or {ANOTHER}",
    errno.EROFS: f"the disk can only be read: {ANOTHER}",
    errno.EACCES: f"get the right to write there or {ANOTHER}",
    errno.EPERM: f"get the right to write there or {ANOTHER}",
    errno.ENAMETOOLONG: "choose a run folder with a shorter path (RUN)",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: f"look after that disk or {ANOTHER}",
}


@dataclass(frozen=True)
class Run:
    """Paths of one run: outputs/<run>/<machine>/<system>/<parameter or all>/seed<k>/…"""

    root: Path

    def machine(self, machine: str) -> Path:
        return self.root / machine

    def trained(self, machine: str, system: str, parameter: str = "all", seed: int = 0) -> Path:
        """Folder of one trained system: model, history, embeddings, detectors and scores."""
        return self.root / machine / system / parameter / f"seed{seed}"

    def common(self, system: str, seed: int = 0) -> Path:
        """Folder of a system that is trained once for all machines: its model, and every machine's embeddings."""
        return self.root / "shared" / system / f"seed{seed}"

    def embeddings(self, machine: str, system: str, parameter: str, seed: int, of_all: bool = False) -> Path:
        """File of a machine's embeddings; `of_all`: by a system that is trained once for all machines."""
        if of_all:
            return self.common(system, seed) / f"{machine}.npz"
        return self.trained(machine, system, parameter, seed) / "embeddings.npz"

    def scores(self) -> list[Path]:
        """All clip scores that the run holds so far: scores (02), flow_scores (04) and detector_scores (05)."""
        return sorted(self.root.glob("*/*/*/seed*/*scores.parquet"))

    def notebook(self, name: str, machine: str | None = None, trained: Sequence | None = None) -> Path:
        """Executed notebook; `trained` is (system, parameter, seed)."""
        parts = [machine] if machine else []
        stem = "-".join([name, *map(str, trained)]) if trained else name
        return self.root.joinpath("notebooks", *parts, f"{stem}.ipynb")

    def clock(self, name: str, machine: str | None = None, trained: Sequence | None = None) -> Path:
        """Where the seconds of an executed notebook went, beside it; arguments as `notebook`."""
        return self.notebook(name, machine, trained).with_suffix(".clock.json")

    def executed(self) -> list[Path]:
        """Every executed notebook."""
        return sorted((self.root / "notebooks").rglob("*.ipynb"))

    def clocks(self) -> list[Path]:
        """The clock of every step that kept one."""
        return sorted((self.root / "notebooks").rglob("*.clock.json"))

    def step(self, path: Path) -> str:
        """The name of a step, of its executed notebook or its clock: `fan/03_oe_training-OE-all-seed0`."""
        name = path.relative_to(self.root / "notebooks").as_posix()
        name = name.removesuffix(".ipynb").removesuffix(".clock.json")
        return name.encode("utf-8", "backslashreplace").decode()  # a name in no encoding fits into no table

    def submission(self, team: str, system: str, kind: str, machine: str, section: str) -> Path:
        """A challenge file; `kind` is of `submission.KINDS`, the folder the system's name in safe letters."""
        folder = re.sub(r"[^A-Za-z0-9-]+", "_", system).strip("_")
        return self.root / "teams" / team / folder / f"{kind}_{machine}_section_{section}_test.csv"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def refusals(self) -> Path:
        """Which submission files could not be written, and why; there only when some could not."""
        return self.tables / "refused_submissions.txt"

    @property
    def state(self) -> Path:
        """What Snakemake and the locks keep between two calls: of this run alone."""
        return self.root / ".snakemake"

    @property
    def log(self) -> Path:
        """All that the last call's machinery printed."""
        return self.root / "run.log"

    @property
    def failures(self) -> Path:
        """A line for each notebook of the last call that failed; there only when some did."""
        return self.root / "failed.txt"

    @property
    def problems(self) -> Path:
        """All that is wrong with the recordings, also of machines that are only heard by others."""
        return self.root / "problems.csv"

    @property
    def figures(self) -> Path:
        return self.root / "figures"

    @property
    def report(self) -> Path:
        """The run as a folder of pages, `index.html` first."""
        return self.root / "report"


@dataclass(frozen=True)
class Downloads:
    """Paths of the real data under a data root; what a download keeps is hidden, so that no reader looks at it."""

    root: Path

    def machine(self, subset: str, machine: str) -> Path:
        """Folder of a machine's clips; `subset` is dev or eval."""
        return self.root / f"{subset}_data" / "raw" / machine

    @property
    def state(self) -> Path:
        return self.root / ".download"

    def archive(self, name: str) -> Path:
        """A zip; beside it lies what has come of it so far, `part`."""
        return self.state / name

    def part(self, name: str) -> Path:
        return self.state / f"{name}.part"

    def listing(self, record: int) -> Path:
        """What the server last listed of a record."""
        return self.state / f"{record}.json"

    def unpacked(self, name: str) -> Path:
        """What was unpacked from a zip: its md5 and the files."""
        return self.state / f"{name}.json"


def run_folder(run_dir: str, preset: str) -> Run:
    """The `Run` that a notebook's parameters name; an empty `run_dir` is outputs/<preset>."""
    return Run(Path(run_dir).expanduser().resolve() if run_dir else OUTPUTS / Path(preset).stem)


def data_folder(data_root: str, preset: str) -> Path:
    """The data root that a notebook's parameters name; empty is the demo data of the preset."""
    return Path(data_root).expanduser().resolve() if data_root else OUTPUTS / "demo_data" / Path(preset).stem


def bank_folder(run: Run, data_root: str | Path, sample_rate: int, channel: int | None) -> Path:
    """Folder of the decoded clips, shared by the runs that stand beside each other and read the same root."""
    root = Path(data_root).resolve()
    key = hashlib.sha256(f"{root}|{sample_rate}|{channel}".encode()).hexdigest()[:8]
    return run.root.parent / "banks" / f"{root.name}-{key}"


def shown(path: str | Path) -> Path:
    """A path as a command would name it from the project's folder: relative where it lies in it."""
    path = Path(path)
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


@contextmanager
def readable(path: str | Path, mend: str) -> Iterator[None]:
    """Turn any failure to read `path` within the block into a ValueError that names it and the mend."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: cannot be read ({reason}); {mend}") from error


@contextmanager
def whole_file(path: str | os.PathLike, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well: all of it or nothing.

    Args:
        path: file to write; its folder is made. It gets the modes of the user's umask, whoever writes it.
        sync: whether to wait until the disk has it; False for what can be made again.

    Raises:
        OSError: the folder cannot be written to or the disk is full; the message names the file, the cause, the mend.
    """
    path = Path(path)
    stem = path.stem.encode()[:100].decode(errors="ignore")
    temporary = path.with_name(f".{stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
        yield temporary
        if temporary.stat().st_mode & 0o777 != mode:  # a library has made the file anew
            temporary.chmod(mode)
        if sync:
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if (failure := write_failure(path, error)) is None:
            raise
        raise failure from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_failure(path: Path, error: Exception) -> OSError | None:
    """The error that names `path`, the cause and the mend, where `error` is a failed write there; else None.

    >>> print(write_failure(Path("a/b.csv"), OSError(errno.EROFS, "Read-only file system")))
    cannot write a/b.csv: Read-only file system; the disk can only be read: choose another run folder (RUN)
    """
    number, folder = getattr(error, "errno", None), path.absolute().parent
    cause, mend = os.strerror(number) if number else str(error), MENDS.get(number, ANOTHER)
    if isinstance(error, OSError):
        named = Path(error.filename).absolute() if isinstance(error.filename, str | os.PathLike) else folder
        if not (named.is_relative_to(folder) or folder.is_relative_to(named)):
            return None  # another file, which was read
    elif found := re.search(r"(?:os error|[Ee]rrno) (\d+)", str(error)):  # safetensors, pyarrow
        number = int(found[1])
        cause, mend = os.strerror(number), MENDS.get(number, ANOTHER)
    elif re.search("PytorchStreamWriter|inline_container|iostream", str(error)):
        cause, mend = "torch could not write all of it", MENDS[errno.ENOSPC]
    else:
        return None
    failure = OSError(f"cannot write {path}: {cause}; {mend}")
    failure.errno = number
    return failure


@clock.counts("writing")
def write_csv(path: str | os.PathLike, table: "pd.DataFrame") -> None:
    """Write a table without its index, whole or not at all, and never all of its text in memory."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


@clock.counts("writing")
def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
