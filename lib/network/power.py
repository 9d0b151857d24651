"""Power weights (Sec. 3.2): how loud each segment of a clip, and each column of its score map, is above 3.5 kHz."""

from functools import cached_property, lru_cache

import numpy as np
import scipy.fft
from scipy.signal import butter, buttord, sos2zpk, sosfilt, sosfilt_zi, sosfiltfilt

from lib.recordings.machine import SILENCE
from lib.recordings.reading import FULL_SCALE

FORGOTTEN = 1e-18  # share of a sample that the filter still answers with when it counts for nothing


@lru_cache(maxsize=8)
def high_pass(passband: float, stopband: float, sample_rate: int) -> "HighPass":
    """A `HighPass`, designed once: that takes as long as it takes to filter a clip."""
    return HighPass(passband, stopband, sample_rate)


class HighPass:
    """The Butterworth high-pass of Sec. 4.2, forwards and backwards, without delay."""

    def __init__(self, passband: float, stopband: float, sample_rate: int):
        """3 dB at `passband`, 40 dB at `stopband`, in Hz."""
        order, edge = buttord(passband, stopband, gpass=3, gstop=40, fs=sample_rate)
        self.sections = butter(order, edge, btype="highpass", output="sos", fs=sample_rate)

    def power(self, sound: np.ndarray) -> np.ndarray:
        """(samples,) int16 → (samples,) squared samples of `scipy.signal.sosfiltfilt`, full scale = 1.

        Away from a clip's ends the filter is a convolution, which Fourier transforms do in a third of the time.
        """
        sound = np.asarray(sound, np.float64) / FULL_SCALE
        if len(sound) < 4 * len(self.answer):
            return np.square(sosfiltfilt(self.sections, sound))
        reach, filtered = self.reach, self._convolved(sound)
        filtered[:reach] = self._both_ways(sound[: 3 * reach])[:reach]
        filtered[-reach:] = self._both_ways(sound[-3 * reach :])[-reach:]
        return np.square(filtered, out=filtered)

    @cached_property
    def reach(self) -> int:
        """Samples after which the filter has forgotten one."""
        poles = np.abs(sos2zpk(self.sections)[1])
        return int(np.ceil(np.log(FORGOTTEN) / np.log(poles.max())))

    @cached_property
    def answer(self) -> np.ndarray:
        """(2 · reach − 1,) what the filter, both ways, makes of one sample."""
        once = sosfilt(self.sections, np.eye(1, self.reach)[0])
        return np.correlate(once, once, "full")

    @cached_property
    def _block(self):
        """Samples of a block of the overlap-save convolution, and the transform of `answer`."""
        size = scipy.fft.next_fast_len(8 * len(self.answer), real=True)
        return size, scipy.fft.rfft(self.answer, size)

    @cached_property
    def _settled(self):
        return sosfilt_zi(self.sections)

    def _convolved(self, sound):
        (size, answer), overlap = self._block, len(self.answer) - 1
        step = size - overlap
        blocks = -(-len(sound) // step)
        padded = np.zeros(blocks * step + overlap)
        padded[overlap // 2 : overlap // 2 + len(sound)] = sound
        spectra = scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::step])
        spectra *= answer
        return scipy.fft.irfft(spectra, size)[:, overlap:].reshape(-1)[: len(sound)]

    def _both_ways(self, sound):
        """`sosfiltfilt`, which would compute the settled state anew each time."""
        edge = 3 * (2 * len(self.sections) + 1 - int((self.sections[:, [2, 5]] == 0).sum(axis=0).min()))
        padded = np.concatenate([2 * sound[0] - sound[edge:0:-1], sound, 2 * sound[-1] - sound[-2 : -edge - 2 : -1]])
        for _ in range(2):
            padded = sosfilt(self.sections, padded, zi=self._settled * padded[0])[0][::-1]
        return padded[edge:-edge]


def power_weights(power: np.ndarray, starts: np.ndarray, segment: int) -> np.ndarray:
    """Weights of a clip's segments by their high-passed power (Sec. 3.2).

    Args:
        power: (samples,) of the clip, as `HighPass.power`.
        starts: (segments,) first samples, as `segment_starts`.
        segment: samples.

    Returns:
        (segments,) float64 weights that sum to 1; equal weights for a clip without power.
    """
    return _shares(np.array([np.mean(power[start : start + segment]) for start in starts]))


def column_weights(power: np.ndarray, starts: np.ndarray, segment: int, columns: int) -> np.ndarray:
    """Weights of the time columns of a clip's score maps: column j is samples ⌊jL/W⌋ … ⌊(j+1)L/W⌋ of the segment.

    Args:
        power, starts, segment: as `power_weights`; L = `segment`. columns: W of the map.

    Returns:
        (segments, columns) float64 weights that sum to 1 over the clip; equal weights for a clip without power.
    """
    edges = np.arange(columns + 1) * segment // columns
    tiled = np.resize(power, max(len(power), segment))  # a clip shorter than a segment is heard again and again
    sums = np.array([np.add.reduceat(tiled[start : start + segment], edges[:-1]) for start in starts])
    return _shares(sums / np.diff(edges))


def _shares(power):
    total = power.sum()
    return power / total if total > SILENCE**2 else np.full(power.shape, 1 / power.size)
