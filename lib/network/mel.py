"""The mel bands that every front end here takes: HTK scale, no area normalisation. Imports no torch."""

import librosa
import numpy as np

QUIETEST = 1e-8  # of a mel value before its logarithm


def mel_bands(window: int, mels: int, low: float, high: float, sample_rate: int) -> np.ndarray:
    """(bins, mels) float32 weights of the spectrum of `window` samples; `low`, `high` and `sample_rate` in Hz."""
    return librosa.filters.mel(
        sr=sample_rate, n_fft=window, n_mels=mels, fmin=low, fmax=high, htk=True, norm=None
    ).T  # fmt: skip
