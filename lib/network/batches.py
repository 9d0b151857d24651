"""Balanced batches and mixup (Sec. 4.2): half target machine (t = 1), half pseudo-anomalous clips (t = 0)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from lib.network.batch import Batch
from lib.network.frontend import Cuts
from lib.settings import Training


class BalancedBatches:
    """Draws batches from one NumPy generator, whose state makes a run resumable.

    Args:
        target: rows of the bank's index (as `frontend.standardized`), the target machine's train-split clips, with
            `category` and `position` where the system is told of attributes (`attributes.Labels.add_to`).
        pseudo: rows likewise, the training clips of other machines.
        training: `settings.Training`.
        segment: samples of a crop.
        seed: of the generator.
    """

    def __init__(self, target: pd.DataFrame, pseudo: pd.DataFrame, training: Training, segment: int, seed: int):
        unlabelled = {"category": -1, "position": np.nan}
        target, pseudo = (
            target.assign(**{c: v for c, v in unlabelled.items() if c not in target}),
            pseudo.assign(**unlabelled),
        )
        self.target, self.pseudo, rows = target, pseudo, pd.concat([target, pseudo])
        self._clip, self._category, self._kv = (c.to_numpy() for c in (rows.index, rows["category"], rows["position"]))
        self._whole = Cuts.of(rows, np.zeros(len(rows)))
        self.training, self.segment = training, segment
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
        whole, n = self._whole[chosen], len(chosen)
        offset = (rng.random(n) * np.maximum(whole.length.numpy() - self.segment + 1, 1)).astype(np.int64)
        lam = np.ones(n)
        if self.training.mixup and rng.random() < mixup_probability(step, self.steps):
            lam = rng.beta(self.training.mixup_alpha, self.training.mixup_alpha, n)
        own = np.repeat([1.0, 0.0], self.half)
        partner = rng.permutation(n)
        cuts = replace(whole, offset=torch.from_numpy(offset))
        return Batch(self._clip[chosen], cuts, partner, lam, own, self._category[chosen], self._kv[chosen])

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
