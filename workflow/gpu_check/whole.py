"""One training of the preset `paper`, its epochs cut, on demo data: from the bank to embeddings and KNN's scores."""

import time
import warnings
from pathlib import Path

import torch
import yaml

from lib.network.embedder import Embedder
from lib.network.system_training import SystemTraining
from lib.network.training import Trainer
from workflow.gpu_check.made import Scale
from workflow.gpu_check.parity import Check
from workflow.gpu_check.rates import GOALS, Rate

MACHINES = ("fan", "gearbox")


def preset_of(folder: Path, scale: Scale, epochs: int) -> Path:
    """A preset file: the scale's settings with so many epochs."""
    path = folder / "check.yaml"
    training = scale.preset.get("training", {}) | {"epochs": epochs}
    demo = {"machines": list(MACHINES), "source_clips": scale.source_clips, "target_clips": 6}
    demo |= {"test_clips": scale.test_clips}
    given = scale.preset | {"training": training, "joint": {"epochs": epochs}, "demo": demo}
    path.write_text(yaml.safe_dump({"base": "paper"} | given), encoding="utf-8")
    return path


def waits(trainer: Trainer, epochs: int) -> Check:
    """What makes the host wait in an epoch of a training, beside the one look at its numbers."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            keep, trainer._keep = trainer._keep, lambda: None  # a checkpoint is read, too
            trainer.run(epochs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        trainer._keep = keep
    found = [str(warning.message) for warning in said if "synchroniz" in str(warning.message)]
    for line in sorted(set(found)):
        print(f"the host waits: {line}")
    return Check("waits of the host an epoch, but one", max(0.0, len(found) / epochs - 1), 0)


def training(folder: Path, scale: Scale, system: str, epochs: int, device: str) -> list[Rate | Check]:
    """Train, embed the machine's clips; what it took.

    Args:
        folder: where data and run go. system: OE or OE-Flow. epochs: of it. device: "cpu", or the one that is picked.
    """
    preset, notebook = preset_of(folder, scale, epochs), {"OE": "03_oe_training"}.get(system, "04_joint_flow_training")
    given = SystemTraining.open(
        notebook, MACHINES[0], str(preset), run_dir=str(folder / "run"), system=system, parameter="all", seed=0
    )
    if device == "cpu":
        given.__dict__["device"] = torch.device("cpu")  # whatever is there: a rehearsal
    trainer = Trainer(given)
    found = [waits(trainer, 2)] if given.device.type == "cuda" else []
    done, begin = len(trainer.history), time.perf_counter()
    history = trainer.run()
    trained = time.perf_counter()
    own = given.clips.own
    table = Embedder(trainer.model, given).clips(own, own["part"].to_numpy())
    trainer.save()
    rate, name = history["clips_per_second"].iloc[len(history) // 2 :].median(), f"paper training, {system}"
    clips = (epochs - done) * trainer.batches.steps_per_epoch * trainer.training.batch
    return [
        *found,
        Rate(f"{name}, an epoch", rate, "clips/s", GOALS[system]),
        Rate(f"{name}, {epochs} epochs with validation and checkpoint", clips / (trained - begin), "clips/s"),
        Rate(f"{name}, embedding of {len(table.vectors)} segments", time.perf_counter() - trained, "s"),
    ]
