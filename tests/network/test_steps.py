"""A step on a GPU, without one: "meta" tensors stand for it, of which nothing can be read, and a made-up recorder."""

import contextlib

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import changed

from lib.network import steps, training
from lib.network.batch import Batch
from lib.network.frontend import Cuts, _gather_around, _gather_runs
from lib.network.losses import total_loss
from lib.network.sent import SentBatch
from lib.network.steps import Recorded
from lib.network.training import Trainer

CPU, META = torch.device("cpu"), torch.device("meta")


class Waits(TorchDispatchMode):
    """Refuses what makes a host wait for "meta", but for what torch refuses there itself; counts copies to it."""

    def __init__(self):
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        name = function.overloadpacket.__name__
        on_meta = [a.is_meta for a in arguments if isinstance(a, torch.Tensor)]
        sent = (name == "copy_" and on_meta == [True, False]) or (
            name == "_to_copy" and not on_meta[0] and options.get("device") == META
        )
        if sent:
            self.copies += 1
            assert options.get("non_blocking") or arguments[-1] is True, f"{name} waits for its copy"
        elif any(on_meta):
            index = [i for a in arguments if isinstance(a, list | tuple) for i in a if isinstance(i, torch.Tensor)]
            assert all(i.is_meta and i.dtype != torch.bool for i in index), f"{name} by a mask or by host tensors"
            assert not name.startswith(("masked_", "nonzero")) or name == "masked_fill_", name
        return function(*arguments, **options)


@pytest.fixture
def on_meta(machine, monkeypatch):
    """How a training on "meta" is opened; `read` gives numbers without looking, and counts."""
    adamw, reads = torch.optim.AdamW, []

    def read(values):
        reads.append(sorted(values))
        return dict.fromkeys(values, 0.5)

    def opened(**which):
        given = machine(**which)
        given.__dict__["device"] = META
        monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
        monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: adamw(*a, **(k | {"fused": False, "foreach": True})))
        monkeypatch.setattr(training, "read", read)
        made = Trainer(given)
        monkeypatch.setattr(made, "_keep", lambda: None)
        return made, reads

    return opened


KINDS = [("OE", "all"), ("SerialOE-DFlow", "m-n")]


def test_the_host_waits_once_an_epoch_and_sends_one_copy_a_step(on_meta):
    """With every loss there is, and the share of the flow's gradient, which is read with the rest."""
    settings = changed(flow={"gradient_share": True, "steps": 1}, training={"batch": 16})
    made, reads = on_meta(system="SerialOE-DFlow", parameter="m-n", settings=settings)
    with Waits() as waits:
        made.run(epochs=2)
    assert len(reads) == 2 and {"loss", "machine", "flow_share", "embedding_variance"} <= set(reads[0])
    assert waits.copies == 2 * made.batches.steps_per_epoch


WAITS = {
    "item": lambda loss: loss.item(),
    "bool": lambda loss: bool(loss > 0),
    "a mask": lambda loss: loss[None][loss[None] > 0],
    "a mask that is filled": lambda loss: loss[None].index_put_((loss[None] > 0,), loss),
    "read": lambda loss: loss.cpu(),
    "sent": lambda loss: loss + torch.ones(1).to(loss.device),
    "host index": lambda loss: torch.ones(2, device=loss.device)[torch.zeros(1, dtype=torch.int64)],
}


def test_a_wait_in_a_loss_would_be_seen(on_meta, monkeypatch):
    made, _ = on_meta()
    real = training.total_loss
    for name, wait in WAITS.items():

        def watched(*arguments, wait=wait):
            loss, terms = real(*arguments)
            wait(loss.detach())
            return loss, terms

        monkeypatch.setattr(training, "total_loss", watched)
        with Waits(), pytest.raises((RuntimeError, NotImplementedError, AssertionError)):
            made.run(epochs=1)
            pytest.fail(f"{name} was not seen")


def drawn(made, step):
    """A batch and itself after it was sent."""
    first, batch = made.batches.draw(0), made.batches.draw(step)
    sent = SentBatch(first, len(made.given.labels.classes), CPU)
    sent.fill(batch)
    return batch, sent


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("system", "parameter"), KINDS)
def test_a_batch_that_was_sent_says_the_same(machine, system, parameter, late):
    """Inputs, every term and every gradient; the clips that only fill up change nothing."""
    made = Trainer(machine(system=system, parameter=parameter))
    batch, sent = drawn(made, made.batches.steps - 1 if late else 1)
    assert batch.mixed == late and batch.pure.sum() > 0 and (not late or batch.pure.sum() < batch.own.sum())
    inputs = batch.spectrograms(made.samples, made.mel, made.batches.segment)
    torch.testing.assert_close(sent.spectrograms(made.samples, made.mel, made.batches.segment), inputs)
    found = []
    for told in (batch, sent):
        terms = training.gradients(made.model.eval(), told, inputs, made.weights, torch.float32)
        found.append((terms, [p.grad for p in made.model.parameters()]))
    torch.testing.assert_close(*(terms for terms, _ in found))
    torch.testing.assert_close(*(gradients for _, gradients in found), rtol=1e-4, atol=1e-7)


def test_a_sent_batch_without_pure_clips_adds_nothing_and_the_next_one_does(machine):
    made = Trainer(machine(system="OE-Flow"))
    batch, sent = drawn(made, made.batches.steps - 1)
    values = {name: getattr(batch, name) for name in ("clip", "cuts", "own", "category", "kv")}
    half = np.full(len(batch.own), 0.5)
    sent.fill(Batch(partner=np.roll(np.arange(len(half)), made.batches.half), lam=half, **values))
    outputs = made.model(sent.spectrograms(made.samples, made.mel, made.batches.segment))
    weights = {"flow": 1.0}
    assert total_loss(made.model, outputs, sent, weights)[0] == 0
    sent.fill(batch)
    assert total_loss(made.model, outputs, sent, weights)[0] > 0


def test_segments_are_gathered_alike_by_runs_and_sample_by_sample():
    samples = torch.arange(1000, dtype=torch.int16)
    number = torch.tensor([0, 100, 400])
    for offsets in ([0, 10, 20], [0, 290, 350], [60, 290, 590]):  # no segment, two, all over their clip's end
        cuts = Cuts(number, torch.tensor([100, 300, 600]), torch.tensor(offsets), number, number)
        assert torch.equal(_gather_runs(samples, cuts, 80), _gather_around(samples, cuts, 80))


class Graph:
    """In place of a CUDA graph: a replay computes anew and writes where the recording has written."""

    recorded = None

    def replay(self):
        owner, before = self.recorded, [p.grad for p in self.recorded.parameters]
        found = owner.work(owner.batch)
        for static, parameter, old in zip(owner.gradients, owner.parameters, before, strict=True):
            static.copy_(parameter.grad)
            parameter.grad = old
        for name, value in owner.terms.items():
            value.copy_(found[name])


@pytest.fixture
def recorder(monkeypatch):
    """torch.cuda's streams and recording, made up; `recording` may be replaced."""

    class Stream:
        def wait_stream(self, other):
            pass

    for name, value in {
        "Stream": Stream,
        "stream": lambda _: contextlib.nullcontext(),
        "current_stream": Stream,
        "set_stream": lambda _: None,
        "CUDAGraph": Graph,
        "graph": lambda graph, stream: contextlib.nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return monkeypatch


def descend(recorded_by, steps_=8, eager_at=()):
    """Ten numbers after steps of gradient descent on what each batch wants; the losses."""
    parameter, losses = torch.nn.Parameter(torch.zeros(10)), []
    batch = torch.zeros(10)

    def work(given):
        parameter.grad = None
        loss = (parameter - given).square().sum()
        loss.backward()
        return {"loss": loss.detach()}

    step = recorded_by(work, [parameter])
    if isinstance(step, Recorded):
        step.batch, Graph.recorded = batch, step
    for number in range(steps_):
        batch.fill_(number)
        losses.append((work if number in eager_at else step)(batch)["loss"].clone())
        with torch.no_grad():
            parameter -= 0.1 * parameter.grad
    return parameter.detach(), torch.stack(losses), step


def test_recorded_steps_are_the_steps(recorder):
    """A step that is not recorded, in between, leaves its own gradients; those of the next replay count again."""
    plain, expected, _ = descend(lambda work, _: work)
    found, losses, step = descend(Recorded, eager_at=(5,))
    assert step.graph is not None and step.warm == steps.WARM_UP and not step.failed
    assert torch.equal(found, plain) and torch.equal(losses, expected)


def test_a_step_that_cannot_be_recorded_goes_on_with_one_line(recorder, capsys):
    @contextlib.contextmanager
    def refusing(graph, stream):
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nat::cuda …")

    recorder.setattr(torch.cuda, "graph", refusing)
    plain, expected, _ = descend(lambda work, _: work)
    found, losses, step = descend(Recorded)
    assert torch.equal(found, plain) and torch.equal(losses, expected) and step.failed
    said = capsys.readouterr().out
    assert said.count("cannot be recorded on this GPU (operation not permitted when stream is capturing)") == 1
