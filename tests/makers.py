"""What several tests make: clips of noise, clip scores as the notebooks write them, small notebooks, a full disk."""

import os
import re
import resource
import subprocess
import sys
from contextlib import contextmanager

import nbformat
import numpy as np
import pandas as pd
import soundfile

from lib import paths
from lib.systems import SYSTEMS

RATE = 16000


def write_noise(path, seconds=1.0, seed=0, rate=RATE, level=0.1, channels=1):
    """Write a clip of white noise; returns its int16 samples, (n,) or (n, channels)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels)).squeeze() * level
    samples = np.clip(noise * 32768, -32768, 32767).astype(np.int16)
    soundfile.write(path, samples, rate)
    return samples


def batch(*arguments):
    """Run lib.batch in its own process; returns (exit status, what it printed)."""
    command = [sys.executable, "-m", "lib.batch", "--cores", "2", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(paths.PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.PROJECT.parent, env=environment)
    return done.returncode, done.stdout + done.stderr


DETECTORS = (("GMM-1", "source"), ("GMM-1", "source+target"), ("KNN-1", "source"), ("KNN-1", "source+target"))
LACKING = ("Serial-OE", "OE-DFlow", "SerialOE-Flow", "SerialOE-DFlow")  # of a machine without attributes


def long_form(clips, values, machine="fan", system="OE", detector="KNN-1", fit_set="source", aggregator="plain", parameter="all", seed=0):  # fmt: skip
    """Scores of one detector as the notebooks write them; `clips` has part, clip, domain, label."""
    facts = dict(machine=machine, system=system, parameter=parameter, seed=seed, detector=detector, fit_set=fit_set)
    return clips.assign(**facts, aggregator=aggregator, score=values, mean=0.0, deviation=1.0, standardized=values)


def clip_table(test=15, calibration=12):
    """`test` clips a domain and label, and calibration clips."""
    rows = [
        ("test", f"{d}_{x}_{i:02d}", d, x)
        for d in ("source", "target")
        for x in ("normal", "anomaly")
        for i in range(test)
    ]
    rows += [("calibration", f"train_{i:02d}", "source", "normal") for i in range(calibration)]
    return pd.DataFrame(rows, columns=["part", "clip", "domain", "label"])


def made(machines=("fan", "ToyCar"), systems=("OE",), seeds=(0,), lacking=None, shift=1.5, **size):
    """A run in which anomalies score `shift` deviations higher."""
    clips, rng, tables_ = clip_table(**size), np.random.default_rng(0), []
    for machine in machines:
        for system in [s for s in systems if s not in (lacking or {}).get(machine, ())]:
            known = SYSTEMS.get(system)
            detectors = DETECTORS if known and known.families else ()
            if known is None:
                detectors += ((re.sub(r"Baseline \((.*)\)", r"\1", system), ""),)
            elif "flow" in known.detectors:
                detectors += (("flow", ""),)
            for seed in seeds:
                for detector, fit_set in detectors:
                    for aggregator in ("plain", "weighted") if known else ("plain",):
                        values = rng.normal(0, 1, len(clips)) + shift * (clips["label"] == "anomaly")
                        tables_.append(
                            long_form(clips, values, machine, system, detector, fit_set, aggregator, "all", seed)
                        )
    return pd.concat(tables_, ignore_index=True)


def write_bytes(path, content):
    """Write a small file, its folder too; for tests that read names alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_notebook(path, *sources):
    """A notebook of these code cells, the first its parameters; returns `path`."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@contextmanager
def at_most(size):
    """No file may grow beyond `size` bytes within the block: what a full disk does, without one."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
