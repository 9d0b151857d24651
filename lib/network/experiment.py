"""One machine in one run, as a notebook is given it: what is asked for, the bank, and what stands beside each result.

The bank is opened when it is first wanted, and torch, whose import takes seconds, with the device: 05 fits detectors
without either. `system_training` adds what a training needs.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import threadpoolctl

from lib import cards, dependencies, paths
from lib.demo.data import make_demo_data
from lib.recordings.clips import ClipBank
from lib.settings import Settings, load_settings
from lib.systems import ALL, ALONE, EXTRACTORS, SYSTEMS, find_system

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Experiment:
    """A machine, and the system that is trained or scored for it.

    Attributes:
        notebook: that works on it, by name.
        machine: the target machine, a folder under the data root.
        settings: of the preset.
        run: where results go.
        preset, data_root: as given; an empty root is the preset's demo data.
        system: name in Table 1, "Baseline", or "" where none is trained.
        parameter: attribute that the system is trained for; "all" for one that is trained once.
        seed: of all that is random.
    """

    notebook: str
    machine: str
    settings: Settings
    run: paths.Run
    preset: str = "demo"
    data_root: str = ""
    system: str = ""
    parameter: str = ALL
    seed: int = 0

    @classmethod
    def open(
        cls, notebook: str, machine: str, preset: str, data_root: str = "", run_dir: str = "", **which
    ) -> "Experiment":
        """The experiment that a notebook's parameters name, on as many CPU threads as the settings say.

        Args:
            notebook: its name. machine, preset, data_root, run_dir: its parameters. which: `system`, `parameter`,
                `seed` where it has them.

        Raises:
            ValueError: an unknown preset or setting, or a system that another notebook trains.
        """
        settings = load_settings(preset)
        threadpoolctl.threadpool_limits(settings.threads)
        return cls(notebook, machine, settings, paths.run_folder(run_dir, preset), preset, data_root, **which)

    @cached_property
    def bank(self) -> ClipBank:
        """Every clip under the data root, decoded; demo data is made when missing."""
        root = paths.data_folder(self.data_root, self.preset)
        if not self.data_root:
            make_demo_data(root, self.settings.demo)
        return ClipBank.open(self.run, root, self.settings.data)

    @cached_property
    def device(self) -> "torch.device":
        """What computes; from here on torch has the experiment's seed and the threads of its settings."""
        from lib.network.device import pick_device, prepare

        prepare(self.seed, self.settings.threads)
        return pick_device()

    @property
    def detector_device(self) -> "torch.device | str":
        """Where detectors compute: "cpu", for which torch is not imported, where there is no graphics card."""
        return self.device if cards.present() else "cpu"

    @cached_property
    def samples(self) -> "torch.Tensor":
        """(total,) int16 tensor, the bank on the device."""
        return self.bank.tensor(self.device)

    @property
    def folder(self) -> Path:
        """Where the model, its embeddings and its scores lie."""
        return self.run.trained(self.machine, self.system, self.parameter, self.seed)

    @property
    def embeddings(self) -> Path:
        """File of the machine's embeddings by this system."""
        of_all = EXTRACTORS[self.system].of_all
        return self.run.embeddings(self.machine, self.system, self.parameter, self.seed, of_all)

    @property
    def figures(self) -> Path:
        """Folder of the figures' files."""
        return self.run.figures / self.machine

    @property
    def prefix(self) -> str:
        """How the names of the figures' files begin."""
        parameter = self.parameter if self.system in SYSTEMS else ""
        return "".join(f"{part}_" for part in (self.system, parameter, f"seed{self.seed}") if part)

    @property
    def names(self) -> dict:
        """What tells its scores from those of others."""
        return {"machine": self.machine, "system": self.system, "parameter": self.parameter, "seed": self.seed}

    def provenance(self, embeddings: dict | None = None) -> dict:
        """The code, settings and data that its results follow from; JSON-able, written into every file of scores.

        Args:
            embeddings: provenance of the embeddings that are scored; without them the data is the bank's.
        """
        flow = self.system in SYSTEMS and bool(SYSTEMS[self.system].latent)
        made = dependencies.provenance(self.notebook, self.settings, flow)
        if embeddings is not None:
            return made | {"embeddings": embeddings}
        alone = self.notebook in ALONE
        return made | {"data": self.bank.fingerprint_of(self.machine, alone) if self.machine else self.bank.fingerprint}

    def facts(self) -> dict:
        """What is written beside a model: all that it follows from, and what rebuilds it."""
        dataset = self.bank.dataset
        data = {"root": dataset.root.name, "fingerprint": self.bank.fingerprint, "synthetic": dataset.synthetic}
        settings = self.settings.model_dump(mode="json")
        facts = self.names | {"preset": self.preset, "data": data, "settings": settings, "made": self.provenance()}
        machines = [self.machine] if self.machine else sorted(self.bank.clips["machine"].unique())
        return facts | {"recordings": {name: self.bank.usual(name) for name in machines}}


@dataclass(frozen=True)
class OfAllMachines(Experiment):
    """The work of a system that serves all machines of a run. Its machine is "", all of them."""

    @classmethod
    def open(cls, notebook: str, preset: str, data_root: str = "", run_dir: str = "", **which) -> "OfAllMachines":
        """As `Experiment.open`; ValueError, too, for a system that another notebook trains."""
        find_system(which["system"], notebook)
        return super().open(notebook, "", preset, data_root, run_dir, **which)

    @property
    def folder(self) -> Path:
        return self.run.common(self.system, self.seed)

    def embeddings(self, machine: str) -> Path:
        """File of one machine's embeddings."""
        return self.run.embeddings(machine, self.system, self.parameter, self.seed, of_all=True)

    @property
    def prefix(self) -> str:
        return f"{self.system}_seed{self.seed}_"
