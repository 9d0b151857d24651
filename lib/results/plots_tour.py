"""Figures of the tour (00): clips side by side, and test clips where the extractor has put them."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from lib.detection.pooling import pooled
from lib.listening.clip_map import ClipMap
from lib.network.embeddings import Embeddings
from lib.results.plots import INK, PAGE, laid_out
from lib.results.plots_clip import draw_map


@laid_out
def side_by_side(spectrograms: Sequence[ClipMap], captions: Sequence[str]) -> Figure:
    """Mel spectrograms of several clips on one scale; `captions` one a clip."""
    figure, axes = plt.subplots(1, len(spectrograms), figsize=(PAGE, 2.4), squeeze=False)
    span = np.quantile(np.concatenate([shown.values.ravel() for shown in spectrograms]), (0.02, 0.999))
    for axis, shown, caption in zip(axes[0], spectrograms, captions, strict=True):
        image = draw_map(axis, shown, "magma", span)
        axis.set(xlabel="time [s]")
        axis.set_title(caption, fontsize=7)
    figure.colorbar(image, ax=axes[0], label=spectrograms[0].kind, pad=0.01)
    return figure


@laid_out
def embedded_clips(embedded: Embeddings, heard: dict[str, str]) -> Figure:
    """Clip embeddings on the two principal axes of the training clips: test clips by domain and label, training grey.

    Args:
        embedded: of the train and test clips. heard: {stem: name} of test clips that are named in the picture.
    """
    train, test = embedded.part("train"), embedded.part("test")
    axes_of = PCA(2, random_state=0).fit(pooled(train.vectors, train.clip))
    points, clips = axes_of.transform(pooled(test.vectors, test.clip)), test.clips
    figure, axis = plt.subplots(figsize=(PAGE * 0.75, 3))
    axis.plot(*axes_of.transform(pooled(train.vectors, train.clip)).T, ".", color="#CCCCCC", label="training, normal")
    for domain in dict.fromkeys(clips["domain"]):
        for label, marker in (("normal", "o"), ("anomaly", "X"), ("", "s")):
            chosen = ((clips["domain"] == domain) & (clips["label"] == label)).to_numpy()
            if chosen.any():
                name = f"test, {domain} {label}".strip()
                axis.plot(*points[chosen].T, marker, ms=4.5, mew=0.8, color=INK.get(domain, "#777777"), label=name,
                          mfc="none" if label == "normal" else INK.get(domain, "#777777"))  # fmt: skip
    for place, stem in zip(points, clips["stem"], strict=True):
        if stem in heard:
            axis.plot(*place, "o", ms=9, mfc="none", mec="#111111", mew=0.8)
            axis.annotate(heard[stem], place, (7, -9), textcoords="offset points", fontsize=7, parse_math=False,
                          bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1})  # fmt: skip
    axis.set(xlabel="first principal axis", ylabel="second principal axis")
    axis.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(figure)
    return figure
