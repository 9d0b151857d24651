"""How fast a device trains, beside what it can do at most and what is wanted."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from lib.network.footprint import training_gigabytes
from workflow.gpu_check.made import Made, Scale, noise, settings_of

FLOOR = 15e9  # floating-point operations of a clip's step: ResNet-18 at 224 × 313, forward and twice back
GOALS = {"OE": 5000, "OE-Flow": 2500}  # clips a second on one H100 or H200
WARM_UP = 6  # steps, in which libraries choose and the step is recorded
SMALL = {"frontend": {"mels": 48, "hop": 1024}, "training": {"batch": 16}}  # as in the preset `demo`


class Rate(NamedTuple):
    """A measured number and the one that is wanted, 0 without."""

    name: str
    value: float
    unit: str
    wanted: float = 0.0


def wait(device: torch.device) -> None:
    """Until the device has done all that is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], count: int, device: torch.device) -> float:
    """Of one of `count` works in a row, behind a few that do not count."""
    for _ in range(min(WARM_UP, count)):
        work()
    wait(device)
    begin = time.perf_counter()
    for _ in range(count):
        work()
    wait(device)
    return (time.perf_counter() - begin) / count


def ceilings(device: torch.device, quick: bool) -> list[Rate]:
    """What the device does at most: a bfloat16 product, a copy within its memory."""
    size = 256 if quick else 8192
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = 2 * size**3 / seconds(lambda: one @ other, 2 if quick else 20, device)
    source = torch.randn(size, size if quick else 32 * size, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / seconds(lambda: target.copy_(source), 2 if quick else 20, device)
    return [Rate("bfloat16 product", product / 1e12, "TFLOP/s"), Rate("copy", copied / 1e12, "TB/s")]


def training_rates(device: torch.device, scale: Scale) -> list[Rate]:
    """Clips a second from the bank to the optimizer, OE and joint, recorded and as it is; memory of each."""
    bank, settings, found = noise(scale.clips), settings_of(scale), []
    for system, goal in GOALS.items():
        for recorded in (True, False):
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            made = Made(system, settings, bank, device)
            if not recorded:
                made.steps.recorded = None
            rate = made.schedule.batch / seconds(made.step, scale.steps, device)
            name = f"{system} training" + ("" if recorded else ", not recorded")
            found.append(Rate(name, rate, "clips/s", goal if recorded else 0))
            if recorded:
                found.append(Rate(f"{name}, of the floor", rate * FLOOR / 1e12, "TFLOP/s"))
                found += memory(device, settings, len(bank[0]), name)
            if device.type == "cpu":
                break  # the same
            del made
    found.append(front_end_rate(device, settings, bank, scale))
    return found


def front_end_rate(device, settings, bank, scale) -> Rate:
    """Of crops, mixup and mel alone."""
    made = Made("OE", settings, bank, device)
    batch = made.draw()
    taken = seconds(lambda: batch.spectrograms(made.samples, made.mel, made.segment), scale.steps, device)
    return Rate("front end alone", made.schedule.batch / taken, "clips/s")


def memory(device, settings, samples, name) -> list[Rate]:
    """What it took at most, and what a run would expect of the largest training."""
    if device.type != "cuda":
        return []
    taken = torch.cuda.max_memory_reserved(device) / 2**30
    return [Rate(f"{name}, memory", taken, "GiB", training_gigabytes(settings, samples))]


def small_steps(device: torch.device, count: int) -> float:
    """Clips a second of OE at the size of the preset `demo`."""
    made = Made("OE", settings_of(Scale(SMALL, 0, 0, 0, 0, 0)), noise(40), device)
    return made.schedule.batch / seconds(made.step, count, device)


def shared_rates(device: torch.device, scale: Scale) -> list[Rate]:
    """Clips a second of all when one, two or three small trainings share the device."""
    found = []
    for jobs in (1, 2, 3):
        command = [sys.executable, "-m", "workflow.gpu_check.rates", str(device), str(20 * scale.steps)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
        rates = [json.loads(job.communicate()[0].strip().splitlines()[-1]) for job in running]
        found.append(Rate(f"{jobs} small training{'s' * (jobs > 1)} at a time", sum(rates), "clips/s"))
    return found


if __name__ == "__main__":
    print(json.dumps(small_steps(torch.device(sys.argv[1]), int(sys.argv[2]))))
