"""Time and memory as the work grows: machines, clips; what a trained system takes on the disk.

Rates are of CPU seconds of one thread. Of what should be small the rate is its inverse; the floor is what is wanted.
"""

import contextlib
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lib.detection import score_files
from lib.paths import NOTEBOOKS, Run
from lib.recordings.clips import ClipBank
from lib.recordings.plan import Plan
from lib.settings import Settings, load_settings
from lib.systems import BASELINE, BASELINES, SHARED, SPECTRA, SPECTRUM, SYSTEMS
from workflow.bench.entry import Entry
from workflow.bench.made import alone, small_root

MACHINES, CLIPS, SEEDS = (7, 100, 1000), (100, 1000, 10_000), (0, 1, 2, 3)
TWELVE = "base: quick\nsystems: [OE, Serial-OE, OE-Flow, SerialOE-Flow]\n"  # 4 systems, 2 baselines, 5 spectra, Shared
PARTS = ("GMM-1", "KNN-1"), ("source", "pseudo_target", "source+target")
SECONDS, LARGEST = 120.0, 25.0  # of planning 1000 machines; MB of a trained system


def planning(machines: tuple[int, ...] = MACHINES) -> Iterator[Entry]:
    """A dry run of all systems; and how often a folder is listed."""
    for count in machines:
        with tempfile.TemporaryDirectory() as folder:
            root = small_root(Path(folder) / "data", count)
            alone(_bank, folder, root)  # is not planning
            (jobs, listed), seconds, peak = alone(_plan, folder, root)
        goal = 1 if count == 1000 else None
        size = f"{count} machines, {jobs} notebooks"
        yield Entry("planning", size, count / seconds, "machines/s", 1000 / SECONDS, "1000 machines in 2 minutes",
                    goal=goal)  # fmt: skip
        yield Entry("planning, memory", size, 1 / peak, "1/GiB", 1 / 4, "4 GiB", goal=goal)
        yield Entry("planning, listings of a folder", size, 1 / listed, "1/listing", 1.0, "one", goal=goal)


def _bank(folder, root):
    ClipBank.open(Run(Path(folder) / "outputs" / "run"), root, Settings().data)


def _plan(folder, root):
    """(notebooks, most listings of one folder) of a dry run."""
    from lib import graph, summary

    listed, scandir = Counter(), os.scandir

    def counting(path="."):
        listed[str(path)] += str(path).startswith(str(root))
        return scandir(path)

    os.scandir = counting
    run = Run(Path(folder) / "outputs" / "run")
    run.state.mkdir(parents=True, exist_ok=True)
    planned = graph.Graph.of(run, load_settings("quick"), "quick", str(root), "", [0], 2, "")
    list(summary.first_lines(planned))
    return len(planned.to_run()), max(listed.values())


def tables(machines: tuple[int, ...] = MACHINES) -> Iterator[Entry]:
    """06 over twelve rows and four seeds."""
    for count in machines:
        with tempfile.TemporaryDirectory() as folder:
            root = small_root(Path(folder) / "data", count)
            alone(write_scores, folder, root)
            _, seconds, peak = alone(make_tables, folder, root)
        size, goal = f"{count} machines × 12 rows × 4 seeds", 1 if count == 1000 else None
        yield Entry("tables", size, count / seconds, "machines/s", 1000 / 300, "1000 machines in 5 minutes", goal=goal)
        yield Entry("tables, memory", size, 1 / peak, "1/GiB", 1 / 2, "2 GiB", goal=goal)


def _twelve(folder):
    preset = Path(folder) / "twelve.yaml"
    preset.write_text(TWELVE)
    return preset, Run(Path(folder) / "outputs" / "run")


def write_scores(folder: str, root: Path) -> None:
    """Every file of scores that 06 reads, of made numbers."""
    preset, run = _twelve(folder)
    settings, rng = load_settings(str(preset)), np.random.default_rng(0)
    bank = ClipBank.open(run, root, settings.data)
    for path, made in Plan.of(bank, settings, (), SEEDS).score_files(run).items():
        own, found = bank.of(made.machine), []
        clips = {"part": own["split"].replace("train", "calibration"), "clip": own["stem"]}
        clips = pd.DataFrame(clips | {name: own[name] for name in ("domain", "label")})
        for system, detector, fit_set, aggregator in _detectors(made.system, path.name):
            values = rng.standard_normal(len(own)) + (own["label"] == "anomaly")
            facts = made._asdict() | {"system": system, "detector": detector, "fit_set": fit_set}
            found.append(clips.assign(**facts, aggregator=aggregator, score=values, mean=0.0, deviation=1.0,
                                      standardized=values))  # fmt: skip
        made_with = score_files.expected_provenance(path.name, made, settings, bank)
        score_files.write_scores(pd.concat(found, ignore_index=True), path, made_with)


def _detectors(system, name):
    if system in (BASELINE, SPECTRUM):
        return [
            (row, row.partition("(")[2][:-1], "", "plain") for row in (BASELINES if system == BASELINE else SPECTRA)
        ]
    each = [(detector, fit_set) for detector in PARTS[0] for fit_set in PARTS[1]]
    each = [("flow", "")] if name == score_files.FLOW else [("cosine-1", "train")] if system == SHARED else each
    return [(system, *names, aggregator) for names in each for aggregator in ("plain", "weighted")]


def make_tables(folder: str, root: Path) -> None:
    """The code cells of 06, in this process."""
    preset, run = _twelve(folder)
    seeds = " ".join(map(str, SEEDS))
    given = {"preset": str(preset), "data_root": str(root), "run_dir": str(run.root), "seeds": seeds}
    names = {}
    for cell in json.loads((NOTEBOOKS / "06_ensemble_and_tables.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            with contextlib.redirect_stdout(io.StringIO()):
                exec("".join(cell["source"]), names)
            names |= given if "parameters" in cell["metadata"].get("tags", ()) else {}


def clips(counts: tuple[int, ...] = CLIPS) -> Iterator[Entry]:
    """Clips of one machine in the bank, and the memory of a process that trains on them."""
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            root = small_root(Path(folder) / "data", 2, count, seconds=1.0)
            _, seconds, _ = alone(_bank, folder, root)
            _, _, peak = alone(train, folder, root)
        yield Entry("bank", f"{2 * count} clips of 1 s", 2 * count / seconds, "clips/s")
        goal = 1 if count == max(CLIPS) else None
        yield Entry("training, memory", f"{2 * count} clips of 1 s", 1 / peak, "1/GiB", 1 / 4, "4 GiB", goal=goal)


def train(folder: str, root: Path) -> None:
    """One step of OE-Flow at quick's size, from the bank to the optimizer."""
    from lib.network import training
    from lib.network.system_training import SystemTraining

    run = str(Path(folder) / "outputs" / "run")
    which = {"system": "OE-Flow", "parameter": "all", "seed": 0}
    given = SystemTraining.open("04_joint_flow_training", "machine0000", "quick", str(root), run, **which)
    made = training.Trainer(given)
    batch = made.batches.draw(0)
    inputs = batch.spectrograms(made.samples, made.mel, made.batches.segment)
    training.optimizer_step(made.model, batch, inputs, made.weights, made.precision, made.optimizer)


def outputs() -> Iterator[Entry]:
    """Megabytes of the network of each system, as a training leaves it."""
    for name in SYSTEMS:
        size = alone(model_bytes, name).result / 1e6
        yield Entry("trained network", name, 1 / size, "1/MB", 1 / LARGEST, "25 MB", goal=1)


def model_bytes(system: str) -> int:
    """Of a new model's file; a trained one has as many weights."""
    import torch

    from lib.network import training, weight_files
    from lib.recordings.attributes import Labels

    labels = Labels(tuple("abcdef")) if "attribute" in SYSTEMS[system].losses else Labels()
    model = training.build_model(load_settings("paper"), SYSTEMS[system], labels, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        weight_files.save(model, Path(folder) / "model.safetensors")
        return (Path(folder) / "model.safetensors").stat().st_size


STAGES = {"planning": planning, "tables": tables, "clips": clips, "outputs": outputs}
