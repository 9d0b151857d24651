"""Runs whose notebooks are made up: Snakemake, locks and console are the real ones, a notebook takes half a second."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from lib import paths  # no more: every job imports it

JOB = """#!{python}
import os, sys, time
sys.argv = sys.argv[3:]
sys.path.insert(0, {tests!r})
from lib import job
import fakes
job._execute = fakes.execute
sys.exit(job.main())
"""
BATCH = "import sys; from lib import batch, graph; graph.PYTHON = sys.argv.pop(1); sys.exit(batch.main())"
MODEL = ("model.safetensors", "model.json", "history.csv")
OUTPUTS = {
    "02_autoencoder_baseline": (*MODEL, "scores.parquet"),
    "03_oe_training": (*MODEL, "embeddings.npz"),
    "04_joint_flow_training": (*MODEL, "embeddings.npz", "flow_scores.parquet"),
    "05_inlier_fitting": ("detectors.npz", "detectors.json", "detector_scores.parquet"),
}


def execute(notebook, executed, pairs):
    """In place of `lib.job._execute`: writes what the notebook would leave; FAKE says what else it does."""
    given = dict(pair.partition("=")[::2] for pair in pairs)
    run, wish = paths.Run(Path(given["run_dir"])), json.loads(os.environ.get("FAKE", "{}"))
    if wish.get("kernel") == notebook:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)  # as a kernel is
        paths.write_text(run.root / f"kernel-{child.pid}", "")
        time.sleep(600)
    time.sleep(wish.get("seconds", 0))
    if wish.get("kill") == notebook:
        os.kill(os.getpid(), signal.SIGKILL)
    if wish.get("fail", "none") in (notebook, given.get("machine")):
        return 1, "ValueError: the recordings are odd; make them even\n  executed copy: x"
    trained = run.trained(
        given.get("machine", ""), given.get("system", "Baseline"), given.get("parameter", "all"), given.get("seed")
    )
    for name in OUTPUTS.get(notebook, ()):
        paths.write_text(trained / name, str(time.time_ns()))
    if notebook == "report":
        paths.write_text(run.report / "index.html", run.failures.read_text() if run.failures.exists() else "")
    if notebook == "01_data_audit":
        paths.write_text(run.machine(given["machine"]) / "audit.csv", "")
    if notebook == "06_ensemble_and_tables":
        held = sorted(str(path.relative_to(run.root)) for path in run.scores())
        paths.write_text(
            run.tables / "evaluation.csv", json.dumps(given | {"held": held, "threads": os.environ["OMP_NUM_THREADS"]})
        )
    return 0, ""


def interpreter(folder: Path) -> Path:
    """An executable that stands for Python in a run's jobs."""
    path = folder / "python"
    path.write_text(JOB.format(python=sys.executable, tests=str(Path(__file__).parent)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def command(folder: Path, *arguments) -> list[str]:
    """The command line of a `lib.batch` with made-up notebooks in a process of its own."""
    return [sys.executable, "-c", BATCH, str(interpreter(folder)), "--cores", "2", *map(str, arguments)]


def environment(**wish) -> dict:
    """Of such a command; `wish` as `execute` reads it."""
    return os.environ | {"PYTHONPATH": str(paths.PROJECT), "FAKE": json.dumps(wish)}
