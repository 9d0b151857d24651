"""One training batch before any audio is touched: which clips, where they are cut, what they are mixed with, and t."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.network.frontend import Cuts, MelSpectrogram, spectrograms


@dataclass(frozen=True)
class Batch:
    """A training batch of n clips.

    Attributes:
        clip: (n,) row labels of the bank's index.
        cuts: `Cuts` on the host, the random crops.
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

    @property
    def modelled(self) -> tuple[np.ndarray, None, np.ndarray]:
        """What L_Flow is taken of: (m,) places in the batch of the pure clips, which count alike, and their kv."""
        places = np.flatnonzero(self.pure)
        return places, None, self.position[places]

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
        own = self.cuts[chosen].to(samples.device)
        if not self.mixed:
            return spectrograms(samples, own, mel, segment)
        lam = torch.as_tensor(self.lam[chosen], dtype=torch.float32, device=samples.device)
        partners = self.cuts[torch.as_tensor(self.partner[chosen])].to(samples.device)
        return spectrograms(samples, own, mel, segment, partners, lam)
