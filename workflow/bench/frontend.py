"""Crop, mixup and mel spectrogram: what a batch goes through before the network."""

from collections.abc import Iterator

import librosa
import numpy as np
import torch

from lib.network.batches import BalancedBatches
from lib.network.device import pick_device
from lib.network.frontend import MelSpectrogram
from lib.settings import Settings
from workflow.bench.clocks import in_turn
from workflow.bench.entry import Entry
from workflow.bench.noise import PRESETS, RATE, settings_of, size_of, white

LIBROSA = 8  # clips; its time is linear in them


def crop_and_mel() -> Iterator[Entry]:
    """A mixed batch, from the bank to the network's input, against the transforms and products alone."""
    samples, rows = white(100)
    for preset in PRESETS:
        settings = settings_of(preset)
        mel = MelSpectrogram(settings.frontend, RATE).to(samples.device)
        batches = BalancedBatches(rows[:50], rows[50:], settings.training, settings.segment_samples, 0)
        count = settings.training.batch

        def ours(batches=batches, mel=mel, settings=settings):
            batch = batches.draw(batches.steps - 1)  # at the end every batch is mixed
            batch.spectrograms(samples, mel, settings.segment_samples)

        took = in_turn({"ours": ours, "bare": _bare(settings, mel, count), "librosa": _by_librosa(settings)}, seconds=6)
        yield Entry(
            "crop and mel", size_of(settings), count / took["ours"], "clips/s", count / took["bare"],
            "Fourier transforms and mel products", LIBROSA / took["librosa"], "librosa, mel alone, clip by clip",
        )  # fmt: skip


def _bare(settings: Settings, mel: MelSpectrogram, count: int):
    """The transforms of frames that are there, and the products of the bands with the bins they hear, clip by clip."""
    frames = torch.randn(mel.frames(settings.segment_samples), settings.frontend.window, device=pick_device())
    magnitude = torch.rand(len(frames), mel.bands.shape[1], device=pick_device()).t()  # (bins, frames)

    def work():
        for _ in range(count):
            torch.fft.rfft(frames)
            for mels, bins in mel.heard:
                torch.mm(mel.bands[mels, bins], magnitude[bins])

    return work


def _by_librosa(settings: Settings):
    frontend = settings.frontend
    waves = np.random.default_rng(0).standard_normal((LIBROSA, settings.segment_samples)).astype(np.float32)

    def work():
        for wave in waves:
            librosa.feature.melspectrogram(
                y=wave, sr=RATE, n_fft=frontend.window, hop_length=frontend.hop, n_mels=frontend.mels,
                fmin=frontend.low, fmax=frontend.high, power=frontend.power, htk=True, norm=None,
            )  # fmt: skip

    return work


STAGES = {"mel": crop_and_mel}
