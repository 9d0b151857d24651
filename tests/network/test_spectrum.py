"""Spectrum's views, each against a plain loop written from its definition."""

import librosa
import numpy as np
import pytest

from lib.network import spectrum
from lib.recordings.clips import ClipBank
from lib.settings import Data, Spectrum

SETTINGS = Spectrum()


def noise(frames=300, bands=5, seed=0):
    return np.random.default_rng(seed).normal(-3, 2, (frames, bands))


def test_log_mel_is_a_plain_loop():
    sound = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    bands = librosa.filters.mel(sr=16000, n_fft=2048, n_mels=64, fmin=50, fmax=7800, htk=True, norm=None)
    padded = np.pad(sound, 1024, mode="reflect")
    found = spectrum.log_mel(sound, SETTINGS, 16000)
    assert found.shape == (1 + 8000 // 512, 64)
    for i in (0, 3, 15):
        frame = padded[512 * i : 512 * i + 2048] * window / np.sqrt((window**2).sum())
        assert found[i] == pytest.approx(np.log(bands @ np.abs(np.fft.fft(frame)[:1025]) ** 2 + 1e-8), abs=1e-4)


def test_silence_is_the_floor():
    found = spectrum.log_mel(np.zeros(4096, np.float32), SETTINGS, 16000)
    assert found == pytest.approx(np.log(1e-8))
    assert all(np.isfinite(view).all() for view in spectrum.describe(found).values())


def test_level_power_and_flux_are_plain_loops():
    frames = noise()
    views = spectrum.describe(frames)
    for band in range(5):
        values = [frames[i, band] for i in range(300)]
        changes = [values[i + 1] - values[i] for i in range(299)]
        assert views["level"][band] == pytest.approx(sum(values) / 300)
        assert views["power"][band] == pytest.approx(np.log(sum(np.exp(v) for v in values) / 300))
        middle = sum(changes) / 299
        deviation = np.sqrt(sum((c - middle) ** 2 for c in changes) / 299)
        assert views["flux"][band] == pytest.approx(np.log(deviation + 1e-3))


@pytest.mark.parametrize("length", [300, 128, 50])
def test_modulation_is_a_plain_loop(length):
    frames = noise(length)
    found = spectrum.modulation(frames).reshape(5, 5)  # (octaves, bands)
    size = min(128, length)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    for band in range(5):
        swing, powers = frames[:, band] - frames[:, band].mean(), []
        for start in range(0, length - size + 1, size // 2):
            powers.append(np.abs(np.fft.fft(swing[start : start + size] * window, 128)) ** 2)
        mean = np.mean(powers, axis=0)
        for i, (low, high) in enumerate([(1, 3), (3, 6), (6, 12), (12, 24), (24, 48)]):
            assert found[i, band] == pytest.approx(np.log(mean[low:high].mean() + 1e-6))


def test_a_rhythm_is_in_its_octave():
    """2 Hz swings at 31.25 frames a second are bin 8 of 128."""
    swing = np.sin(2 * np.pi * 2 * np.arange(400) / 31.25)[:, None]
    assert spectrum.modulation(swing).argmax() == 2


def test_both_is_level_and_modulation():
    views = spectrum.describe(noise())
    assert (views["both"] == np.concatenate([views["level"], views["modulation"]])).all()
    assert list(views) == ["level", "modulation", "both", "power", "flux"]


def test_views_of_the_bank(root, run):
    bank = ClipBank.open(run, root, Data())
    rows = bank.of("fan")
    found = spectrum.views(bank, rows, SETTINGS)
    assert {name: view.shape for name, view in found.items()} == {
        "level": (15, 64), "modulation": (15, 320), "both": (15, 384), "power": (15, 64), "flux": (15, 64),
    }  # fmt: skip
    sound = bank.sound(next(rows.iloc[[3]].itertuples())) / np.float32(32768)
    assert found["level"][3] == pytest.approx(spectrum.log_mel(sound, SETTINGS, 16000).mean(axis=0))


def test_a_clip_shorter_than_a_window_is_heard_again_and_again():
    sound = np.arange(1000, dtype=np.int16)
    found = spectrum.long_enough(sound, SETTINGS)
    assert len(found) == 2048 and (found[1000:2000] * 32768 == sound).all()
