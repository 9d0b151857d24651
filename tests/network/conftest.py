"""Fixtures: a narrow network in place of ResNet-18; a training of the machine fan on the small root of noise."""

import pytest
from trainings import SETTINGS

from lib.network import extractor
from lib.network.device import prepare
from lib.network.system_training import SystemTraining
from lib.network.torchvision_pair import timm
from lib.paths import Run
from lib.systems import SYSTEMS


@pytest.fixture(autouse=True)
def narrow(request, monkeypatch):
    """A residual network of ResNet-18's strides and map and a fortieth of its weights, but for what is marked `resnet18`.

    What these tests ask of a training does not follow from its width; the graph's tests train the real one.
    """
    if not request.node.get_closest_marker("resnet18"):
        create = timm.create_model

        def create_narrow(name, pretrained=False, **wanted):
            return create(
                name, pretrained, block=timm.models.resnet.Bottleneck, layers=[1] * 4, channels=(2, 4, 8, 128), **wanted
            )

        monkeypatch.setattr(extractor.timm, "create_model", create_narrow)


@pytest.fixture
def machine(root, run):
    """How a training of fan is opened: `machine(system="OE", …)`."""

    def opened(system="OE", parameter="all", settings=SETTINGS, seed=0, folder=None):
        notebook = SYSTEMS[system].notebook
        where = Run(folder) if folder else run
        training = SystemTraining(notebook, "fan", settings, where, "", str(root), system, parameter, seed)
        prepare(seed, 1)
        return training

    return opened
