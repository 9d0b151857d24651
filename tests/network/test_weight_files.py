"""A network's weights on the disk: small, and bit for bit those that scored."""

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from lib.network import weight_files
from lib.network.flow import Flow
from lib.settings import Settings


def network(seed=0):
    """Convolutions in channels-last layout, BatchNorm, a flow's buffers and maps, a dead row and one huge weight."""
    torch.manual_seed(seed)
    flow = Flow(32, Settings().flow)
    made = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Linear(40, 5), nn.Linear(3, 1), flow)
    with torch.no_grad():
        made[0].weight[0] = 0
        made[2].weight[1, 2] = 1e6
        made[1].running_mean.normal_()
    return made.to(memory_format=torch.channels_last)


def state(made):
    return {name: tensor.clone() for name, tensor in made.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_loaded_is_what_was_rounded(tmp_path):
    made, other = network(), network(1)
    whole = state(made)
    weight_files.round_off(made)
    rounded = state(made)
    weight_files.save(made, tmp_path / "model.safetensors")
    weight_files.load(other, tmp_path / "model.safetensors")
    assert equal(state(made), rounded) and equal(state(other), rounded) and not equal(whole, rounded)
    for name in ("1.running_mean", "2.bias", "3.weight"):
        assert torch.equal(whole[name], rounded[name])
    for name in ("0.weight", "2.weight"):
        far = (whole[name] - rounded[name]).flatten(1).abs().amax(1)
        assert (far <= whole[name].flatten(1).abs().amax(1) / 1021).all() and far.max() > 0


def test_a_weight_takes_ten_bits(tmp_path):
    made = nn.Linear(512, 512, bias=False)
    weight_files.save(made, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size < 512 * 512 * 10 / 8 + 512 * 4 + 1000


def test_a_network_that_was_not_rounded_is_when_it_is_saved(tmp_path):
    made, other = network(), network(1)
    weight_files.save(made, tmp_path / "model.safetensors")
    weight_files.load(other, tmp_path / "model.safetensors")
    assert equal(state(made), state(other))


def test_a_file_of_whole_weights_loads(tmp_path):
    made, other = network(), network(1)
    save_model(made, str(tmp_path / "model.safetensors"))
    weight_files.load(other, tmp_path / "model.safetensors")
    assert equal(state(made), state(other))


def test_no_damage_is_rounded_away(tmp_path):
    """Weights that are no numbers stay none, and are seen; a file of another network is refused."""
    made = network()
    with torch.no_grad():
        made[2].weight[0, 0] = float("nan")
        made[2].weight[2, 0] = float("inf")
    weight_files.round_off(made)
    assert not made[2].weight[0].isfinite().any() and not made[2].weight[2].isfinite().all()
    weight_files.save(nn.Linear(40, 5), tmp_path / "model.safetensors")
    with pytest.raises(KeyError):
        weight_files.load(made, tmp_path / "model.safetensors")
