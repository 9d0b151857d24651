"""Why a clip sounds strange, in one sentence for the person at the machine, from its spectrum and the healthy clips'.

First what no healthy clip has at any moment: a part of the spectrum louder, then softer, than in all of them; then
strokes that come at another pace; then the band in which the whole clip differs most.
"""

from dataclasses import dataclass

import numpy as np

from lib.detection.spectra import References
from lib.network import spectrum
from lib.settings import Spectrum

DECIBEL = 10 / np.log(10)  # of a difference of ln power
HEARD = 3.0  # dB: less is said by no word
CLEAR = 0.3  # how clearly a rhythm must be heard
PACE = 0.1  # share by which strokes must come faster or slower than in any healthy clip


@dataclass(frozen=True)
class Reason:
    """A sentence, and what it is about.

    Attributes:
        words: the sentence.
        decibel: mean difference there to the loudest, or softest, healthy clip; 0 where it is about something else.
        hertz: lowest and highest edge of its bands. seconds: where it begins and ends.
    """

    words: str
    decibel: float = 0.0
    hertz: tuple[float, float] = (0.0, 0.0)
    seconds: tuple[float, float] = (0.0, 0.0)


def reason(frames: np.ndarray, references: References, settings: Spectrum, sample_rate: int) -> Reason:
    """The reason for one clip.

    Args:
        frames: (frames, bands) ln mel power of the clip. references: of the machine, with `spectrum.profile`.
        settings: `settings.Spectrum`. sample_rate: Hz.
    """
    smooth, healthy, frame = spectrum.running(frames), references.views, settings.hop / sample_rate
    louder = DECIBEL * (smooth - healthy["loudest"].max(axis=0))
    softer = DECIBEL * (healthy["softest"].min(axis=0) - smooth)
    for excess, word in ((louder, "more"), (softer, "less")):
        if excess.max() >= HEARD:
            return _region(excess, word, settings, frame, len(frames))
    period, clear = spectrum.rhythm(frames)
    usual, clearly = healthy["rhythm"].T
    paces = 1 / (usual[clearly >= CLEAR] * frame)
    if clear >= CLEAR and len(paces) * 2 > len(usual):
        pace = 1 / (period * frame)
        if not paces.min() * (1 - PACE) <= pace <= paces.max() * (1 + PACE):
            return Reason(f"strokes come {pace:.1f} a second, healthy {np.median(paces):.1f}")
    return _whole(spectrum.power(frames), healthy["power"], settings)


def _region(excess, word, settings, frame, count):
    """Of the greatest excess: the neighbouring bands, then the moments, that have at least half of it.

    `frame` in seconds, of which the clip has `count`.
    """
    first, band = np.unravel_index(excess.argmax(), excess.shape)
    half = excess[first, band] / 2
    bands = _around(excess[first] >= half, band)
    moments = _around(excess[:, bands].mean(axis=1) >= min(half, excess[first, bands].mean()), first)
    decibel = float(excess[moments, bands].mean())
    low, high = _edges(settings)[[bands.start, bands.stop]]
    last = min(moments.stop - 1 + spectrum.RUNNING, count)
    begin, end = moments.start * frame, last * frame
    where, when = _hertz(low, high), f"from {begin:.1f} s to {end:.1f} s"
    words = f"{decibel:.0f} dB {word} at {where} than in any healthy clip, {when}"
    return Reason(words, decibel if word == "more" else -decibel, (float(low), float(high)), (begin, end))


def _whole(level, healthy, settings):
    """The band whose level over the whole clip is furthest from the healthy clips', in their deviations."""
    centre, deviation = healthy.mean(axis=0), healthy.std(axis=0) + 0.1
    band = int(np.abs((level - centre) / deviation).argmax())
    decibel = float(DECIBEL * (level - centre)[band])
    low, high = _edges(settings)[[band, band + 1]]
    word = "more" if decibel > 0 else "less"
    words = f"no part stands out; on the whole {abs(decibel):.0f} dB {word} at {_hertz(low, high)} than is usual"
    return Reason(words, decibel, (float(low), float(high)))


def _around(kept, index):
    """The slice of neighbours of `index` for which `kept` (n,) holds."""
    lost = np.flatnonzero(~kept)
    begin = lost[lost < index].max(initial=-1) + 1
    return slice(int(begin), int(lost[lost > index].min(initial=len(kept))))


def _edges(settings):
    """(bands + 1,) Hz: midway between the middles of neighbouring bands."""
    centres = spectrum.centres(settings)
    return np.concatenate([[settings.low], (centres[1:] + centres[:-1]) / 2, [settings.high]])


def _hertz(low, high):
    """`2.1–2.6 kHz`, `180–240 Hz`."""
    if high < 1000:
        return f"{low:.0f}–{high:.0f} Hz"
    return f"{low / 1000:.1f}–{high / 1000:.1f} kHz"
