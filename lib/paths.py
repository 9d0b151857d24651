"""Where every file of a run lives: the one place that builds a path."""

import hashlib
import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PRESETS = PROJECT / "workflow" / "presets"
NOTEBOOKS = PROJECT / "notebooks"
OUTPUTS = PROJECT / "outputs"


@dataclass(frozen=True)
class Run:
    """Paths of one run: outputs/<run>/<machine>/<system>/<parameter or all>/seed<k>/…"""

    root: Path

    def machine(self, machine):
        return self.root / machine

    def trained(self, machine, system, parameter="all", seed=0):
        """Folder of one trained system: model, history, embeddings, detectors and scores."""
        return self.root / machine / system / parameter / f"seed{seed}"

    def scores(self):
        """All clip scores that the run holds so far: scores (02), flow_scores (04) and detector_scores (05)."""
        return sorted(self.root.glob("*/*/*/seed*/*scores.parquet"))

    def notebook(self, name, machine=None, trained=None):
        """Executed notebook; `trained` is (system, parameter, seed)."""
        parts = [machine] if machine else []
        stem = "-".join([name, *map(str, trained)]) if trained else name
        return self.root.joinpath("notebooks", *parts, f"{stem}.ipynb")

    def submission(self, team, system, kind, machine, section):
        """A challenge file; `kind` is of `submission.KINDS`, the folder the system's name in safe letters."""
        folder = re.sub(r"[^A-Za-z0-9-]+", "_", system).strip("_")
        return self.root / "teams" / team / folder / f"{kind}_{machine}_section_{section}_test.csv"

    @property
    def tables(self):
        return self.root / "tables"

    @property
    def refusals(self):
        """Which submission files could not be written, and why; there only when some could not."""
        return self.tables / "refused_submissions.txt"

    @property
    def figures(self):
        return self.root / "figures"


def run_folder(run_dir, preset):
    """The `Run` that a notebook's parameters name; an empty `run_dir` is outputs/<preset>."""
    return Run(Path(run_dir).expanduser().resolve() if run_dir else OUTPUTS / Path(preset).stem)


def data_folder(data_root, preset):
    """The data root that a notebook's parameters name; empty is the demo data of the preset."""
    return Path(data_root).expanduser().resolve() if data_root else OUTPUTS / "demo_data" / Path(preset).stem


def bank_folder(run, data_root, sample_rate, channel):
    """Folder of the decoded clips, shared by the runs that stand beside each other and read the same root."""
    root = Path(data_root).resolve()
    key = hashlib.sha256(f"{root}|{sample_rate}|{channel}".encode()).hexdigest()[:8]
    return run.root.parent / "banks" / f"{root.name}-{key}"


@contextmanager
def readable(path, mend):
    """Turn any failure to read `path` within the block into a ValueError that names it and the mend."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: cannot be read ({reason}); {mend}") from error


@contextmanager
def whole_file(path, sync=True):
    """Yield a temporary path beside `path` that takes its place when the block ends well: all of it or nothing.

    Args:
        path: file to write; its folder is made.
        sync: whether to wait until the disk has it; False for what can be made again.

    Raises:
        OSError: the folder cannot be written to or the disk is full; the message names the file.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        os.chmod(temporary, 0o644)
        yield Path(temporary)
        if sync:
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror or error}; free or unlock the folder and run again"
        ) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def write_text(path, text):
    """Write `text` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
