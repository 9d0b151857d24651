"""What a run is made of: every training that a machine's clips allow, and what is left out and why."""

from dataclasses import dataclass
from typing import NamedTuple

from lib.recordings import attributes
from lib.recordings.clips import ClipBank
from lib.settings import Settings
from lib.systems import BASELINE, SYSTEMS, find_system


class Trained(NamedTuple):
    """One training: where `paths.Run.trained` puts it."""

    machine: str
    system: str
    parameter: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """What a run is asked for and can do.

    Attributes:
        machines: targets, in the order of the tables.
        seeds: of every training.
        trainings: of the systems of Table 1.
        baselines: of the autoencoder.
        left_out: (machine, system or "", why), what was asked for and cannot be.
    """

    machines: tuple[str, ...]
    seeds: tuple[int, ...]
    trainings: tuple[Trained, ...]
    baselines: tuple[Trained, ...]
    left_out: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, bank: ClipBank, settings: Settings, machines=(), seeds=(0,)) -> "Plan":
        """The plan of a run.

        Args:
            bank: of the data root. settings: of the preset. machines: names; none takes every target. seeds: numbers.

        Raises:
            ValueError: a machine that is not there.
        """
        machines = tuple(machines or bank.dataset.targets())
        systems = [find_system(name) for name in settings.systems]
        trainings = [
            Trained(machine, *training, seed)
            for machine in machines
            for training in attributes.trainings(bank.dataset.of(machine, "train"), systems, settings)
            for seed in seeds
        ]
        baselines = [Trained(m, BASELINE, attributes.ALL, s) for m in machines for s in seeds if settings.baselines]
        return cls(machines, tuple(seeds), tuple(trainings), tuple(baselines), ())

    def score_files(self, run) -> dict:
        """{path: `Trained`} of every file of scores that the run should hold when it has finished.

        Args:
            run: `paths.Run`.
        """
        found = {run.trained(*made) / "scores.parquet": made for made in self.baselines}
        for made in self.trainings:
            row = SYSTEMS[made.system]
            found |= {run.trained(*made) / "detector_scores.parquet": made} if row.families else {}
            found |= {run.trained(*made) / "flow_scores.parquet": made} if "flow" in row.detectors else {}
        return found
