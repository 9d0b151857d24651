"""What the check trains: a model, noise in place of recordings, and steps on a device."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.network import training
from lib.network.batches import BalancedBatches
from lib.network.device import pick_precision
from lib.network.frontend import MelSpectrogram
from lib.network.losses import term_weights
from lib.network.steps import Steps
from lib.recordings.attributes import Labels
from lib.settings import Settings
from lib.systems import SYSTEMS

SECONDS = 12  # of a clip


@dataclass(frozen=True)
class Scale:
    """How large the check is: `PAPER`, or `QUICK` for a rehearsal."""

    preset: dict
    clips: int  # of the bank, half of them the target machine's
    steps: int  # of optimizer steps whose rate is taken
    epochs: int  # of the training
    source_clips: int  # a machine of the training's data
    test_clips: int  # of each domain and label


PAPER = Scale({}, clips=1000, steps=100, epochs=60, source_clips=990, test_clips=25)
QUICK = Scale(
    {"frontend": {"mels": 32, "hop": 1024, "segment_seconds": 1.0, "segment_overlap": 0.0}, "training": {"batch": 8}},
    clips=12, steps=2, epochs=1, source_clips=8, test_clips=1,
)  # fmt: skip


def settings_of(scale: Scale, **groups) -> Settings:
    """Settings of a scale, with some groups changed."""
    return Settings.model_validate({name: scale.preset.get(name, {}) for name in scale.preset} | groups)


def noise(clips: int) -> tuple[torch.Tensor, pd.DataFrame]:
    """(samples, rows) as a bank has them; of each machine one clip is shorter than a segment."""
    length = SECONDS * 16000
    samples = np.random.default_rng(0).standard_normal(clips * length, np.float32)
    lengths = np.where(np.arange(clips) % (clips // 2) == 0, 9000, length)
    rows = pd.DataFrame({"machine": "a", "start": length * np.arange(clips), "length": lengths})
    rows = rows.assign(mean=0.01, deviation=0.1, category=np.arange(clips) % 3, position=1.0 * (np.arange(clips) % 3))
    return torch.from_numpy((3000 * samples).astype(np.int16)), rows


class Made:
    """One system's training on `noise`: the same weights and batches on every device.

    Args:
        system: name in Table 1. settings: of the scale. bank: as `noise`. device: where it trains.
        precision: None takes what a training would.
    """

    def __init__(self, system: str, settings: Settings, bank: tuple, device: torch.device, precision=None):
        row, (samples, rows) = SYSTEMS[system], bank
        labels = Labels(("x", "y", "z"), ()) if "attribute" in row.losses else Labels()
        self.schedule, self.segment, half = settings.training_of(row), settings.segment_samples, len(rows) // 2
        self.batches = BalancedBatches(rows[:half], rows[half:], self.schedule, self.segment, 0)
        self.mel = MelSpectrogram(settings.frontend, 16000).to(device)
        torch.manual_seed(0)
        self.model, self.samples = training.build_model(settings, row, labels, device).train(), samples.to(device)
        self.weights = term_weights(row, settings)
        self.precision = precision or pick_precision(self.schedule.precision, device)
        self.optimizer = training.build_optimizer(self.model, self.schedule.learning_rate)
        self.steps = Steps(self.gradients, list(self.model.parameters()), device, len(labels.classes))
        self.number = 0

    def gradients(self, batch) -> dict[str, torch.Tensor]:
        """From the bank to the gradients of one batch; its terms."""
        inputs = batch.spectrograms(self.samples, self.mel, self.segment)
        return training.gradients(self.model, batch, inputs, self.weights, self.precision)

    def draw(self):
        """A batch of the middle of a training, where some are mixed."""
        self.number += 1
        return self.batches.draw(self.batches.steps // 4 + self.number)

    def step(self) -> dict[str, torch.Tensor]:
        """One whole step; its terms."""
        terms = self.steps(self.draw())
        self.optimizer.step()
        return terms
