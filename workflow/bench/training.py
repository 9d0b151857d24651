"""Training steps from bank to optimizer: OE against the bare network step, joint against OE, the shared extractor."""

from collections.abc import Iterator
from functools import partial
from itertools import count

import pandas as pd
import torch

from lib.network import shared
from lib.network.batches import BalancedBatches
from lib.network.device import pick_device
from lib.network.extractor import DIMENSIONS, map_size
from lib.network.flow import Flow, flow_loss
from lib.network.frontend import MelSpectrogram
from lib.network.losses import term_weights
from lib.network.training import build_model, build_optimizer, optimizer_step
from lib.recordings.attributes import Labels
from lib.settings import Settings
from lib.systems import SYSTEMS
from workflow.bench.clocks import in_turn
from workflow.bench.entry import Entry
from workflow.bench.noise import PRESETS, RATE, like_input, precision_of, settings_of, shape_of, size_of, white
from workflow.bench.products import flops, product


class Steps:
    """One system's training on noise: `step` goes from bank to optimizer, `bare` has the network alone.

    `mixed`: whether it is as at the end of a training, where every batch is mixed, or as at its beginning.
    """

    def __init__(self, name: str, settings: Settings, noise: tuple[torch.Tensor, pd.DataFrame], mixed: bool):
        system, (self.samples, rows), device = SYSTEMS[name], noise, pick_device()
        schedule, self.segment = settings.training_of(system), settings.segment_samples
        seeds = (BalancedBatches(rows[:50], rows[50:], schedule, self.segment, seed) for seed in count())
        self.mel = MelSpectrogram(settings.frontend, RATE).to(device)
        self.model = build_model(settings, system, Labels(), device)
        self.optimizer = build_optimizer(self.model, schedule.learning_rate)
        self.weights, self.precision = term_weights(system, settings), precision_of(settings)
        pure = schedule.batch // (4 if mixed else 2)  # clips that the flow hears, as many as on the average
        for self.batches in seeds:
            self.at, self.state = self.batches.steps - 1 if mixed else 0, self.batches.state()
            self.fixed = self.batches.draw(self.at)
            if self.fixed.pure.sum() == pure:
                break
        self.inputs = self.fixed.spectrograms(self.samples, self.mel, self.segment)

    def bare(self) -> None:
        self._optimize(self.fixed, self.inputs)

    def step(self) -> None:
        self.batches.restore(self.state)  # the same batch again, so that steps can be compared
        batch = self.batches.draw(self.at)
        self._optimize(batch, batch.spectrograms(self.samples, self.mel, self.segment))

    def _optimize(self, batch, inputs):
        optimizer_step(self.model, batch, inputs, self.weights, self.precision, self.optimizer)


def training() -> Iterator[Entry]:
    """OE and OE-Flow at both sizes, where every batch is mixed and where none is."""
    noise = white(100)
    for preset in PRESETS:
        settings = settings_of(preset)
        batch, size = settings.training.batch, size_of(settings, precision_of(settings))
        for mixed, words in ((True, "every batch mixed"), (False, "none mixed")):
            oe, joint = (Steps(name, settings, noise, mixed) for name in ("OE", "OE-Flow"))
            multiply, each = product(torch.float32)
            works = {"step": oe.step, "joint": joint.step, "product": multiply}
            took = in_turn(works | ({"bare": oe.bare} if mixed else {}), seconds=35)
            if mixed:
                yield Entry(
                    "OE training", f"{size}, {words}", batch / took["step"], "clips/s", batch / took["bare"],
                    "the bare network step", goal=0.95,
                )  # fmt: skip
            own = _flow_operations(settings) * joint.fixed.pure.sum() * took["product"] / each
            bound = took["step"] / (took["step"] + own)
            yield Entry(
                "joint training", f"{size}, {words}", batch / took["joint"], "clips/s", batch / took["step"],
                f"OE's step, of which the flow's own products leave {bound:.2f}", goal=0.85,
            )  # fmt: skip


def _flow_operations(settings):
    """Floating-point operations of the flow for one clip, forward and backward."""
    flow, size = Flow(DIMENSIONS, settings.flow), map_size(*shape_of(settings))
    maps = torch.zeros(1, DIMENSIONS, *size, requires_grad=True)
    return flops(lambda: flow_loss(flow, maps).backward())


def shared_extractor() -> Iterator[Entry]:
    """A step of the extractor of all machines, against the network alone."""
    settings, (samples, rows) = Settings(), white(100)
    rows = rows.assign(category=rows.index % 10, mean=0.0, deviation=1.0)
    given, device = settings.shared, samples.device
    own = settings.frontend.model_copy(update={"mels": given.mels, "hop": given.hop})
    settings = settings.model_copy(update={"frontend": own})
    batches = shared.SharedBatches(rows, given, settings.segment_samples, 0)
    model = shared.SharedModel(10, given).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), given.learning_rate, fused=True)
    mel, precision = shared.shared_mel(settings, device), precision_of(settings)
    scale, fixed = shared.adacos_scale(10 * given.centres), batches.draw()

    def optimize(batch, inputs):
        targets = torch.as_tensor(batch.classes(10), dtype=torch.float32, device=device)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            outputs = model(inputs)
        optimizer.zero_grad()
        shared.adacos_loss(model.cosines(outputs.embedding), targets, scale).backward()
        optimizer.step()

    def step():
        batch = batches.draw()
        optimize(batch, batch.spectrograms(samples, mel, settings.segment_samples))

    took = in_turn({"step": step, "bare": partial(optimize, fixed, like_input(settings, given.batch))}, seconds=15)
    yield Entry(
        "shared extractor, training", size_of(settings, precision), given.batch / took["step"], "clips/s",
        given.batch / took["bare"], "the bare network step",
    )  # fmt: skip


STAGES = {"training": training, "shared": shared_extractor}
