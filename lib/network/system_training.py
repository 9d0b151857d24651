"""The training of one system for one machine, as 03 and 04 are given it: what the model hears and what it is told."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lib.network.batches import BalancedBatches
from lib.network.experiment import Experiment
from lib.network.frontend import MelSpectrogram
from lib.recordings.attributes import Labels
from lib.recordings.machine import MachineClips
from lib.settings import Training
from lib.systems import ALL, SYSTEMS, System, find_system


@dataclass(frozen=True)
class SystemTraining(Experiment):
    """An experiment that trains a system of Table 1 (03 and 04): what its model hears and is told."""

    @classmethod
    def open(
        cls, notebook: str, machine: str, preset: str, data_root: str = "", run_dir: str = "", **which
    ) -> "SystemTraining":
        """As `Experiment.open`; ValueError, too, for a system that another notebook trains."""
        find_system(which["system"], notebook)
        return super().open(notebook, machine, preset, data_root, run_dir, **which)

    @property
    def row(self) -> System:
        """Its row of Table 1."""
        return SYSTEMS[self.system]

    @cached_property
    def mel(self) -> MelSpectrogram:
        """The front end on the device."""
        return MelSpectrogram(self.settings.frontend, self.settings.data.sample_rate).to(self.device)

    @cached_property
    def clips(self) -> MachineClips:
        """The machine's own clips, split, and the pseudo-anomalous ones."""
        return MachineClips.read(self.bank, self.machine, self.settings)

    @cached_property
    def labels(self) -> Labels:
        """Classes of L_att and positions of z_d, of all training clips of the machine."""
        return Labels.of(self.bank.training(self.machine), self.row, self.parameter, self.settings)

    @property
    def schedule(self) -> Training:
        """Epochs, batches and learning rate of the system."""
        return self.settings.training_of(self.row)

    @property
    def begins_at(self) -> Path | None:
        """Folder of the trained model at whose weights this training begins; None: anew."""
        first = self.settings.begins_at(self.row)
        return self.run.trained(self.machine, first, ALL, self.seed) if first else None

    def batches(self) -> BalancedBatches:
        """New batches from the start: always the same ones, since the seed draws them."""
        target = self.labels.add_to(self.clips.part("train"))
        return BalancedBatches(target, self.clips.pseudo, self.schedule, self.settings.segment_samples, self.seed)

    def generator(self) -> np.random.Generator:
        """Of the pseudo-target data."""
        return np.random.default_rng(self.seed)

    def facts(self) -> dict:
        return super().facts() | {"labels": asdict(self.labels)} | self.clips.facts()
