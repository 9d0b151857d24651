"""What the demo data is made of: rotating tones, impacts that ring, coloured noise, a place to hear them.

Signals are (samples,) float64 at 16 kHz. No recursion anywhere: resonances and colours are applied in the
frequency domain, so rounding stays near 1e-12 and two computers make the same int16 clip to within one step.
"""

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import fft

SAMPLE_RATE = 16000  # Hz
BACKGROUNDS = {  # colour as (Hz, dB), tones as (Hz, dB over the colour), clanks a second
    "hall": (((40, 0), (300, -8), (2000, -20), (8000, -36)), ((150, 10), (740, 14), (1480, 8)), 0.15),
    "press": (((40, 0), (150, -2), (900, -14), (8000, -32)), ((100, 14), (300, 10), (2100, 12)), 0.40),
    "vent": (((40, -6), (500, 0), (1500, -8), (8000, -26)), ((240, 8), (480, 8), (960, 6)), 0.05),
    "yard": (((40, 4), (120, 0), (600, -18), (8000, -30)), ((50, 12), (3150, 12)), 0.20),
}


def fixed(*names: str) -> np.random.Generator:
    """The generator that belongs to names (a car, a place), the same in every clip and for every seed."""
    return np.random.default_rng(zlib.crc32("/".join(names).encode()))


def slow(samples: int, rng: np.random.Generator, knot: float = 0.25) -> np.ndarray:
    """(samples,) a random curve of mean 0 and deviation about 1 that bends every `knot` seconds."""
    step = int(knot * SAMPLE_RATE)
    knots = rng.standard_normal(samples // step + 2)
    return np.interp(np.arange(samples) / step + rng.random(), np.arange(len(knots)), knots)


def turns(rate: float | np.ndarray, samples: int, rng: np.random.Generator, wander: float = 0.002) -> np.ndarray:
    """(samples,) angle in turns of a shaft whose speed wanders about `rate` Hz, a number or (samples,)."""
    return np.cumsum(rate * (1 + wander * slow(samples, rng))) / SAMPLE_RATE + rng.random()


def tones(angle: np.ndarray, amplitudes: Sequence[float], rng: np.random.Generator, base: float = 1) -> np.ndarray:
    """(samples,) sum of tones at base × 1, 2, 3, … times the angle, with random phases."""
    circle = np.exp(2j * np.pi * base * angle)
    total = np.zeros_like(circle)
    for amplitude, phase in zip(amplitudes[::-1], rng.random(len(amplitudes)), strict=True):
        total += amplitude * np.exp(2j * np.pi * phase)
        total *= circle  # Horner's rule on the unit circle, far cheaper than a cosine for each tone
    return total.real


def swell(angle: np.ndarray, depth: float, rng: np.random.Generator) -> np.ndarray:
    """(samples,) amplitude modulation once per turn, 1 on average; a depth above 0.95 counts as 0.95."""
    return 1 + min(depth, 0.95) * np.cos(2 * np.pi * (angle + rng.random()))


def strike(times: np.ndarray, gains: np.ndarray | float, samples: int) -> np.ndarray:
    """(samples,) impulses at `times` (samples, may be fractional); those outside the clip are dropped."""
    first = np.floor(times).astype(int)
    part = times - first
    inside = (first >= 0) & (first < samples - 1)
    first, part, gains = first[inside], part[inside], np.broadcast_to(gains, times.shape)[inside]
    shares = np.concatenate([gains * (1 - part), gains * part])
    return np.bincount(np.concatenate([first, first + 1]), shares, samples).astype(float)  # of none: integers


def impacts(
    angle: np.ndarray, per_turn: float, rng: np.random.Generator, spread: float = 0.3, jitter: float = 0.01
) -> np.ndarray:
    """(samples,) impulses `per_turn` times a turn, log-normal by `spread`; `jitter` in intervals."""
    count = np.arange(np.ceil(angle[0] * per_turn), np.floor(angle[-1] * per_turn))
    shift, height = rng.standard_normal((2, len(count)))
    times = np.interp((count + jitter * shift) / per_turn, angle, np.arange(len(angle)))
    return strike(times, np.exp(spread * height), len(angle))


@lru_cache(maxsize=8)
def frequencies(samples: int) -> np.ndarray:
    """(samples // 2 + 1,) Hz, of the real Fourier transform; do not write into it."""
    return fft.rfftfreq(samples, 1 / SAMPLE_RATE)


def ring(train: np.ndarray, modes: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """(samples,) impulses through damped resonances, a tuple of (Hz, decay in s, peak)."""
    swing = 2j * np.pi * frequencies(len(train))
    response = 0
    for hertz, decay, peak in modes:
        angular = 2 * np.pi * hertz
        response = response + peak * angular / ((swing + 1 / decay) ** 2 + angular**2)
    return fft.irfft(fft.rfft(train) * response * SAMPLE_RATE, len(train))


def curve(samples: int, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """(samples // 2 + 1,) gain through `points` of (Hz, dB), straight over the logarithm of frequency."""
    hertz, decibel = np.transpose(points)
    octave = np.log2(np.maximum(frequencies(samples), 10.0))
    return 10 ** (np.interp(octave, np.log2(hertz), decibel) / 20)


def noise_spectrum(gain: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples // 2 + 1,) complex spectrum of Gaussian noise of RMS 1 and colour `gain`."""
    white = rng.standard_normal(2 * len(gain)).view(complex)
    return white * gain * (samples / np.sqrt(4 * np.sum(gain**2)))


def coloured(samples: int, points: Sequence[tuple[float, float]], rng: np.random.Generator) -> np.ndarray:
    """(samples,) Gaussian noise of RMS 1 whose colour goes through `points` of (Hz, dB)."""
    return fft.irfft(noise_spectrum(curve(samples, points), samples, rng), samples)


def recording_path(machine: str, place: str, shift: float, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples // 2 + 1,) gain of room and microphone: the machine's own, the place's, and a little by clip.

    By `shift` (dB) the place departs further, and varies more from clip to clip.
    """
    hertz = np.geomspace(60, 8000, 9)
    decibel = fixed("path", machine).normal(0, 2, 9) + fixed("path", machine, place).normal(0, 1, 9)
    decibel += shift * fixed("shift", machine, place).normal(0, 1, 9) + rng.normal(0, 0.7 + 0.25 * shift, 9)
    return curve(samples, np.transpose([hertz, decibel]))


def factory(background: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples // 2 + 1,) spectrum of factory noise of RMS about 1: a coloured bed, distant tones, clanks."""
    colour, lines, rate = BACKGROUNDS[background]
    gain = curve(samples, [(hertz, decibel + rng.normal(0, 1)) for hertz, decibel in colour])
    grid = frequencies(samples)
    for hertz, decibel in lines:  # a narrow hill in the noise's spectrum is a tone that breathes
        hill = np.exp(-0.5 * ((grid - hertz * rng.normal(1, 0.01)) / rng.uniform(0.3, 1.5)) ** 2)
        gain *= 1 + 10 ** ((decibel + rng.normal(0, 4)) / 20) * hill
    clanks = rng.uniform(0, samples, rng.poisson(rate * samples / SAMPLE_RATE))
    heights = np.minimum(np.exp(rng.normal(-0.5, 0.7, len(clanks))), 2)
    modes = [(500 * 9 ** rng.random(), rng.uniform(0.01, 0.08), 1.0) for _ in range(3)]
    return noise_spectrum(gain, samples, rng) + fft.rfft(ring(strike(clanks, heights, samples), modes))
