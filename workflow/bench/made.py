"""What the benches of scale and listening share: made data roots, a process of its own for each measurement."""

import io
import multiprocessing
import re
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.signal import lfilter

RATE = 16000


class Measured(NamedTuple):
    """What a work gave, the CPU seconds that it took, its children's with it, and its process's peak memory [GiB]."""

    result: object
    seconds: float
    peak: float


def alone(work: Callable, *given) -> Measured:
    """`work(*given)`, a function of a module, in a process that does nothing else: peaks are nobody else's.

    CPU seconds of one thread: on a machine that others use, too, they say more than a clock on the wall.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return Measured(*pool.submit(_measured, work, given).result())


def _measured(work, given):
    begin = _cpu()
    result = work(*given)
    return result, _cpu() - begin, peak()


def peak() -> float:
    """GiB that this process has held at most; `ru_maxrss` of Linux begins at what the parent held when it forked."""
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) / 2**20 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # macOS


def _cpu():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def small_root(root: Path, machines: int, train: int = 20, test: int = 6, seconds: float = 0.1) -> Path:
    """A data root of short clips of noise, two attributes, both domains; no two clips are the same."""
    rng, head = np.random.default_rng(0), io.BytesIO()
    length = round(seconds * RATE)
    soundfile.write(head, np.zeros(length, np.int16), RATE, format="WAV")
    head = head.getvalue()[: -2 * length]
    for i in range(machines):
        for split, count in (("train", train), ("test", test)):
            folder = root / f"machine{i:04d}" / split
            folder.mkdir(parents=True)
            for j in range(count):
                label = "anomaly" if split == "test" and j % 2 else "normal"
                domain = "source" if j % 5 else "target"
                name = f"section_00_{domain}_{split}_{label}_{j:05d}_vel_{j % 3}_loc_{'AB'[j % 2]}.wav"
                noise = rng.integers(-1000, 1000, length, np.int16)
                (folder / name).write_bytes(head + noise.tobytes())
    return root


def coloured_root(root: Path, machines: int = 2, train: int = 100, test: int = 10, seconds: float = 10.0) -> Path:
    """A data root of noise through a filter that is another one for each clip."""
    rng = np.random.default_rng(0)
    for i in range(machines):
        for split, count in (("train", train), ("test", test)):
            (folder := root / f"machine{i}" / split).mkdir(parents=True)
            for j in range(count):
                noise = rng.standard_normal(round(seconds * RATE))
                sound = lfilter([600.0], [1, -rng.uniform(-0.9, 0.9)], noise).astype(np.int16)
                label = "anomaly" if split == "test" and j % 2 else "normal"
                domain = "target" if j % 10 == 9 else "source"
                soundfile.write(folder / f"section_00_{domain}_{split}_{label}_{j:04d}_vel_{j % 3}.wav", sound, RATE)
    return root
