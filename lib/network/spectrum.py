"""Spectrum: what a clip sounds like in a few hundred numbers, without any training (beyond the paper).

Views of ln(mel power), each a vector a clip. *Level*: mean over time. *Power*: the logarithm of the mean power over
time, the long-term average spectrum, which short loud events move more. *Modulation*: how strongly each band's level
swings at 0.24–11.7 Hz, in five octaves. *Both*: level and modulation. *Flux*: how much each band changes from one frame
to the next, which clicks and roughness move.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd
from scipy.fft import rfft
from scipy.signal import correlate

from lib import clock
from lib.network.mel import QUIETEST, mel_bands
from lib.progress import progress
from lib.recordings.clips import PLACE, ClipBank
from lib.recordings.reading import FULL_SCALE
from lib.settings import Spectrum
from lib.systems import SPECTRA

STILL = 1e-6  # added to a modulation power
STEADY = 1e-3  # added to a change between frames
OCTAVES = ((1, 3), (3, 6), (6, 12), (12, 24), (24, 48))  # bins of a block's spectrum; of 128 frames 0.24–11.7 Hz
FRAMES = 256  # transformed at once
ALMOST = 0.8  # of the highest peak
RUNNING = 8  # frames = 0.26 s, over which a level is taken before its extremes


def log_mel(sound: np.ndarray, spectrum: Spectrum, sample_rate: int) -> np.ndarray:
    """ln(mel power + 1e-8) of a whole clip: centred frames, Hann window, HTK bands without area normalisation.

    Args:
        sound: (samples,) full scale = 1. spectrum: `settings.Spectrum`. sample_rate: Hz.

    Returns:
        (1 + ⌊samples / hop⌋, mels) float64.
    """
    size, hop = spectrum.window, spectrum.hop
    window, bands = _filters(spectrum, sample_rate)
    padded = np.pad(np.asarray(sound, np.float32), size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    parts = []
    for first in range(0, len(frames), FRAMES):
        found = rfft(frames[first : first + FRAMES] * window)  # SciPy's takes a quarter of NumPy's time in float32
        parts.append((np.square(found.real) + np.square(found.imag)).astype(np.float32) @ bands)
    return np.log(np.concatenate(parts) + QUIETEST, dtype=np.float64)


@lru_cache(maxsize=4)
def _filters(spectrum, sample_rate):
    """(window,) Hann of power 1, and the (bins, mels) bands."""
    window = librosa.filters.get_window("hann", spectrum.window)
    return (window / np.sqrt(np.square(window).sum())).astype(np.float32), mel_bands(
        spectrum.window, spectrum.mels, spectrum.low, spectrum.high, sample_rate
    )


def centres(spectrum: Spectrum) -> np.ndarray:
    """(mels,) middle of each band [Hz]."""
    return librosa.mel_frequencies(n_mels=spectrum.mels + 2, fmin=spectrum.low, fmax=spectrum.high, htk=True)[1:-1]


def level(frames: np.ndarray) -> np.ndarray:
    """(frames, bands) ln power → (bands,) mean over time."""
    return frames.mean(axis=0)


def power(frames: np.ndarray) -> np.ndarray:
    """(frames, bands) ln power → (bands,) ln of the mean power over time."""
    loudest = frames.max(axis=0)
    return loudest + np.log(np.exp(frames - loudest).mean(axis=0))


def flux(frames: np.ndarray) -> np.ndarray:
    """(frames, bands) ln power → (bands,) ln of the deviation of the difference between one frame and the next."""
    return np.log(np.diff(frames, axis=0).std(axis=0) + STEADY)


def modulation(frames: np.ndarray, block: int = 128) -> np.ndarray:
    """(frames, bands) ln power → (5 · bands,) ln modulation power in octaves, the slowest octave's bands first.

    Each band less its mean, in blocks at half overlap (a shorter clip is one block, padded with zeros), Hann window,
    |FFT|² averaged over blocks, mean over the bins of each of `OCTAVES`.
    """
    swing = frames - frames.mean(axis=0)
    size = min(block, len(swing))
    blocks = np.lib.stride_tricks.sliding_window_view(swing, size, axis=0)[:: max(size // 2, 1)]  # (n, bands, size)
    window = librosa.filters.get_window("hann", size)
    powers = np.square(np.abs(rfft(blocks * window, n=block))).mean(axis=0)  # (bands, bins)
    return np.log(np.stack([powers[:, low:high].mean(axis=1) for low, high in OCTAVES]) + STILL).ravel()


VIEWS = {  # of `systems.SPECTRA`, in its order
    "level": lambda frames, _: level(frames),
    "modulation": lambda frames, block: modulation(frames, block),
    "both": lambda frames, block: np.concatenate([level(frames), modulation(frames, block)]),
    "power": lambda frames, _: power(frames),
    "flux": lambda frames, _: flux(frames),
}


def views_of(rows: Collection[str]) -> dict[str, str]:
    """{row: view} of those of Spectrum's rows that are among `rows`."""
    return {row: view for row, view in zip(SPECTRA, VIEWS, strict=True) if row in rows}


def describe(frames: np.ndarray, block: int = 128, names: Collection[str] = VIEWS.keys()) -> dict[str, np.ndarray]:
    """Some views of one clip, {name: vector}, from its (frames, bands) ln mel power."""
    return {name: VIEWS[name](frames, block) for name in names}


def running(frames: np.ndarray, width: int = RUNNING) -> np.ndarray:
    """(frames, bands) ln power → (frames − width + 1, bands) mean over `width` frames; one mean of a clip of fewer."""
    width = min(width, len(frames))
    total = np.cumsum(np.concatenate([np.zeros((1, frames.shape[1])), frames]), axis=0)
    return (total[width:] - total[:-width]) / width


def rhythm(frames: np.ndarray) -> tuple[float, float]:
    """How often strokes come, in periods of frames (NaN without any), and how clearly, 0 to 1.

    Of the autocorrelation of the bands' mean level: its first peak, behind where it first falls below zero, that is
    almost as high as the highest; a multiple of the period may be as high. Between frames by a parabola.
    """
    envelope = frames.mean(axis=1) - frames.mean()
    size, power = len(envelope), float(np.square(envelope).sum())
    if size < 8 or power < size * STILL:
        return float("nan"), 0.0
    correlation = correlate(envelope, envelope)[size - 1 : size - 1 + size // 2] / power
    correlation *= size / (size - np.arange(len(correlation)))  # fewer frames overlap, the later the lag
    below = np.flatnonzero(correlation < 0)
    first = below[0] if len(below) else len(correlation)
    left, middle, right = correlation[first:-2], correlation[first + 1 : -1], correlation[first + 2 :]
    peaks = np.flatnonzero((middle >= left) & (middle > right) & (middle > 0))
    if not len(peaks):
        return float("nan"), 0.0
    peak = peaks[middle[peaks] >= ALMOST * middle[peaks].max()][0]
    bent = left[peak] - 2 * middle[peak] + right[peak]
    lag = first + 1 + peak + 0.5 * (left[peak] - right[peak]) / bent
    return float(lag), float(np.clip(middle[peak], 0, 1))


def profile(frames: np.ndarray) -> dict[str, np.ndarray]:
    """What a clip reaches, for the words in which a clip is compared with healthy ones.

    Returns:
        `loudest` and `softest`, (bands,) extremes over time of `running` [ln power], and `rhythm`, (2,).
    """
    smooth = running(frames)
    return {"loudest": smooth.max(axis=0), "softest": smooth.min(axis=0), "rhythm": np.array(rhythm(frames))}


def frames_of(bank: ClipBank, row: NamedTuple, spectrum: Spectrum) -> np.ndarray:
    """(frames, bands) ln mel power of a clip of the bank; `row` of its index. A `heard.Heard` keeps them."""
    kept, key = getattr(bank, "frames", {}), (row.start, spectrum)
    if key not in kept:
        kept[key] = log_mel(long_enough(bank.sound(row), spectrum), spectrum, bank.sample_rate)
    return kept[key]


@clock.counts("embedding")
def views(
    bank: ClipBank, rows: pd.DataFrame, spectrum: Spectrum, names: Collection[str] = VIEWS.keys()
) -> dict[str, np.ndarray]:
    """Some views of clips of the bank, {name: (rows, numbers) float64}.

    Args:
        bank: `clips.ClipBank`, or `heard.Heard`. rows: of its index. spectrum: `settings.Spectrum`. names: of `VIEWS`.
    """
    found = [describe(frames_of(bank, row, spectrum), spectrum.block, names) for row in rows[PLACE].itertuples()]
    return {name: np.stack([clip[name] for clip in found]) for name in names}


@clock.counts("embedding")
def described(
    bank: ClipBank, rows: pd.DataFrame, spectrum: Spectrum
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every view of clips and every clip's `profile`; arguments as of `views`, each {name: (rows, numbers) float64}."""
    found = []
    for row in progress(list(rows.itertuples()), "spectra"):
        frames = frames_of(bank, row, spectrum)
        found.append((describe(frames, spectrum.block), profile(frames)))
    return tuple({name: np.stack([clip[i][name] for clip in found]) for name in found[0][i]} for i in range(2))


def long_enough(sound: np.ndarray, spectrum: Spectrum) -> np.ndarray:
    """(samples,) int16 → float32, full scale = 1; a clip shorter than a window is heard again and again."""
    return np.resize(sound, max(len(sound), spectrum.window)).astype(np.float32) / FULL_SCALE
