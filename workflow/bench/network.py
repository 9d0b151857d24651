"""The extractor and the flow, forward and backward, against their multiplications at a plain product's speed."""

from collections.abc import Iterator

import torch
import torchvision
from torch import nn

from lib.network.device import pick_device
from lib.network.extractor import DIMENSIONS, Extractor, map_size
from lib.network.flow import Flow, Subnet, flow_loss
from workflow.bench.clocks import in_turn
from workflow.bench.entry import Entry
from workflow.bench.noise import PRESETS, like_input, precision_of, settings_of, shape_of, size_of
from workflow.bench.products import flops, product

COUNT = {"paper": 8, "quick": 32}  # clips at once on a CPU


def extractor() -> Iterator[Entry]:
    """ResNet-18, forward and backward."""
    for preset in PRESETS:
        settings, device = settings_of(preset), pick_device()
        count = settings.training.batch if device.type == "cuda" else COUNT[preset]
        precision, inputs = precision_of(settings), like_input(settings, count)
        ours = Extractor().to(device, memory_format=torch.channels_last)
        peer = torchvision.models.resnet18(num_classes=DIMENSIONS).to(device)
        peer.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False).to(device)

        def step(network, inputs, precision=precision):
            network.zero_grad()
            with torch.autocast(inputs.device.type, precision, enabled=precision != torch.float32):
                outputs = network(inputs)
            outputs.float().square().mean().backward()

        operations = flops(lambda ours=ours, inputs=inputs: step(ours, inputs))
        multiply, each = product(precision)
        plain = inputs.contiguous()
        took = in_turn(
            {
                "ours": lambda ours=ours, inputs=inputs: step(ours, inputs),
                "peer": lambda peer=peer, plain=plain: step(peer, plain),
                "product": multiply,
            },
            seconds=8,
        )
        yield Entry(
            "extractor, forward and backward", size_of(settings, precision), count / took["ours"], "clips/s",
            count * each / took["product"] / operations, "its multiplications in one matrix product",
            count / took["peer"], "torchvision's resnet18",
        )  # fmt: skip


def flow() -> Iterator[Entry]:
    """f_Flow's loss, forward and backward."""
    for preset in PRESETS:
        settings, device = settings_of(preset), pick_device()
        size, count = map_size(*shape_of(settings)), 64 if device.type == "cuda" else 16
        maps = torch.randn(count, DIMENSIONS, *size, device=device).contiguous(memory_format=torch.channels_last)
        ours = Flow(DIMENSIONS, settings.flow).to(device, memory_format=torch.channels_last)

        def step(network, loss, maps=maps):
            network.zero_grad()
            loss(network, maps.requires_grad_()).backward()

        operations = flops(lambda ours=ours: step(ours, flow_loss))
        multiply, each = product(torch.float32)
        works = {"ours": lambda ours=ours: step(ours, flow_loss), "product": multiply}
        if peer := _fastflow(settings.flow, size):
            works["peer"] = lambda peer=peer: step(peer, _peer_loss)
        took = in_turn(works, seconds=8)
        yield Entry(
            "flow, forward and backward", f"512 × {size[0]} × {size[1]}, fp32", count / took["ours"], "clips/s",
            count * each / took["product"] / operations, "its multiplications in one matrix product",
            count / took["peer"] if peer else None, "FrEIA's blocks" if peer else "FrEIA is not installed",
        )  # fmt: skip


def _fastflow(settings, size):
    """FastFlow of FrEIA's blocks with the same subnets; None where it is not installed."""
    try:
        from FrEIA.framework import SequenceINN
        from FrEIA.modules import AllInOneBlock
    except ImportError:
        return None
    network = SequenceINN(DIMENSIONS, *size)
    for i in range(settings.steps):

        def subnet(inputs, outputs, kernel=1 if i % 2 else 3):
            return Subnet(inputs, outputs, kernel, settings.hidden_ratio)

        network.append(AllInOneBlock, subnet_constructor=subnet, affine_clamping=settings.clamp)
    return network.to(pick_device(), memory_format=torch.channels_last)


def _peer_loss(network, maps):
    latent, logabsdet = network(maps)
    return (0.5 * latent.square().sum(dim=(1, 2, 3)) - logabsdet).mean()


STAGES = {"extractor": extractor, "flow": flow}
