"""Faults of the demo machines are as loud as the recipes say."""

import numpy as np
import pytest
from scipy import signal

from lib.demo import data
from lib.demo.machines import Fault
from lib.demo.recipes import RECIPES, combinations
from lib.demo.sounds import SAMPLE_RATE

THIRD_OCTAVES = 1000 * 2 ** (np.arange(-10, 9) / 3)  # Hz, their centres
OF_SPEED = {"voltage up", "voltage down", "overcharge"}  # move what is there, and add nothing


def powers(sound):
    """(bands, frames) power in third octaves, frames of 100 ms."""
    frequencies, _, spectrum = signal.stft(sound, SAMPLE_RATE, nperseg=1600, boundary=None, padded=False)
    edges = [(c * 2 ** (-1 / 6), c * 2 ** (1 / 6)) for c in THIRD_OCTAVES]
    power = abs(spectrum) ** 2
    return 1e-12 + np.array([power[(frequencies >= low) & (frequencies < high)].sum(axis=0) for low, high in edges])


def stands_out(monkeypatch, machine, kind, severity, clips=4):
    """dB of what a fault changes over what is there with or without it, in its best band and hundredth of the frames."""
    found, seconds = [], 12.0 if machine.startswith("Toy") else 4.0  # a train passes few joints
    for seed in range(clips):
        domain = ("target", "source")[seed % 2]
        attributes = list(combinations(machine, domain))[seed % 2]
        monkeypatch.setattr(data, "draw_fault", lambda _, rng: Fault(kind, severity, rng))
        healthy, faulty = (
            data.make_clip(machine, attributes, domain, anomalous, np.random.default_rng(seed), seconds)
            for anomalous in (False, True)
        )
        over = powers(faulty - healthy) / np.minimum(powers(healthy), powers(faulty))
        found.append(10 * np.log10(np.quantile(over, 0.99, axis=1).max()))
    return float(np.median(found))


@pytest.mark.long
@pytest.mark.parametrize(
    ("machine", "kind"), [(m, kind) for m, recipe in RECIPES.items() for kind in recipe.faults if kind not in OF_SPEED]
)
def test_the_weakest_of_a_fault_can_be_heard(monkeypatch, machine, kind):
    weakest, strongest = (stands_out(monkeypatch, machine, kind, s) for s in RECIPES[machine].faults[kind])
    assert weakest > -3 and strongest > weakest + 3
