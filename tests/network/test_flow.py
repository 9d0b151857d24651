import math

import numpy as np
import pytest
import torch

from lib.network.flow import ChannelAffine, Flow, SoftClampCoupling, Subnet, flow_loss
from lib.settings import Flow as Settings

SMALL = Settings(invariant_channels=2)


def perturbed(channels, settings=SMALL, invariant=False, scale=0.3, dtype=torch.float64):
    """A flow whose every weight has moved from where it starts."""
    torch.manual_seed(0)
    flow = Flow(channels, settings, invariant).to(dtype)
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(scale * torch.randn_like(weight) / math.sqrt(max(weight[0].numel(), 1)))
    return flow


def test_inverse_on_the_papers_map():
    flow = perturbed(512, Settings(), scale=0.1, dtype=torch.float32)
    feature_map = torch.randn(2, 512, 7, 10).relu()
    latent, logabsdet = flow(feature_map)
    again, inverse_logabsdet = flow.inverse(latent)
    assert latent.shape == feature_map.shape and logabsdet.shape == (2,)
    assert (again - feature_map).abs().max() < 1e-5
    assert torch.allclose(logabsdet, -inverse_logabsdet, rtol=1e-5, atol=1e-2) and logabsdet.abs().min() > 1
    assert (latent - feature_map).abs().mean() > 0.1


def test_log_determinant_is_autograds():
    flow = perturbed(6)
    feature_map = torch.randn(1, 6, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        logabsdet = flow(feature_map)[1]
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x)[0], feature_map).reshape(36, 36)
    assert float(logabsdet) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-9)


def test_coupling_expands_and_contracts_within_its_clamp():
    coupling = SoftClampCoupling(4, lambda n, m: Subnet(n, m, 1, 1.0), clamp=2.0)
    raw = torch.tensor([-1e6, -2.0, 0.0, 2.0, 1e6]).view(5, 1, 1, 1)
    scale, shift = coupling._scale_and_shift(torch.cat([raw, raw, raw, raw], dim=1))
    expected = [math.exp(2 * 0.636 * math.atan(s / 2)) for s in raw.flatten().tolist()]
    assert torch.allclose(scale[:, 0, 0, 0], torch.tensor(expected)) and torch.equal(shift[:, 0], raw[:, 0])
    assert scale.min() < 0.15 and scale.max() > 7 and scale.log().abs().max() < 2


def test_kernels_alternate():
    flow = Flow(8, SMALL)
    kernels = [m.kernel_size for m in flow.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(3, 3), (3, 3), (1, 1), (1, 1)] * 4


def test_dead_channels_stay_finite():
    flow = Flow(8, SMALL)
    loss = flow_loss(flow, torch.zeros(2, 8, 2, 2))
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in flow.parameters())
    assert any(isinstance(m, ChannelAffine) for m in flow.modules())


def test_autocast_changes_nothing():
    flow = perturbed(16, dtype=torch.float32)
    feature_map = torch.randn(2, 16, 3, 4)
    plain = flow(feature_map)
    with torch.autocast("cpu", torch.bfloat16):
        inside = flow(feature_map)
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))


def density(latent, position, domain_channels):
    """log p_Z, number by number."""
    total = 0.0
    for channel in range(latent.shape[0]):
        mean = position if channel < domain_channels else 0.0
        for z in latent[channel].flatten().tolist():
            total += -0.5 * math.log(2 * math.pi) - (z - mean) ** 2 / 2
    return total


@pytest.mark.parametrize("invariant", [False, True])
def test_loss_is_equations_6_and_7(invariant):
    flow = perturbed(6, invariant=invariant)
    feature_map, position = torch.randn(3, 6, 2, 2, dtype=torch.float64), torch.tensor([5.0, 10.0, 15.0])
    terms = []
    for i in range(3):
        with torch.no_grad():
            latent, logabsdet = flow(feature_map[i : i + 1])
        terms.append(density(latent[0], float(position[i]), 2 * invariant) + float(logabsdet))
    assert flow_loss(flow, feature_map, position).item() == pytest.approx(-sum(terms) / 3, rel=1e-6)


def test_a_clip_without_the_parameter_adds_nothing_to_z_d():
    flow = perturbed(6, invariant=True)
    latent, nan = torch.randn(2, 6, 2, 2, dtype=torch.float64), float("nan")
    found = flow.log_prob(latent, torch.tensor([5.0, nan]))
    assert float(found[1]) == pytest.approx(density(latent[1, 2:], 0, 0)) and found[0] < found[1]
    feature_map = torch.randn(2, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    flow_loss(flow, feature_map, torch.tensor([5.0, nan])).backward()
    assert feature_map.grad.isfinite().all()


@pytest.mark.parametrize("invariant", [False, True])
def test_score_map_is_of_the_common_channels_without_log_determinant(invariant):
    flow = perturbed(6, invariant=invariant)
    feature_map = torch.randn(2, 6, 2, 3, dtype=torch.float64)
    latent, logabsdet = flow(feature_map)
    score = flow.score_map(feature_map)
    assert score.shape == (2, 2, 3)
    assert float(score[1, 0, 2]) == pytest.approx(-density(latent[1, 2 * invariant :, 0:1, 2:3], 0, 0))
    with_determinant = perturbed(6, SMALL.model_copy(update={"score_logdet": True}), invariant).score_map(feature_map)
    assert torch.allclose((score - with_determinant).sum(dim=(1, 2)), logabsdet)


def made_maps(values, clips, seed):
    """Maps of noise that a physical parameter shifts along one direction of channels; and the clips' v."""
    direction = np.random.default_rng(0).standard_normal(8)
    v = np.repeat(values, clips)
    noise = np.random.default_rng(seed).standard_normal((len(v), 8, 2, 2))
    shifted = noise + v[:, None, None, None] * (direction / np.linalg.norm(direction))[:, None, None]
    return torch.tensor(shifted, dtype=torch.float32), torch.tensor(v, dtype=torch.float32)


def fitted_flow(invariant, feature_map, v):
    torch.manual_seed(0)
    flow = Flow(8, Settings(invariant_channels=1, steps=2), invariant)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=150)
    for _ in range(150):
        optimizer.zero_grad()
        flow_loss(flow, feature_map, v).backward()
        optimizer.step()
        schedule.step()
    return flow.requires_grad_(False)


def test_domain_invariant_latent_on_made_data():
    """z_d follows v, and z_c's score varies less with v than the plain flow's, also at a v that nobody trained on."""
    feature_map, v = made_maps([0.0, 5.0, 10.0], 100, seed=1)
    fresh, fresh_v = made_maps([0.0, 5.0, 10.0, 15.0], 100, seed=2)
    flow = fitted_flow(True, feature_map, v)
    z_d = flow(fresh)[0][:, 0].mean(dim=(1, 2)).numpy()
    means = [z_d[fresh_v == value].mean() for value in (0, 5, 10)]
    assert means == pytest.approx([0, 5, 10], abs=1) and np.corrcoef(z_d, fresh_v)[0, 1] > 0.95

    def spread(flow):
        score = flow.score_map(fresh).mean(dim=(1, 2)).numpy()
        means = [score[fresh_v == value].mean() for value in (0, 5, 10, 15)]
        return max(means) - min(means)

    assert spread(flow) < 0.5 * spread(fitted_flow(False, feature_map, None))


def test_the_grey_reference_of_z_d_stands_at_kv():
    from lib.results.plots_flow import latent_histograms

    draw, kv = np.random.default_rng(0), np.repeat([-10.0, 10.0], 4)
    z_d = draw.standard_normal((8, 2, 3, 3)) + kv[:, None, None, None]
    figure = latent_histograms(draw.standard_normal((8, 4, 3, 3)), np.repeat("normal", 8), z_d, kv)
    outlines = [fill.get_paths()[0].vertices for fill in figure.axes[1].collections]
    assert [o[o[:, 1].argmax(), 0] for o in outlines] == pytest.approx([-10, 10], abs=0.1)


def test_z_d_is_the_first_eight_of_512_channels():
    """The slope of log p_Z is kv − z there and −z elsewhere."""
    flow = Flow(512, Settings(), True)
    latent = torch.randn(2, 512, 2, 3, requires_grad=True)
    flow.log_prob(latent, torch.tensor([4.0, -6.0])).sum().backward()
    expected = -latent.detach()
    expected[0, :8] += 4
    expected[1, :8] -= 6
    assert torch.allclose(latent.grad, expected, atol=1e-6)
    assert Flow(512, Settings()).domain_channels == 0


def test_the_papers_flow_has_eight_steps_as_wide_as_their_input():
    flow = Flow(512, Settings())
    shapes = [m.weight.shape for m in flow.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(shapes) == 16 and shapes[0] == (256, 256, 3, 3) and shapes[3] == (512, 256, 1, 1)
    assert {m.clamp for m in flow.modules() if isinstance(m, SoftClampCoupling)} == {2.0}
    narrow = Flow(8, SMALL.model_copy(update={"hidden_ratio": 0.1}))
    assert narrow(torch.randn(1, 8, 2, 2))[0].shape == (1, 8, 2, 2)  # one hidden channel at least


def test_permutations_are_random_and_the_seeds():
    torch.manual_seed(0)
    first = [b.clone() for name, b in Flow(64, SMALL).named_buffers() if "permutation" in name]
    torch.manual_seed(1)
    other = [b for name, b in Flow(64, SMALL).named_buffers() if "permutation" in name]
    assert len(first) == 8 and not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], torch.arange(64))


def test_the_channel_affine_is_a_transform_with_its_log_determinant():
    affine = ChannelAffine(3).double()
    values = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    assert torch.equal(affine(values)[0], values) and not affine(values)[1].any()  # the identity at first
    with torch.no_grad():
        affine.log_scale.copy_(torch.tensor([0.1, -0.4, 0.5])[:, None, None])
        affine.shift.copy_(torch.tensor([1.0, 2.0, -3.0])[:, None, None])
        outputs, logabsdet = affine(values)
        again, inverse = affine.inverse(outputs)
    assert torch.allclose(outputs[1, 2], values[1, 2] * math.exp(0.5) - 3) and torch.allclose(again, values)
    assert torch.allclose(logabsdet, torch.tensor(0.2 * 4).double()) and torch.equal(inverse, -logabsdet)
