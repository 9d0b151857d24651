"""The picture of a new recording that a `Listener` has scored (`make score PICTURES=…`)."""

import textwrap

import librosa
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lib.listening.clip_map import ClipMap
from lib.results.plots import PAGE, laid_out

KILOHERTZ = (0.25, 0.5, 1, 2, 4, 6, 8, 16)  # that an axis names


def frequency_ticks(shown: ClipMap) -> dict[str, float]:
    """{name in kHz: place on the axis, from 0 at its lowest edge to 1} of the frequencies that an axis names."""
    edges = librosa.hz_to_mel(np.array(shown.hertz), htk=shown.htk)
    marked = [hertz for hertz in KILOHERTZ if shown.hertz[0] <= 1000 * hertz <= shown.hertz[1]]
    places = (librosa.hz_to_mel(1000 * np.array(marked), htk=shown.htk) - edges[0]) / (edges[1] - edges[0])
    return {f"{hertz:g}": float(place) for hertz, place in zip(marked, places, strict=True)}


@laid_out
def clip_picture(spectrogram: ClipMap, found: ClipMap, words: str) -> Figure:
    """One clip that a `Listener` has scored: its mel spectrogram, and below it its map.

    Args:
        spectrogram, found: `maps.ClipMap`. words: above both.
    """
    figure, axes = plt.subplots(2, 1, figsize=(PAGE, 3.6), sharex=True)
    for axis, shown, colours in zip(axes, (spectrogram, found), ("Greys", "Oranges"), strict=True):
        image = draw_map(axis, shown, colours)
        figure.colorbar(image, ax=axis, pad=0.01).set_label(textwrap.fill(shown.kind, 24), fontsize=6)
    axes[1].set_xlabel("time [s]")
    axes[0].set_title(textwrap.fill(words, 110), fontsize=7, loc="left", parse_math=False)
    return figure


def draw_map(axis: Axes, shown: ClipMap, colours: str, span: tuple[float, float] | None = None) -> AxesImage:
    """Draw a spectrogram or a map on an axis in kHz.

    Args:
        colours: name of a colour map. span: the values of its ends; None: almost the map's own.
    """
    low, high = np.quantile(shown.values, (0.1, 0.999)) if span is None else span
    image = axis.imshow(shown.values, origin="lower", aspect="auto", extent=(0, shown.seconds, 0, len(shown.values)),
                        cmap=colours, vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")  # fmt: skip
    ticks = frequency_ticks(shown)
    axis.set_yticks([place * len(shown.values) for place in ticks.values()], list(ticks))
    axis.set_ylabel("frequency [kHz]")
    return image
