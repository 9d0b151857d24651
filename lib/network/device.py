"""Where a network runs and in which precision; when the host waits for it; the seed of its weights.

A GPU works behind the host, which goes on as soon as the work is queued. Reading a value makes the host wait, so in a
training `read` does it once an epoch and nothing else does.
"""

import ctypes
import platform
import sys
import time
from collections.abc import Mapping

import numpy as np
import torch

from lib import cards

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def pick_device() -> torch.device:
    """The GPU on which the run has a place for this process, else the one with most free memory; else the CPU.

    On a GPU float32 then means float32 (TF32 would move L_Flow), and cuDNN tries which convolution is the fastest.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    count = torch.cuda.device_count()
    card = cards.claim()
    if card is None or card >= count:
        card = int(np.argmax([torch.cuda.mem_get_info(i)[0] for i in range(count)]))
    torch.cuda.set_device(card)  # a recorded step and its streams are of the current one
    return torch.device("cuda", card)


def is_host(device: torch.device | str) -> bool:
    """Whether the host itself computes: then nothing is sent, and what is read is there."""
    return torch.device(device).type == "cpu"


def read(values: Mapping[str, torch.Tensor | float]) -> dict[str, float]:
    """Numbers of 0-d tensors, by name, all in one go: here the host waits. What is no tensor stays as it is."""
    tensors = {name: value.detach().float() for name, value in values.items() if isinstance(value, torch.Tensor)}
    found = torch.stack(list(tensors.values())).tolist() if tensors else []
    return {**values, **dict(zip(tensors, found, strict=True))}


class Stopwatch:
    """Seconds that a device takes between the making of this and `stop`; asked for when the device has been read."""

    def __init__(self, device: torch.device):
        self.timed = device.type == "cuda"
        self._begin = self._end = self._mark()

    def stop(self) -> None:
        """The end; the host does not wait for it."""
        self._end = self._mark()

    @property
    def seconds(self) -> float:
        """Of the device; the host's own on a CPU."""
        return self._begin.elapsed_time(self._end) / 1000 if self.timed else self._end - self._begin

    def _mark(self):
        if not self.timed:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def pick_precision(asked: str, device: torch.device, map_size: tuple[int, int] | None = None) -> torch.dtype:
    """torch.bfloat16 where asked for or, with "auto", where the hardware multiplies in it; else torch.float32.

    Args:
        asked: "auto", "bf16" or "fp32". device: that computes.
        map_size: height and width of the feature map; at 1 a CPU takes float32, since oneDNN's bfloat16 convolutions
            of stride 2 give NaN there on processors with AMX (pytorch issues 163347, 169688, 188426).
    """
    if device.type == "cpu" and map_size is not None and 1 in map_size:
        if asked == "bf16":
            print(f"a feature map of {map_size[0]} × {map_size[1]} is too narrow for bf16 on a CPU; float32 is taken")
        return torch.float32
    if asked != "auto":
        return torch.bfloat16 if asked == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    able = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def prepare(seed: int, threads: int) -> None:
    """Before a notebook makes its first tensor: `threads` on the CPU, which the numbers follow, and the seed."""
    keep_memory()
    torch.set_num_threads(threads)
    seed_everything(seed)


def keep_memory() -> None:
    """Have glibc keep freed memory: by default each large tensor is of new pages, a tenth of a training's time."""
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        for option, size in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1)):
            getattr(library, "mallopt", lambda *_: 0)(option, size)  # other C libraries have none


def seed_everything(seed: int) -> None:
    """Seed torch's global generator, which initialises weights; all other randomness has generators of its own."""
    torch.manual_seed(seed)


def versions() -> dict[str, str]:
    """Of what a model was trained with; JSON-able."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
