"""Balanced batches and mixup (Sec. 4.2): half target machine (t = 1), half pseudo-anomalous clips (t = 0)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.network.frontend import Cuts, MelSpectrogram, spectrograms
from lib.settings import Training


@dataclass(frozen=True)
class Batch:
    """One training batch of n clips before any audio is touched.

    Attributes:
        clip: (n,) row labels of the bank's index.
        cuts: `Cuts`, the random crops.
        partner: (n,) position in the batch of the clip that is mixed in.
        lam: (n,) mixup's λ; all 1 where the batch is not mixed.
        own: (n,) t before mixing.
        category, kv: (n,) of each clip before mixing, as `attributes.Labels.add_to` gives them.
    """

    clip: np.ndarray
    cuts: Cuts
    partner: np.ndarray
    lam: np.ndarray
    own: np.ndarray
    category: np.ndarray
    kv: np.ndarray

    @property
    def mixed(self) -> bool:
        return bool((self.lam < 1).any())

    @property
    def target(self) -> np.ndarray:
        """(n,) t, mixed linearly like the waveforms."""
        return self.lam * self.own + (1 - self.lam) * self.own[self.partner]

    @property
    def pure(self) -> np.ndarray:
        """(n,) whether no parent is a pseudo-anomalous clip."""
        return (self.own == 1) & ((self.lam == 1) | (self.own[self.partner] == 1))

    @property
    def known(self) -> np.ndarray:
        """(n,) whether L_att knows what the clip is: pseudo-anomalous or of a category, and so its partner."""
        known = (self.own == 0) | (self.category >= 0)
        return known & ((self.lam == 1) | known[self.partner])

    @property
    def position(self) -> np.ndarray:
        """(n,) kv of the dominant parent (λ ≥ 0.5: own), NaN where it has none."""
        return np.where(self.lam >= 0.5, self.kv, self.kv[self.partner])

    def classes(self, count: int) -> np.ndarray:
        """(n, count) y: one-hot of the category, all zero without one, mixed linearly."""
        one_hot = (self.category[:, None] == np.arange(count)).astype(float)
        return self.lam[:, None] * one_hot + (1 - self.lam[:, None]) * one_hot[self.partner]

    def examples(self, count: int = 4) -> np.ndarray:
        """(count,) positions to look at: of a mixed batch the evenest mixtures, else both kinds alike."""
        if self.mixed:
            return np.argsort(abs(self.lam - 0.5), kind="stable")[:count]
        return np.concatenate([np.flatnonzero(self.own == t)[: count // 2] for t in (1, 0)])

    def captions(self, chosen: Iterable[int], machines: pd.Series) -> list[str]:
        """What the inputs at the `chosen` positions are made of; `machines` is the index's column of names."""
        own, t = [machines[i] for i in self.clip], self.target
        mixed = "{lam:.2f} {own} + {rest:.2f} {other}, t = {t:.2f}" if self.mixed else "{own}, t = {t:.0f}"
        return [
            mixed.format(lam=self.lam[i], own=own[i], rest=1 - self.lam[i], other=own[self.partner[i]], t=t[i])
            for i in chosen
        ]

    def spectrograms(
        self, samples: torch.Tensor, mel: MelSpectrogram, segment: int, chosen: slice | Sequence[int] = slice(None)
    ) -> torch.Tensor:
        """The network's input, (n, 1, mels, frames), of the batch or of the `chosen` positions in it."""
        if not self.mixed:
            return spectrograms(samples, self.cuts[chosen], mel, segment)
        lam = torch.as_tensor(self.lam[chosen], dtype=torch.float32, device=samples.device)
        partners = self.cuts[torch.as_tensor(self.partner[chosen], device=samples.device)]
        return spectrograms(samples, self.cuts[chosen], mel, segment, partners, lam)


class BalancedBatches:
    """Draws batches from one NumPy generator, whose state makes a run resumable.

    Args:
        target: rows of the bank's index (as `frontend.standardized`), the target machine's train-split clips, with
            `category` and `position` where the system is told of attributes (`attributes.Labels.add_to`).
        pseudo: rows likewise, the training clips of other machines.
        training: `settings.Training`.
        segment: samples of a crop.
        seed: of the generator.
        device: where the cuts are wanted.
    """

    def __init__(
        self,
        target: pd.DataFrame,
        pseudo: pd.DataFrame,
        training: Training,
        segment: int,
        seed: int,
        device: torch.device | str = "cpu",
    ):
        unlabelled = {"category": -1, "position": np.nan}
        target, pseudo = (
            target.assign(**{c: v for c, v in unlabelled.items() if c not in target}),
            pseudo.assign(**unlabelled),
        )
        self.target, self.pseudo, self.rows = target, pseudo, pd.concat([target, pseudo])
        self.training, self.segment, self.device = training, segment, device
        self.half = training.batch // 2
        self.steps_per_epoch = -(-len(target) // self.half)
        self.steps = training.epochs * self.steps_per_epoch
        self.generator = np.random.default_rng(seed)
        self._queue = np.empty(0, np.int64)
        self._members = [np.flatnonzero(pseudo["machine"] == m) for m in pseudo["machine"].unique()]

    def draw(self, step: int) -> Batch:
        """The batch of optimizer step `step`, counted from 0 over the whole training."""
        rng = self.generator
        chosen = np.concatenate([self._next_targets(), len(self.target) + self._draw_pseudo()])
        rows = self.rows.iloc[chosen]
        offset = (rng.random(len(rows)) * np.maximum(rows["length"] - self.segment + 1, 1)).astype(np.int64)
        lam = np.ones(len(rows))
        if self.training.mixup and rng.random() < mixup_probability(step, self.steps):
            lam = rng.beta(self.training.mixup_alpha, self.training.mixup_alpha, len(rows))
        own = np.repeat([1.0, 0.0], self.half)
        partner = rng.permutation(len(rows))
        category, kv = rows["category"].to_numpy(), rows["position"].to_numpy()
        return Batch(rows.index.to_numpy(), Cuts.of(rows, offset, self.device), partner, lam, own, category, kv)

    def _next_targets(self):
        """Random permutations end to end: an epoch's last batch is filled from the next permutation."""
        while len(self._queue) < self.half:
            self._queue = np.concatenate([self._queue, self.generator.permutation(len(self.target))])
        chosen, self._queue = self._queue[: self.half], self._queue[self.half :]
        return chosen

    def _draw_pseudo(self):
        if self.training.pseudo_by == "clip":
            return self.generator.integers(len(self.pseudo), size=self.half)
        machines = self.generator.integers(len(self._members), size=self.half)
        return np.array([self.generator.choice(self._members[m]) for m in machines])

    def state(self) -> dict:
        """JSON-able state, for a checkpoint."""
        return {"generator": self.generator.bit_generator.state, "queue": self._queue.tolist()}

    def restore(self, state: dict) -> None:
        self.generator.bit_generator.state = state["generator"]
        self._queue = np.array(state["queue"], np.int64)


def mixup_probability(step: int, steps: int) -> float:
    """Probability that a batch is mixed: ½(1 − cos(min(π, 2π·step/steps))), from 0 to 1 at half of the training.

    >>> [round(float(mixup_probability(step, 100)), 2) for step in (0, 10, 25, 50, 99)]
    [0.0, 0.1, 0.5, 1.0, 1.0]
    """
    return 0.5 * (1 - np.cos(min(np.pi, 2 * np.pi * step / steps)))
