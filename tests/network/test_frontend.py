import librosa
import numpy as np
import pandas as pd
import pytest
import torch

from lib.network.frontend import (
    Cuts,
    MelSpectrogram,
    gather,
    segment_starts,
    spectrograms,
    usual_spectrum,
)  # fmt: skip
from lib.recordings.machine import standardized
from lib.settings import Frontend


class FakeBank:
    """Clips held in a list, as a bank would serve them."""

    def __init__(self, sounds):
        self.samples = np.concatenate(sounds)
        lengths = [len(s) for s in sounds]
        self.rows = pd.DataFrame({"start": np.cumsum([0, *lengths[:-1]]), "length": lengths})

    def sound(self, row):
        return self.samples[row.start : row.start + row.length]


@pytest.fixture
def bank():
    rng = np.random.default_rng(0)
    return FakeBank([(rng.standard_normal(n) * level + 50).astype(np.int16) for n, level in ((900, 500), (300, 3000))])


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(10, [0, 1.25, 2.5, 3.75, 5.0]), (12, [0, 1.25, 2.5, 3.75, 5.0, 6.25, 7.0]), (5, [0]), (3, [0]), (5.5, [0, 0.5])],
)
def test_segments_cover_the_clip(seconds, starts):
    assert segment_starts(int(seconds * 16000), 80000, 0.75).tolist() == [int(s * 16000) for s in starts]


def test_machine_standardisation_is_one_for_all_clips(bank):
    rows = standardized(bank, bank.rows, "machine", bank.rows[:1])
    target = bank.samples[:900] / 32768
    assert np.allclose(rows["mean"], target.mean()) and np.allclose(rows["deviation"], target.std())
    waves = gather(torch.from_numpy(bank.samples), Cuts.of(rows[:1], [0]), 900)
    assert abs(float(waves.mean())) < 1e-5 and float(waves.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_clip_standardisation_is_each_clips_own_and_survives_silence():
    bank = FakeBank([np.full(400, 3, np.int16), np.arange(400).astype(np.int16)])
    rows = standardized(bank, bank.rows, "clip", bank.rows[:1])
    waves = gather(torch.from_numpy(bank.samples), Cuts.of(rows, [0, 0]), 400)
    assert torch.isfinite(waves).all() and waves[0].abs().max() < 1e-3
    assert float(waves[1].std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_gather_cuts_and_tiles(bank):
    rows = bank.rows.assign(mean=0.0, deviation=1.0)
    offsets = [250, 100]
    waves = gather(torch.from_numpy(bank.samples), Cuts.of(rows, offsets), 500).numpy() * 32768
    assert np.array_equal(waves[0], bank.samples[250:750])
    assert np.array_equal(waves[1], np.tile(bank.samples[900:], 3)[100:600])


@pytest.mark.parametrize("power", [1, 2])
def test_mel_spectrogram_is_librosas(power):
    frontend = Frontend(power=power)
    wave = np.random.default_rng(0).standard_normal(80000).astype(np.float32)
    mel = MelSpectrogram(frontend, 16000)(torch.from_numpy(wave)[None])
    assert mel.shape == (1, 1, 224, 313) == (1, 1, 224, MelSpectrogram(frontend, 16000).frames(80000))
    stft = np.abs(librosa.stft(wave, n_fft=2048, hop_length=256, pad_mode="reflect"))
    stft /= np.sqrt((librosa.filters.get_window("hann", 2048) ** 2).sum())
    bands = librosa.filters.mel(sr=16000, n_fft=2048, n_mels=224, fmin=50, fmax=7800, htk=True, norm=None)
    expected = bands @ stft**power
    assert np.allclose(mel[0, 0], expected, atol=1e-4 * expected.max())
    assert (bands.sum(axis=1) > 0).all()


def test_log_compression_is_of_the_same_mel():
    wave = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    plain, log = (MelSpectrogram(Frontend(mels=32, log=log), 16000)(wave) for log in (False, True))
    assert torch.allclose(plain.log(), log, atol=1e-5)
    assert torch.isfinite(MelSpectrogram(Frontend(mels=32, log=True), 16000)(torch.zeros(1, 16000))).all()


def test_mixing_waves_before_mel(bank):
    rows = bank.rows.assign(mean=0.0, deviation=1.0)
    samples, mel = torch.from_numpy(bank.samples), MelSpectrogram(Frontend(window=128, hop=64, mels=8), 16000)
    first, second = Cuts.of(rows[:1], [0]), Cuts.of(rows[1:], [0])
    mixed = spectrograms(samples, first, mel, 300, second, torch.tensor([0.3]))
    waves = 0.3 * gather(samples, first, 300) + 0.7 * gather(samples, second, 300)
    assert torch.allclose(mixed, mel(waves), atol=1e-6)


def test_off_the_cpu_all_waves_at_once_give_the_same_kind_of_spectrogram():
    mel, waves = MelSpectrogram(Frontend(), 16000), torch.randn(2, 8000)
    there = mel.to("meta")(waves.to("meta"))
    assert (there.shape, there.dtype) == ((2, 1, 224, 32), torch.float32)


def test_waves_too_short_to_be_reflected_are_refused():
    mel = MelSpectrogram(Frontend(), 16000)
    assert mel(torch.randn(1, 1025)).shape[-1] == mel.frames(1025)
    with pytest.raises(ValueError, match="1024 samples: a window of 2048 needs more than 1024"):
        mel(torch.randn(1, 1024))


def test_a_card_hears_what_a_processor_does(bank, monkeypatch):
    """Its gathering and its transforms, here on a processor."""
    rows = standardized(bank, bank.rows, "clip", bank.rows[:1])
    samples, cuts = torch.from_numpy(bank.samples), Cuts.of(rows, [100, 50])
    mel = MelSpectrogram(Frontend(window=64, hop=16, mels=8), 16000)
    here = spectrograms(samples, cuts, mel, 400, cuts[[1, 0]], torch.tensor([0.3, 0.9]))
    monkeypatch.setattr("lib.network.frontend.is_host", lambda _: False)
    there = spectrograms(samples, cuts, mel, 400, cuts[[1, 0]], torch.tensor([0.3, 0.9]))
    assert here.std() > 0.1 and torch.allclose(here, there, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("clips", "chosen"), [(2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_the_usual_spectrum_is_of_the_middles_of_clips_drawn_evenly(clips, chosen):
    rng = np.random.default_rng(1)
    lengths = (100, 300, 401, 350, 500)  # the first is shorter than a segment
    bank = FakeBank([(1000 * (1 + i) * rng.standard_normal(n)).astype(np.int16) for i, n in enumerate(lengths)])
    rows = standardized(bank, bank.rows, "machine", bank.rows)
    samples, mel = torch.from_numpy(bank.samples), MelSpectrogram(Frontend(window=64, hop=16, mels=8), 16000)
    middles = [max(lengths[i] - 200, 0) // 2 for i in chosen]
    each = [
        spectrograms(samples, Cuts.of(rows[i : i + 1], [m]), mel, 200)[0, 0]
        for i, m in zip(chosen, middles, strict=True)
    ]
    found = usual_spectrum(samples, rows, mel, 200, clips)
    assert isinstance(found, list) and np.allclose(found, [torch.stack(each).mean(dim=(0, 2)).tolist()], rtol=1e-5)
