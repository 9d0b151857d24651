"""Fixture: a training of the machine fan on the small root of noise."""

import pytest
from trainings import SETTINGS

from lib.network.device import prepare
from lib.network.system_training import SystemTraining
from lib.paths import Run
from lib.systems import SYSTEMS


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
