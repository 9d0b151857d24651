import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib.extractor import MachineModel
from lib.losses import machine_loss, total_loss


def equation_2(logits, target):
    """Eq. 2, term by term."""
    total = 0.0
    for g, t in zip(logits, target, strict=True):
        probability = 1 / (1 + math.exp(-g))
        total += t * math.log(probability) + (1 - t) * math.log(1 - probability)
    return -total / len(logits)


def test_machine_loss_is_equation_2():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(0, 3, 16), rng.random(16)
    assert float(machine_loss(torch.tensor(logits), target)) == pytest.approx(equation_2(logits, target), rel=1e-5)


def test_loss_limits():
    assert float(machine_loss(torch.tensor([30.0, -30.0]), [1, 0])) < 1e-9
    assert float(machine_loss(torch.zeros(4), [1, 0, 1, 0])) == pytest.approx(math.log(2))
    assert float(machine_loss(torch.tensor([-30.0]), [1])) == pytest.approx(30)


def test_total_is_the_weighted_sum():
    outputs, batch = SimpleNamespace(logits=torch.tensor([1.0, -2.0])), SimpleNamespace(target=np.array([1.0, 0.3]))
    total, terms = total_loss(outputs, batch, {"machine": 3.0})
    assert float(total) == pytest.approx(3 * float(terms["machine"]))


@pytest.mark.parametrize("head", ["linear", "norm"])
def test_model_shapes_and_gradient(head):
    torch.manual_seed(0)
    model = MachineModel(machine_head=head)
    outputs = model(torch.rand(2, 1, 224, 313))
    assert outputs.embedding.shape == (2, 512) and outputs.logits.shape == (2,)
    assert model.extractor(torch.rand(1, 1, 224, 313)).shape == (1, 512, 7, 10)
    machine_loss(outputs.logits, [1, 0]).backward()
    first = next(model.extractor.parameters())
    assert first.grad.abs().max() > 0
    if head == "norm":
        norm = outputs.embedding.norm(dim=1)
        affine = model.machine_head.affine
        assert torch.allclose(outputs.logits, norm * affine.weight.squeeze() + affine.bias, atol=1e-5)
