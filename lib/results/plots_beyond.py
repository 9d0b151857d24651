"""Figures of what goes beyond the paper: Spectrum's profiles (08), the shared extractor's training and map (09)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from lib.results.plots import COLUMN, INK, PAGE, laid_out

LABELS = {"power": "mean power", "flux": "change a frame"}
DECIBEL = {"power": 10 / np.log(10), "flux": 20 / np.log(10)}  # of a view's natural logarithm
NAMED = 14  # machines or values that a legend spells out
NEIGHBOURS = 20  # perplexity of the map


@laid_out
def spectrum_profiles(views: dict[str, np.ndarray], clips: pd.DataFrame, centres: np.ndarray) -> Figure:
    """Power and flux of each band: the range of the training clips, and the mean of the test clips of each kind.

    Args:
        views: {name: (clips, bands)}, as `spectrum.views`. clips: rows of the index. centres: (bands,) Hz.
    """
    figure, axes = plt.subplots(1, len(LABELS), figsize=(PAGE, 2.4))
    training = (clips["split"] == "train").to_numpy()
    kinds = (clips["domain"] + " " + clips["label"].replace("", "unlabelled")).where(~training, "")
    for axis, (name, label) in zip(axes, LABELS.items(), strict=True):
        values = views[name] * DECIBEL[name]
        low, middle, high = np.quantile(values[training], (0.05, 0.5, 0.95), axis=0)
        axis.fill_between(centres, low - middle, high - middle, color="#DDDDDD", lw=0, label="5–95 % of training clips")
        for kind in sorted(set(kinds) - {""}):
            style = "--" if kind.startswith("target") else "-"
            colour = INK.get(kind.split()[-1], "#777777")
            axis.plot(centres, values[kinds == kind].mean(axis=0) - middle, style, color=colour, lw=1, label=kind)
        axis.set(xscale="log", xlabel="frequency [Hz]", ylabel=f"{label} [dB re training]")
    axes[-1].legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(figure)
    return figure


@laid_out
def shared_curves(history: pd.DataFrame) -> Figure:
    """Loss and share of clips in the right class over the steps; `history` as `SharedTrainer.run`."""
    figure, axes = plt.subplots(1, 2, figsize=(COLUMN * 1.5, 1.8))
    for axis, (name, label) in zip(axes, {"loss": "loss", "accuracy": "right class"}.items(), strict=True):
        axis.plot(history["step"], history[name], color="#111111", lw=1)
        axis.set(xlabel="step", ylabel=label, ylim=(0, None if name == "loss" else 1))
    sns.despine(figure)
    return figure


@laid_out
def shared_map(vectors: np.ndarray, groups: dict[str, Sequence[str]]) -> Figure:
    """Clip embeddings in two dimensions (t-SNE by cosine), one panel a grouping.

    Args:
        vectors: (clips, d). groups: {title: name of each clip}; those beyond the fourteen most frequent are grey.
    """
    near = min(NEIGHBOURS, max(1, (len(vectors) - 1) // 3))
    points = TSNE(2, perplexity=near, metric="cosine", init="random", random_state=0).fit_transform(vectors)
    figure, axes = plt.subplots(1, len(groups), figsize=(PAGE, 3), squeeze=False)
    for axis, (title, names) in zip(axes[0], groups.items(), strict=True):
        names = pd.Series(list(names))
        named = list(names.value_counts().index[:NAMED])
        axis.scatter(*points.T, s=3, color="#CCCCCC", lw=0)
        for name, colour in zip(named, sns.color_palette("husl", len(named)), strict=True):
            axis.scatter(*points[names == name].T, s=5, color=colour, lw=0, label=name or "none")
        axis.set(xticks=[], yticks=[], xlabel=title)
        axis.legend(frameon=False, fontsize=5, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    sns.despine(figure, left=True, bottom=True)
    return figure
