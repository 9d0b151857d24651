"""The sentence is held to the numbers: what is said of level, band, time and pace is what was put in."""

import numpy as np
import pandas as pd
import pytest

from lib.detection.spectra import References
from lib.listening.reasons import DECIBEL, reason
from lib.network import spectrum
from lib.settings import Spectrum

SETTINGS, RATE = Spectrum(), 16000
FRAME = SETTINGS.hop / RATE
HZ = spectrum.centres(SETTINGS)


def noise(frames=320, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, (frames, 64))


def strokes(pace, frames=320):
    """A pulse of 0.1 s in all bands, `pace` times a second."""
    time = np.arange(frames) * FRAME
    return noise(frames) + 2 * ((time * pace) % 1 < 0.1 * pace)[:, None]


def references(frames_of_clips):
    made = [spectrum.profile(frames) | {"power": spectrum.power(frames)} for frames in frames_of_clips]
    views = {name: np.stack([each[name] for each in made]) for name in made[0]}
    return References(views, pd.DataFrame(), 4)


HEALTHY = references([noise(seed=seed) for seed in range(5)])


@pytest.mark.parametrize(("sign", "word"), [(1, "more"), (-1, "less")])
def test_louder_and_softer_than_every_healthy_clip(sign, word):
    bands, moments = slice(40, 44), slice(100, 200)
    frames = noise(seed=9)
    frames[moments, bands] += sign * 12 / DECIBEL
    found = reason(frames, HEALTHY, SETTINGS, RATE)
    smooth = spectrum.running(frames)[104:190, bands]
    extreme = HEALTHY.views["loudest"].max(axis=0) if sign > 0 else HEALTHY.views["softest"].min(axis=0)
    expected = DECIBEL * (smooth - extreme[bands]).mean()
    assert found.decibel == pytest.approx(expected, abs=1.0) and sign * found.decibel > 7
    assert f"{abs(found.decibel):.0f} dB {word} at " in found.words and "than in any healthy clip" in found.words
    assert HZ[39] < found.hertz[0] < HZ[40] and HZ[43] < found.hertz[1] < HZ[44]
    assert found.seconds == pytest.approx((100 * FRAME, 200 * FRAME), abs=0.2)
    assert f"{found.hertz[0] / 1000:.1f}–{found.hertz[1] / 1000:.1f} kHz" in found.words
    assert f"from {found.seconds[0]:.1f} s to {found.seconds[1]:.1f} s" in found.words


def test_strokes_at_another_pace():
    healthy = references([strokes(1.9 + 0.02 * i) for i in range(5)])
    assert reason(strokes(1.5), healthy, SETTINGS, RATE).words == "strokes come 1.5 a second, healthy 1.9"
    assert "strokes" not in reason(strokes(1.92), healthy, SETTINGS, RATE).words


def test_a_clip_like_the_others_says_so_and_what_differs_most():
    frames = noise(seed=7)
    frames[:, 10] += 1.5 / DECIBEL
    found = reason(frames, HEALTHY, SETTINGS, RATE)
    assert found.words.startswith("no part stands out; on the whole 2 dB more at ") or "1 dB more" in found.words
    assert found.hertz[0] < HZ[10] < found.hertz[1] and found.hertz[1] < 1000 and " Hz than is usual" in found.words


def test_a_short_clip_has_a_reason():
    assert reason(noise(frames=4), HEALTHY, SETTINGS, RATE).words
