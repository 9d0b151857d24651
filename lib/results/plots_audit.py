"""The figures of the audit (01), in the style of `lib.results.plots`."""

from collections.abc import Sequence

import librosa
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib.results.plots import COLUMN, INK, PAGE, laid_out


@laid_out
def clip_counts(clips: pd.DataFrame) -> Figure:
    """Stacked bars: clips a split, domain and label."""
    table = clips.assign(
        group=clips["split"] + " " + clips["domain"].replace("", "?"), label=clips["label"].replace("", "?")
    )
    counts = table.groupby(["group", "label"]).size().unstack(fill_value=0)
    figure, axis = plt.subplots(figsize=(COLUMN, 1.8))
    counts.plot.barh(stacked=True, ax=axis, color=[INK.get(label, "#CCCCCC") for label in counts.columns], width=0.7)
    axis.set(xlabel="clips", ylabel="")
    axis.invert_yaxis()
    axis.legend(title="", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(figure)
    return figure


@laid_out
def levels(clips: pd.DataFrame) -> Figure:
    """Level of every clip by split, domain and label; clips far from the others stand apart."""
    table = clips.assign(group=clips["split"] + " " + clips["domain"].replace("", "?"))
    figure, axis = plt.subplots(figsize=(PAGE * 0.7, 2.2))
    shown = {label: ink for label, ink in (*INK.items(), ("", "#CCCCCC")) if label in set(table["label"])}
    sns.stripplot(table, x="rms_dbfs", y="group", hue="label", palette=shown, size=2.5, jitter=0.25, ax=axis)
    axis.set(xlabel="level [dBFS]", ylabel="")
    axis.legend(title="", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(figure)
    return figure


@laid_out
def attribute_counts(values: pd.DataFrame, clips: pd.DataFrame) -> Figure:
    """Clips of each attribute value, training and test by domain; `values` as `dcase.attribute_table`."""
    group = clips["split"] + " " + clips["domain"].replace("", "?")
    figure, axes = plt.subplots(1, len(values.columns), figsize=(PAGE, 2.4), squeeze=False)
    for axis, parameter in zip(axes[0], values.columns, strict=True):
        counts = pd.crosstab(values[parameter].replace("", "(none)"), group)
        sns.heatmap(
            counts, annot=True, fmt="d", cmap="Greys", cbar=False, ax=axis, linewidths=0.5, annot_kws={"size": 6}
        )
        axis.set(xlabel="", ylabel=parameter)
        axis.tick_params(axis="x", rotation=30)
        axis.tick_params(axis="y", rotation=0)
    return figure


@laid_out
def spectrogram_pair(sounds: Sequence[np.ndarray], titles: Sequence[str], sample_rate: int) -> Figure:
    """Log-magnitude spectrograms of several clips beside each other, on one scale.

    Args:
        sounds: list of (samples,) arrays, full scale = 1. titles: one a clip. sample_rate: Hz.
    """
    levels_db = [
        librosa.amplitude_to_db(np.abs(librosa.stft(s, n_fft=1024, hop_length=512)), amin=1e-6) for s in sounds
    ]
    top = max(level.max() for level in levels_db)
    figure, axes = plt.subplots(1, len(sounds), figsize=(PAGE, 2.1), sharey=True, squeeze=False)
    for axis, level, sound, title in zip(axes[0], levels_db, sounds, titles, strict=True):
        extent = (0, len(sound) / sample_rate, 0, sample_rate / 2000)
        image = axis.imshow(level - top, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=0, cmap="magma")
        axis.set(xlabel="time [s]")
        axis.set_title(title, fontsize=7)
    axes[0, 0].set_ylabel("frequency [kHz]")
    figure.colorbar(image, ax=axes[0], label="level [dB re maximum]", pad=0.01)
    return figure
