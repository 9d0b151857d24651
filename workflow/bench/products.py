"""The bare arithmetic: multiplications of a work, and how fast a plain matrix product does them."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from lib.network.device import pick_device


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the products and convolutions in a work, those of the backward pass with them."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def product(dtype: torch.dtype) -> tuple[Callable[[], object], int]:
    """A matrix product in `dtype` on the device, and its floating-point operations."""
    device = pick_device()
    size = 8192 if device.type == "cuda" else 1024
    first, second, out = (torch.randn(size, size, device=device).to(dtype) for _ in range(3))
    return lambda: torch.mm(first, second, out=out), 2 * size**3
