"""The power weights of Sec. 3.2 and the high-pass that they hear through."""

import numpy as np
import pytest
from scipy.signal import sosfiltfilt, sosfreqz

from lib.network.frontend import segment_starts
from lib.network.power import HighPass, column_weights, power_weights


def test_highpass_meets_its_edges():
    _, response = sosfreqz(HighPass(4000, 3500, 16000).sections, worN=[3500, 4000, 6000], fs=16000)
    level = 20 * np.log10(np.abs(response))
    assert level[0] <= -39.9 and level[1] >= -3.1 and level[2] > -0.1


def test_a_quiet_clip_has_weights_and_a_silent_one_has_equal_ones():
    quiet = np.repeat([1e-13, 3e-13], 100)
    assert np.allclose(power_weights(quiet, np.array([0, 100]), 100), [0.25, 0.75])
    assert np.allclose(power_weights(quiet * 1e-4, np.array([0, 100]), 100), 0.5)


def test_power_weights_follow_the_event():
    rng, highpass = np.random.default_rng(0), HighPass(4000, 3500, 16000)
    sound = np.zeros(32000)
    sound[16000:24000] = 3000 * rng.standard_normal(8000)
    starts = segment_starts(32000, 8000, 0.0)
    weights = power_weights(highpass.power(sound), starts, 8000)
    filtered = sosfiltfilt(highpass.sections, sound / 32768)
    power = np.array([np.mean(filtered[s : s + 8000] ** 2) for s in starts])
    assert np.allclose(weights, power / power.sum()) and weights.argmax() == 2 and weights[2] > 0.95
    assert np.allclose(power_weights(np.zeros(32000), starts, 8000), 0.25)


def test_column_weights_are_equations_shares():
    """Column j weighs the mean power of samples ⌊jL/W⌋ … ⌊(j+1)L/W⌋ of its segment, all columns of the clip sum to 1."""
    power = np.random.default_rng(0).random(1000)
    starts, length, columns = [0, 250, 600], 400, 7
    weights = column_weights(power, starts, length, columns)
    expected = [
        [np.mean(power[s + j * length // columns : s + (j + 1) * length // columns]) for j in range(columns)]
        for s in starts
    ]
    assert np.allclose(weights, np.array(expected) / np.sum(expected)) and weights.sum() == pytest.approx(1)
    assert np.allclose(column_weights(np.zeros(1000), starts, length, columns), 1 / 21)
    short = column_weights(power[:100], [0], 400, 4)  # a clip of a quarter of a segment is heard four times
    assert np.allclose(short, 0.25)


@pytest.mark.parametrize("samples", [200, 5059, 5060, 7200, 50001])
@pytest.mark.parametrize("edges", [(4000, 3500), (1000, 700)])
def test_power_is_that_of_scipys_filter_to_the_ends(samples, edges):
    """A loud hum below the edge and a click at either end; short clips, long ones, and the shortest that counts as long."""
    rng, highpass = np.random.default_rng(0), HighPass(*edges, 16000)
    sound = 10 * rng.standard_normal(samples) + 2e4 * np.sin(2 * np.pi * 120 * np.arange(samples) / 16000)
    sound[[1, -2]] = 3e4
    sound = sound.astype(np.int16)
    expected = np.square(sosfiltfilt(highpass.sections, sound / 32768))
    found = highpass.power(sound)
    assert found.shape == (samples,) and np.allclose(found, expected, rtol=1e-6, atol=1e-9 * np.median(expected))
