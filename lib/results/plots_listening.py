"""Figures of new recordings (07): a clip and its map, its rank among healthy clips, what a threshold costs, shares."""

import librosa
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib.listening.clip_map import ClipMap
from lib.results.plots import COLUMN, INK, PAGE, laid_out
from lib.results.plots_clip import KILOHERTZ, draw_map
from lib.results.plots_flow import OVERLAY

COLUMNS = 1000  # of a picture at most: hours would take minutes to draw
NAMED = 24  # clips whose names an axis holds
LONGEST = 44  # letters of a name
TINY = float(np.finfo(np.float32).tiny)


@laid_out
def clip_steps(
    sound: np.ndarray,
    spectrogram: ClipMap,
    found: ClipMap,
    stretch: tuple[float, float] | None = None,
    begin: float = 0.0,
) -> Figure:
    """A clip's waveform, its mel spectrogram, and its map over that.

    Args:
        sound: (samples,) full scale = 1. spectrogram, found: of the same clip. stretch: begin and end [s] of a part
            that is marked. begin: of what is shown, in seconds of its clip.
    """
    spectrogram, found, seconds = spectrogram.shrunk(COLUMNS), found.shrunk(COLUMNS), spectrogram.seconds
    figure, axes = plt.subplots(3, 1, figsize=(PAGE, 4.6), sharex=True, height_ratios=(1, 2, 2))
    edges = np.linspace(0, len(sound), min(COLUMNS, len(sound)) + 1).astype(int)
    low, high = (reduce(sound, edges[:-1]) for reduce in (np.minimum.reduceat, np.maximum.reduceat))
    axes[0].fill_between(edges[:-1] / len(sound) * seconds, low, high, color="#111111", lw=0.3)
    axes[0].set(ylabel="waveform\n[full scale]")
    levels = draw_map(axes[1], spectrogram, "magma")
    draw_map(axes[2], spectrogram, "Greys")
    values = found.at(_middles(spectrogram))
    first, last = (int(edge / seconds * values.shape[1]) for edge in stretch or (0, 0))
    top = max(np.nanquantile(values, 0.999), np.nanquantile(values[:, first : last + 1], 0.98), TINY)
    over = axes[2].imshow(values, origin="lower", aspect="auto", extent=axes[2].images[0].get_extent(), cmap=OVERLAY,
                          vmin=0, vmax=top, interpolation="nearest")  # fmt: skip
    for axis, image, label in ((axes[1], levels, spectrogram.kind), (axes[2], over, found.kind)):
        bar = figure.colorbar(image, ax=axis, pad=0.01)
        bar.set_label(label.replace(", ", ",\n").replace(": ", ":\n"), fontsize=6)
    for axis in axes:
        for edge in stretch or ():
            axis.axvline(edge, color=INK["source"], lw=1, ls="--")
    axes[2].set(xlabel="time [s]", xlim=(0, seconds))
    axes[2].xaxis.set_major_formatter(lambda time, _: f"{round(time + begin, 1):g}")
    return figure


def _middles(shown):
    """(bands,) Hz."""
    edges = np.linspace(*librosa.hz_to_mel(np.array(shown.hertz), htk=shown.htk), len(shown.values) + 1)
    return librosa.mel_to_hz((edges[:-1] + edges[1:]) / 2, htk=shown.htk)


@laid_out
def ranks(scores: pd.DataFrame, normal: np.ndarray, threshold: float) -> Figure:
    """New clips on the scale of the healthy calibration clips, the strangest on top; dashed, the threshold.

    Args:
        scores: as `Listener.score`. normal: (clips,) scores of healthy clips.
    """
    shown = scores.nlargest(NAMED, "score")
    figure, axis = plt.subplots(figsize=(PAGE, 1.3 + 0.16 * len(shown)))
    heights = np.arange(len(shown), 0, -1)
    axis.plot(normal, np.zeros(len(normal)), "|", color="#777777", ms=9, mew=0.8)
    for called, marker, colour in ((False, "o", INK["source"]), (True, "^", INK["target"])):
        rows = (shown["score"] > threshold).to_numpy() == called
        axis.plot(shown["score"][rows], heights[rows], marker, color=colour, ms=4,
                  label="called anomalous" if called else "called normal")  # fmt: skip
    axis.axvline(threshold, color="#111111", lw=0.8, ls="--", zorder=0)
    names = [name if len(name) <= LONGEST else f"…{name[-LONGEST:]}" for name in shown["clip"]]
    axis.set_yticks([*heights, 0], [*names, f"{len(normal)} healthy clips"], fontsize=6, parse_math=False)
    more = f" ({len(scores) - len(shown)} more below)" if len(scores) > len(shown) else ""
    axis.set(xlabel=f"anomaly score [calibration sd]{more}", ylim=(-0.8, len(shown) + 0.8))
    axis.legend(frameon=False, fontsize=6, loc="lower right")
    sns.despine(figure)
    return figure


@laid_out
def threshold_costs(costs: pd.DataFrame, threshold: float) -> Figure:
    """Precision and recall, and false alarms a day, at each threshold; dashed, the one that is set.

    Args:
        costs: as `Listener.costs`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE * 0.85, 2.1))
    for name, style in (("recall", "-"), ("precision", "--")):
        axes[0].step(costs["threshold"], 100 * costs[name], style, where="post", color="#111111", label=name)
    axes[0].set(ylabel="labelled test clips [%]", ylim=(0, 103))
    axes[0].legend(frameon=False, fontsize=6)
    axes[1].step(costs["threshold"], costs["false_alarms_a_day"], where="post", color="#111111")
    axes[1].set(ylabel="false alarms a day", ylim=(0, None))
    for axis in axes:
        axis.axvline(threshold, color="#777777", lw=0.8, ls="--", zorder=0)
        axis.set(xlabel="threshold [calibration sd]")
    sns.despine(figure)
    return figure


@laid_out
def spectrum_shares(shares: pd.DataFrame) -> Figure:
    """What each band adds to Spectrum's squared distance, a panel a view; rhythms each a line.

    Args:
        shares: as `Listener.shares`.
    """
    views = list(dict.fromkeys(shares["view"]))
    figure, axes = plt.subplots(1, len(views), figsize=(PAGE if len(views) > 1 else COLUMN, 2.1), sharey=True,
                                squeeze=False)  # fmt: skip
    for axis, view in zip(axes[0], views, strict=True):
        own = shares[shares["view"] == view]
        kinds = list(dict.fromkeys(own["swings"]))
        colours = sns.color_palette("viridis", len(kinds)) if len(kinds) > 1 else ["#111111"]
        for kind, colour in zip(kinds, colours, strict=True):
            rows = own[own["swings"] == kind]
            label = f"{kind} Hz" if kind else "level"
            axis.step(rows["hertz"] / 1000, 100 * rows["share"], where="mid", color=colour, lw=1, label=label)
        axis.axhline(0, color="#999999", lw=0.6, zorder=0)
        marked = [each for each in KILOHERTZ if own["hertz"].min() <= 1000 * each <= own["hertz"].max()]
        axis.set(xlabel="frequency [kHz]", xscale="log")
        axis.set_xticks(marked, [f"{each:g}" for each in marked])
        axis.minorticks_off()
        axis.set_title(view, fontsize=7)
        if len(kinds) > 1:
            axis.legend(frameon=False, fontsize=5, title="swings", title_fontsize=5)
    axes[0, 0].set_ylabel("share of the distance [%]")
    sns.despine(figure)
    return figure
