"""A training batch on a GPU: all that it says, in one buffer that one copy a step fills, for which no host waits.

The tensors stay where they are from batch to batch, so that a recorded step (`steps`) reads the next batch in them.
"""

import math

import numpy as np
import torch

from lib.network.batch import Batch
from lib.network.frontend import Cuts, MelSpectrogram, spectrograms

ALIGNED = 16  # bytes, a multiple of every number's size


class SentBatch:
    """What a `Batch` says, under the same names, as tensors on a device.

    Whatever the batch, the work on it is the same: it is always mixed (λ = 1 leaves a clip as it is), and L_Flow is
    taken of as many clips as there are of the target machine. Where fewer are pure, pure ones stand in again for the
    others and count nothing.
    """

    def __init__(self, batch: Batch, classes: int, device: torch.device):
        """`batch`: one of those to be sent, all of one size. `classes`: K of the second task."""
        self.class_count, self.device = classes, device
        self.layout, size = {}, 0
        for name, values in self._numbers(batch).items():
            self.layout[name] = slice(size, size + values.nbytes), values.dtype, values.shape
            size += math.ceil(values.nbytes / ALIGNED) * ALIGNED
        self.buffer = torch.empty(size, dtype=torch.uint8, device=device)
        found = {
            name: self.buffer[place].view(getattr(torch, kind.name)).view(shape)
            for name, (place, kind, shape) in self.layout.items()
        }
        self.cuts = Cuts(*(found[field] for field in Cuts.__dataclass_fields__))
        self.partner, self.lam, self.target = found["partner"], found["lam"], found["target"]
        self.known, self.modelled = found["known"], (found["places"], found["counts"], found["position"])
        self._classes = found["classes"]
        self.fill(batch)

    def fill(self, batch: Batch) -> None:
        """Send another batch. Pinned memory is not used again before it has been copied; torch sees to that."""
        sent = torch.empty(len(self.buffer), dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        memory = sent.numpy()
        for name, values in self._numbers(batch).items():
            place, kind, shape = self.layout[name]
            memory[place].view(kind).reshape(shape)[...] = values
        self.buffer.copy_(sent, non_blocking=True)

    def classes(self, count: int) -> torch.Tensor:
        """(n, count) as `Batch.classes`; `count` is that of all its batches."""
        return self._classes

    def spectrograms(self, samples: torch.Tensor, mel: MelSpectrogram, segment: int) -> torch.Tensor:
        """The network's input, (n, 1, mels, frames)."""
        return spectrograms(samples, self.cuts, mel, segment, self.cuts[self.partner], self.lam)

    def _numbers(self, batch):
        """Every number of a batch as whole numbers or float32, the same shapes whatever the batch."""
        numbers = {field: getattr(batch.cuts, field).numpy() for field in Cuts.__dataclass_fields__}
        room, (places, _, position) = int(batch.own.sum()), batch.modelled
        if not len(places):
            places, position, count = np.arange(room), batch.position[:room], 0
        else:
            count, places, position = len(places), np.resize(places, room), np.resize(position, room)
        numbers |= {"partner": batch.partner, "places": places}
        floats = {"lam": batch.lam, "target": batch.target, "known": batch.known, "position": position}
        floats |= {"counts": np.arange(room) < count, "classes": batch.classes(self.class_count)}
        return numbers | {name: np.asarray(values, np.float32) for name, values in floats.items()}
