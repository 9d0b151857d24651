"""Where a map is strangest, and what of it is left in a picture."""

import numpy as np
import pytest

from lib.listening.clip_map import ClipMap

HZ = (50.0, 7800.0)


def test_the_strangest_stretch_of_hours():
    values = np.zeros((8, 225_000))  # two hours of 32 ms
    values[3, 150_000:150_100] = 9.0
    found = ClipMap(values, 7200.0, HZ, "dB")
    begin, end = found.strangest(6.0)
    assert end - begin == pytest.approx(6.0) and begin == pytest.approx(4798.6, abs=0.1)


@pytest.mark.parametrize(("seconds", "asked", "expected"), [(3.0, 6.0, (0.0, 3.0)), (10.0, 6.0, (4.0, 10.0))])
def test_a_stretch_stays_inside_its_clip(seconds, asked, expected):
    values = np.zeros((2, 7))
    values[:, -1] = 1.0
    assert ClipMap(values, seconds, HZ, "dB").strangest(asked) == pytest.approx(expected)
    nowhere = ClipMap(np.zeros((2, 7)), seconds, HZ, "dB").strangest(asked)
    assert 0 <= nowhere[0] < nowhere[1] <= seconds


@pytest.mark.parametrize("column", [0, 3, 57, 98, 99])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 20.0])
def test_a_stretch_holds_what_stands_out_and_lies_in_the_clip(column, seconds):
    values = np.random.default_rng(0).random((8, 100))
    values[:, column] += 9
    begin, end = ClipMap(values, 10.0, HZ, "dB").strangest(seconds)
    assert begin <= (column + 0.5) / 10 <= end and begin >= 0 and end <= 10
    assert end - begin == pytest.approx(min(seconds, 10))


@pytest.mark.parametrize("values", [np.full((4, 9), np.nan), np.ones((1, 1))])
def test_a_map_where_nothing_stands_out_still_has_a_stretch(values):
    begin, end = ClipMap(values, 10.0, HZ, "dB").strangest(3.0)
    assert 0 <= begin < end <= 10


def test_a_short_event_in_hours_is_drawn():
    values = np.zeros((4, 225_001))
    values[2, 112_600] = 5.0
    found = ClipMap(values, 7200.0, HZ, "dB").shrunk(1000)
    assert found.values.shape == (4, 1000) and found.values[2, 500] == 5.0 and found.seconds == 7200.0
    few = ClipMap(values[:, :999], 32.0, HZ, "dB")
    assert few.shrunk(1000) is few


def test_values_at_frequencies_whatever_the_scale():
    """An autoencoder's bands, from 0 Hz on Slaney's scale, and those of a flow, of which there are few."""
    bands = np.arange(7.0)[:, None]
    assert ClipMap(bands, 1.0, HZ, "nats").at(np.array([40.0, 51.0, 7799.0, 7900.0]))[:, 0].tolist()[1:3] == [0.0, 6.0]
    assert np.isnan(ClipMap(bands, 1.0, HZ, "nats").at(np.array([40.0, 7900.0]))).all()
    linear = ClipMap(np.arange(128.0)[:, None], 1.0, (0.0, 8000.0), "dB²", htk=False).at(np.array([500.0, 1000.0]))
    assert linear[1, 0] == pytest.approx(2 * linear[0, 0], abs=1.0), "below 1 kHz Slaney's scale is linear"


def test_a_part_keeps_its_place_in_time():
    values = np.zeros((2, 100))
    values[0, 42] = 1.0
    part = ClipMap(values, 50.0, HZ, "dB").cut(20.0, 26.0)
    assert part.seconds == 6.0 and part.values.shape == (2, 12) and part.values[0, 2] == 1.0
