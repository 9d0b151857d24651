import math

import numpy as np
import pytest
import torch

from lib.network.batches import Batch
from lib.network.extractor import Extractor, MachineModel, Outputs
from lib.network.flow import Flow
from lib.network.losses import attribute_loss, machine_loss, section_loss, term_weights, total_loss
from lib.settings import Flow as FlowSettings
from lib.settings import Settings
from lib.systems import SYSTEMS


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


def cross_entropy(g, y):
    probability = 1 / (1 + math.exp(-g))
    return -(y * math.log(probability) + (1 - y) * math.log(1 - probability))


def test_section_loss_is_equation_3():
    rng = np.random.default_rng(0)
    logits, y, t = rng.normal(0, 2, (6, 3)), rng.random((6, 3)), np.array([1, 1, 0.3, 0, 0.7, 0])
    total = sum(t[i] * cross_entropy(logits[i, k], y[i, k]) for i in range(6) for k in range(3))
    assert float(section_loss(torch.tensor(logits), y, t)) == pytest.approx(total / (3 * t.sum()), rel=1e-5)
    assert float(section_loss(torch.tensor(logits), y, np.zeros(6))) == 0  # no target clip, nothing to tell apart


def test_attribute_loss_is_equation_8():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(0, 2, (6, 4)), rng.random((6, 4))
    total = sum(cross_entropy(logits[i, k], y[i, k]) for i in range(6) for k in range(4))
    assert float(attribute_loss(torch.tensor(logits), y, np.ones(6))) == pytest.approx(total / (4 * 6), rel=1e-5)
    without = total - sum(cross_entropy(logits[2, k], y[2, k]) for k in range(4))
    known = np.array([1, 1, 0, 1, 1, 1])  # clip 2 lacks the attribute
    assert float(attribute_loss(torch.tensor(logits), y, known)) == pytest.approx(without / (4 * 6), rel=1e-5)


CHANNELS, K = 6, 2


class Model:
    """What `total_loss` asks of a model: a flow and the second task's name."""

    def __init__(self, second_task="attribute", invariant=False):
        torch.manual_seed(0)
        self.second_task = second_task
        self.flow = Flow(CHANNELS, FlowSettings(invariant_channels=2, steps=2), invariant)


def made_batch(mixed=True):
    """Three target-machine clips and three others; mixed: clip 0 with 1, 1 with 3, 2 with 0, 3 with 2, 4 with 5, 5 with 4."""
    lam = np.array([0.8, 0.6, 0.3, 0.4, 0.9, 0.5]) if mixed else np.ones(6)
    return Batch(
        clip=np.arange(6), cuts=None, partner=np.array([1, 3, 0, 2, 5, 4]), lam=lam,
        own=np.array([1.0, 1, 1, 0, 0, 0]), category=np.array([0, 1, 1, -1, -1, -1]),
        kv=np.array([5.0, 10, 10, np.nan, np.nan, np.nan]),
    )  # fmt: skip


def made_outputs():
    rng = torch.Generator().manual_seed(1)
    maps = torch.randn(6, CHANNELS, 2, 2, generator=rng)
    return Outputs(maps.mean(dim=(2, 3)), torch.randn(6, generator=rng), torch.randn(6, K, generator=rng), maps)


@pytest.mark.parametrize("invariant", [False, True])
def test_total_is_equations_1_and_5(invariant):
    """L_machine + 5·L_att + λ·L_Flow, L_Flow over clips 0 and 2 alone, each with the dominant parent's kv."""
    model, batch, outputs = Model(invariant=invariant), made_batch(), made_outputs()
    weights = {"machine": 1.0, "attribute": 5.0, "flow": 1e-2}
    with torch.no_grad():
        total, terms = total_loss(model, outputs, batch, weights)
        latent, logabsdet = model.flow(outputs.feature_map[[0, 2]])
    t = [0.8 + 0.2, 0.6 * 1 + 0.4 * 0, 0.3 + 0.7, 0.4 * 0 + 0.6 * 1, 0, 0]
    y = [[0.8, 0.2], [0, 0.6], [0.7, 0.3], [0, 0.6], [0, 0], [0, 0]]
    att = sum(cross_entropy(float(outputs.class_logits[i, k]), y[i][k]) for i in range(6) for k in range(K)) / (K * 6)
    flow = 0.0
    for z, logdet, kv in zip(latent, logabsdet, (5.0, 5.0), strict=True):  # clip 2 is 0.3 itself and 0.7 clip 0
        for channel in range(CHANNELS):
            mean = kv if invariant and channel < 2 else 0.0
            flow += sum(0.5 * math.log(2 * math.pi) + (v - mean) ** 2 / 2 for v in z[channel].flatten().tolist())
        flow -= float(logdet)
    machine = equation_2(outputs.logits.tolist(), t)
    assert float(terms["machine"]) == pytest.approx(machine, rel=1e-5)
    assert float(terms["attribute"]) == pytest.approx(att, rel=1e-5)
    assert float(terms["flow"]) == pytest.approx(flow / 2, rel=1e-5)
    assert float(total) == pytest.approx(machine + 5 * att + 1e-2 * flow / 2, rel=1e-5)


def test_unmixed_batch_trains_the_flow_on_every_target_clip():
    batch = made_batch(mixed=False)
    assert batch.pure.tolist() == [True, True, True, False, False, False] and batch.position[:3].tolist() == [5, 10, 10]
    assert batch.classes(K).tolist() == [[1, 0], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0]]


def test_a_batch_without_pure_clips_adds_nothing_to_the_flow():
    model, batch, outputs = Model(), made_batch(), made_outputs()
    object.__setattr__(batch, "partner", np.array([3, 4, 5, 0, 1, 2]))
    total, terms = total_loss(model, outputs, batch, {"flow": 1.0})
    assert not batch.pure.any() and float(total) == 0 and float(terms["flow"]) == 0


def test_section_as_second_task():
    batch, outputs = made_batch(), made_outputs()
    _, terms = total_loss(Model("section"), outputs, batch, {"attribute": 5.0})
    assert float(terms["attribute"]) == pytest.approx(
        float(section_loss(outputs.class_logits, batch.classes(K), batch.target))
    )


def test_weights_of_each_system():
    settings = Settings()
    assert term_weights(SYSTEMS["OE"], settings) == {"machine": 1.0}
    assert term_weights(SYSTEMS["OE-DFlow"], settings) == {"machine": 1.0, "flow": 1e-7}
    assert term_weights(SYSTEMS["SerialOE-Flow"], settings) == {"machine": 1.0, "attribute": 5.0, "flow": 1e-7}
    assert term_weights(SYSTEMS["Serial-OE"], settings) == {"machine": 1.0, "attribute": 5.0}


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


def test_the_embedding_is_the_average_pool_of_the_map():
    feature_map = torch.arange(2 * 3 * 2 * 2, dtype=torch.bfloat16).view(2, 3, 2, 2)
    embedding = Extractor.embed(feature_map)
    assert embedding.tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]] and embedding.dtype == torch.float32
    outputs = MachineModel().eval()(torch.rand(2, 1, 64, 64))
    assert torch.allclose(outputs.embedding, outputs.feature_map.mean(dim=(2, 3)), atol=1e-5)


def test_heads_are_float32_in_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        outputs = MachineModel(classes=3).eval()(torch.rand(2, 1, 64, 64))
    assert outputs.logits.dtype == outputs.class_logits.dtype == outputs.embedding.dtype == torch.float32
    assert outputs.feature_map.dtype == torch.bfloat16 and outputs.class_logits.shape == (2, 3)
