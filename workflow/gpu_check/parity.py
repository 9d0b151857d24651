"""The numbers of a device beside those of the CPU, and whether the host waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from lib.detection.neighbours import nearest_distances
from lib.network.extractor import DIMENSIONS
from lib.network.flow import Flow
from lib.network.frontend import Cuts, spectrograms
from lib.network.sent import SentBatch
from workflow.gpu_check.made import Made, Scale, noise, settings_of

CPU = torch.device("cpu")


class Check(NamedTuple):
    """One thing that was proved or not; `error` is ‖found − expected‖ / ‖expected‖ where nothing else is said."""

    name: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Never for a NaN."""
        return bool(self.error <= self.tolerance)


def distance(found, expected) -> float:
    """‖found − expected‖ / ‖expected‖ of tensors or lists of tensors, in float64 on the CPU."""
    found, expected = (
        torch.cat([torch.as_tensor(t).detach().double().cpu().flatten() for t in (x if isinstance(x, list) else [x])])
        for x in (found, expected)
    )
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def checks(device: torch.device, scale: Scale) -> Iterator[Check]:
    """All of them, one after the other. On the CPU what a GPU would be sent is computed there, too."""
    bank, settings = noise(min(scale.clips, 64)), settings_of(scale)
    yield from front_end(device, settings, bank)
    for system, name in (("OE", "OE"), ("SerialOE-DFlow", "joint")):
        yield from step(device, settings, bank, system, name)
    yield from flow(device, settings)
    yield from neighbours(device)
    yield from recorded(device, settings, bank)


def front_end(device, settings, bank) -> Iterator[Check]:
    """Mixed segments, one that runs over its clip's end among them; and their embeddings."""
    made = Made("OE", settings, bank, CPU, torch.float32)
    rows = bank[1].iloc[[0, 1, 2, 3]]
    cuts, partners, lam = Cuts.of(rows, [5000, 0, 100, 200]), Cuts.of(rows.iloc[::-1], [7] * 4), torch.rand(4)
    inputs = [
        spectrograms(bank[0].to(d), cuts.to(d), made.mel.to(d), made.segment, partners.to(d), lam.to(d))
        for d in (CPU, device)
    ]
    yield Check("mel front end", distance(inputs[1], inputs[0]), 1e-5)
    model = made.model.eval()
    with torch.no_grad():
        embedded = [model.to(d)(given.to(d)).embedding for d, given in zip((CPU, device), inputs, strict=True)]
    yield Check("embedding, float32", distance(embedded[1], embedded[0]), 1e-4)


def step(device, settings, bank, system, name) -> Iterator[Check]:
    """Every term and gradient of a step in float32, and of one in bfloat16 beside float32's."""
    plain = Made(system, settings, bank, CPU, torch.float32)
    batch = plain.draw()
    expected = plain.gradients(batch)
    wanted = [p.grad for p in plain.model.parameters()]
    for precision, loss, gradient in ((torch.float32, 1e-4, 2e-3), (torch.bfloat16, 2e-2, 2e-1)):
        if precision == torch.bfloat16 and device.type == "cpu":
            continue  # slow, and no news of a GPU
        made = Made(system, settings, bank, device, precision)
        terms = made.gradients(SentBatch(batch, made.steps.classes, device))
        kind = str(precision).removeprefix("torch.")
        for term, value in terms.items():
            yield Check(f"{name} step, {term}, {kind}", distance(value, expected[term]), loss)
        grads = [p.grad for p in made.model.parameters()]
        yield Check(f"{name} step, gradient, {kind}", distance(grads, wanted), gradient)


def flow(device, settings) -> Iterator[Check]:
    """Negative log-likelihood of maps in float32 beside float64."""
    torch.manual_seed(0)
    made, maps = Flow(DIMENSIONS, settings.flow), torch.randn(2, DIMENSIONS, 7, 10)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.02 * torch.randn_like(p))
        found = []
        for d, kind in ((CPU, torch.float64), (device, torch.float32)):
            latent, logabsdet = made.to(d, kind)(maps.to(d, kind))
            found.append(-(made.log_prob(latent) + logabsdet))
    yield Check("flow, negative log-likelihood", distance(found[1], found[0]), 1e-5)


def neighbours(device) -> Iterator[Check]:
    """KNN's distances."""
    rng = np.random.default_rng(0)
    queries, references = rng.standard_normal((300, 64)), rng.standard_normal((2000, 64))
    by_torch = device if device.type == "cuda" else "cpu:0"
    here, there = (nearest_distances(queries, references, 32, d) for d in ("cpu", by_torch))
    yield Check("KNN", distance(torch.from_numpy(there), torch.from_numpy(here)), 1e-9)


def recorded(device, settings, bank) -> Iterator[Check]:
    """Losses of recorded steps beside those of steps as they are, and implicit waits of the host in both."""
    losses, waited = {}, 0
    for name in ("as it is", "recorded"):
        made = Made("OE-Flow", settings, bank, device)
        if name == "as it is":
            made.steps.recorded = None
        found = [made.step()["loss"].clone() for _ in range(4)]  # three warm up, the fourth is recorded
        with no_waits(device) as waits:
            for _ in range(3):
                found.append(made.step()["loss"].clone())
        waited += len(waits)
        losses[name] = torch.stack(found)
        if name == "recorded" and device.type == "cuda":
            yield Check("steps that were not recorded", float(made.steps.recorded.failed), 0)
    count = min(map(len, losses.values()))
    yield Check("recorded steps", distance(losses["recorded"][:count], losses["as it is"][:count]), 1e-2)
    yield Check("waits of the host in a step", float(waited), 0)


@contextmanager
def no_waits(device):
    """Yields a list that holds what made the host wait in the block; the first wait ends it."""
    found = []
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield found
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        found.append(str(error))
        print(f"the host waits: {error}")
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
