"""A trained network's weights in a file: 10 bits each, as many as the network is rounded to when its training ends.

A row of a weight, all that one output channel is multiplied by, is kept as whole numbers −511 … 511 times its largest
weight over 511: of a large weight finer than bfloat16, of a small one coarser. Rows shorter than `SHORTEST`, biases
and BatchNorm's statistics stay float32. What is loaded is bit for bit what was saved, so that a listener gives the
scores of its run; files of whole float32 weights load, too.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lib.paths import whole_file

STEPS = 511  # on each side of zero, of a row's largest weight: 10 bits
SHORTEST = 32  # weights of a row that is rounded
HIGH, LOW, LARGEST = ".high", ".low", ".largest"  # of a name: eight bits each, two bits each, float32 a row


@torch.no_grad()
def round_off(network: nn.Module) -> None:
    """Round the weights to what `save` keeps, in place; a second time changes nothing."""
    for tensor in network.state_dict().values():
        if _is_rounded(tensor):
            largest, numbers = _numbers(tensor)
            tensor.copy_(_weights(largest, numbers).reshape(tensor.shape))


def save(network: nn.Module, path: Path) -> None:
    """Write a network as safetensors; it is rounded, where that is still to be done."""
    round_off(network)
    kept = {}
    for name, tensor in network.state_dict().items():
        if not _is_rounded(tensor):
            kept[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            continue
        largest, numbers = _numbers(tensor)
        codes = np.pad((numbers + STEPS + 1).astype(np.uint16).ravel(), (0, -numbers.size % 4))
        shifts = np.array([0, 2, 4, 6], np.uint8)
        low = np.bitwise_or.reduce((codes & 3).astype(np.uint8).reshape(-1, 4) << shifts, axis=1)
        parts = {HIGH: (codes >> 2).astype(np.uint8)[: numbers.size], LOW: low, LARGEST: largest}
        kept |= {name + part: torch.from_numpy(values) for part, values in parts.items()}
    with whole_file(path) as temporary:
        save_file(kept, str(temporary))


def load(network: nn.Module, path: Path) -> None:
    """Give a network the weights in a file; any exception where they are not its own."""
    kept, own = load_file(path), network.state_dict()
    for name in [name.removesuffix(HIGH) for name in kept if name.endswith(HIGH)]:
        high, low, largest = (kept.pop(name + part).numpy() for part in (HIGH, LOW, LARGEST))
        bits = (low[:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).ravel()[: high.size]
        numbers = (high.astype(np.int16) << 2 | bits) - (STEPS + 1)
        kept[name] = _weights(largest, numbers.reshape(len(largest), -1)).reshape(own[name].shape)
    network.load_state_dict(kept)


def _is_rounded(tensor):
    return tensor.is_floating_point() and tensor.ndim > 1 and tensor[0].numel() >= SHORTEST


@np.errstate(invalid="ignore")  # a row that holds no number becomes one of none
def _numbers(tensor):
    """(rows,) float32 largest weights, and (rows, weights) int16 whole numbers."""
    rows = tensor.detach().cpu().flatten(1).numpy().astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    numbers = np.rint(rows * (STEPS / np.where(largest, largest, 1))[:, None])
    return largest.astype(np.float32), numbers.astype(np.int16)


@np.errstate(invalid="ignore")
def _weights(largest, numbers):
    """(rows, weights) float32; in float64 a row's largest weight is again itself, whatever it is."""
    return torch.from_numpy((largest[:, None].astype(np.float64) * numbers / STEPS).astype(np.float32))
