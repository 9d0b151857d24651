"""The figures of the autoencoder baseline (02), in the style of `lib.results.plots`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib.results.plots import COLUMN, INK, PAGE, laid_out


@laid_out
def reconstruction_curve(history: pd.DataFrame) -> Figure:
    """Error of the autoencoder by epoch; `history` as `autoencoder.train` returns it."""
    figure, axis = plt.subplots(figsize=(COLUMN, 2.1))
    axis.plot(history["epoch"], history["loss"], color="#111111", label="training")
    axis.plot(history["epoch"], history["validation_loss"], color=INK["target"], ls="--", label="held-out vectors")
    axis.set(xlabel="epoch", ylabel="mean squared error [dB²]", yscale="log")
    axis.legend(frameon=False)
    sns.despine(figure)
    return figure


@laid_out
def reconstruction_images(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], captions: Sequence[str], hop_seconds: float
) -> Figure:
    """Input, reconstruction and residual of a few clips, a row a clip, levels and residuals each on one scale.

    Args:
        pairs: list of (input, reconstruction), both (frames, bands) [dB]. captions: one a clip. hop_seconds: a frame's.
    """
    levels_db = np.concatenate([image.ravel() for pair in pairs for image in pair])
    low, high = np.quantile(levels_db, (0.01, 0.999))
    reach = max(np.quantile(np.abs(given - made), 0.99) for given, made in pairs)
    scales = [dict(vmin=low, vmax=high, cmap="magma")] * 2 + [dict(vmin=-reach, vmax=reach, cmap="cividis")]
    figure, axes = plt.subplots(len(pairs), 3, figsize=(PAGE, 1.7 * len(pairs)), sharey=True, squeeze=False)
    for row, (given, made), caption in zip(axes, pairs, captions, strict=True):
        for axis, image, scale in zip(row, (given, made, given - made), scales, strict=True):
            extent = (0, len(image) * hop_seconds, 0, image.shape[1])
            shown = axis.imshow(image.T, origin="lower", aspect="auto", extent=extent, interpolation="none", **scale)
        row[0].set(ylabel=f"{caption}\nmel band")
        figure.colorbar(row[1].images[0], ax=row[:2], label="level [dB]", pad=0.01)
        figure.colorbar(shown, ax=row[2], label="residual [dB]", pad=0.02)
    for axis, title in zip(axes[0], ("input", "reconstruction", "residual"), strict=True):
        axis.set_title(title, fontsize=7)
    for axis in axes[-1]:
        axis.set(xlabel="time [s]")
    return figure
