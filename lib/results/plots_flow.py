"""Figures of the joint training (04): the latent against its density, z_d against v, score maps over spectrograms."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy.stats import norm

from lib.results.plots import COLUMN, INK, PAGE, laid_out

STYLES = (("-", INK["anomaly"]), ("--", INK["source"]), (":", INK["target"]), ("-.", INK["normal"]))  # of groups
OVERLAY = LinearSegmentedColormap.from_list("overlay", [(0.9, 0.4, 0, 0), (0.9, 0.4, 0, 0.85)])


@laid_out
def latent_histograms(
    common: np.ndarray, groups: np.ndarray, conditioned: np.ndarray | None = None, position: np.ndarray | None = None
) -> Figure:
    """Density of the latent's numbers beside the normal distributions that they were trained towards.

    Args:
        common: (n, channels, height, width) z_c, or all of z. groups: (n,) name of each clip's group.
        conditioned: (n, channels, height, width) z_d of the same clips, or None. position: (n,) their kv.
    """
    panels = 1 if conditioned is None else 2
    figure, axes = plt.subplots(1, panels, figsize=(COLUMN if panels == 1 else PAGE, 2.2), squeeze=False)
    grid = np.linspace(-5, 5, 200)
    for name, (style, color) in zip(dict.fromkeys(groups), STYLES, strict=False):
        axes[0, 0].hist(common[groups == name].ravel(), np.linspace(-5, 5, 60), density=True, histtype="step", ls=style,
                        color=color, label=name)  # fmt: skip
    axes[0, 0].fill_between(grid, norm.pdf(grid), color="#CCCCCC", label="N(0, 1)")
    axes[0, 0].set(xlabel="$z_c$" if panels == 2 else "$z$", ylabel="density")
    axes[0, 0].legend(frameon=False, fontsize=6)
    if conditioned is not None:
        _conditioned_histograms(axes[0, 1], conditioned, position)
    sns.despine(figure)
    return figure


def _conditioned_histograms(axis, conditioned, position):
    values, bins = np.unique(position[~np.isnan(position)]), np.linspace(conditioned.min(), conditioned.max(), 60)
    for kv, color in zip(values, sns.color_palette("viridis", len(values)), strict=True):
        grid = np.linspace(kv - 4, kv + 4, 100)
        axis.fill_between(grid, norm.pdf(grid, kv), color="#CCCCCC", lw=0)
        own = conditioned[position == kv].ravel()
        axis.hist(own, bins, density=True, histtype="step", color=color, label=f"{kv:.3g}")
    axis.set(xlabel="$z_d$", ylabel="density")
    axis.legend(title="$kv$; grey: N($kv$, 1)", frameon=False, fontsize=6, title_fontsize=6,
                loc="center left", bbox_to_anchor=(1, 0.5))  # fmt: skip


@laid_out
def conditioned_against_value(mean: np.ndarray, position: np.ndarray, parts: np.ndarray, parameter: str) -> Figure:
    """Each clip's mean z_d against kv; on the diagonal the latent says the parameter's value.

    Args:
        mean: (n,) mean of z_d over channels and map. position: (n,) kv, NaN where unknown. parts: (n,) name of each
            clip's group. parameter: its name.
    """
    known = ~np.isnan(position)
    figure, axis = plt.subplots(figsize=(COLUMN, 2.6))
    reach = [position[known].min(), position[known].max()]
    axis.plot(reach, reach, ":", color="#999999", lw=0.9)
    names = list(dict.fromkeys(parts[known]))
    width = 0.03 * max(reach[1] - reach[0], 1)
    jitter = np.random.default_rng(0).uniform(-width, width, len(mean))
    for name, marker, (_, color) in zip(names, "x+^D", STYLES, strict=False):
        own = known & (parts == name)
        axis.plot(position[own] + jitter[own], mean[own], marker, ms=3, color=color, mfc="none", label=name)
    axis.set(xlabel=f"$kv$ of {parameter} (jittered)", ylabel="mean $z_d$ of a clip")
    axis.legend(frameon=False, fontsize=6)
    sns.despine(figure)
    return figure


@laid_out
def score_maps_over_spectrograms(
    mels: Sequence[np.ndarray], maps: Sequence[np.ndarray], captions: Sequence[str], seconds: Sequence[float]
) -> Figure:
    """Mel spectrograms of clips in grey, their score maps in orange on one scale, and the scores over time below.

    Args:
        mels: list of (bands, frames). maps: list of (height, width) on the same extent, 0 where the clip is as usual.
        captions: one a clip. seconds: list of the clips' lengths.
    """
    high = max(np.quantile(np.concatenate([m.ravel() for m in maps]), 0.995), np.finfo(np.float32).tiny)
    figure, axes = plt.subplots(2, len(mels), figsize=(PAGE, 3), sharey="row", sharex="col", height_ratios=(3, 1),
                                squeeze=False)  # fmt: skip
    for column, mel, score, caption, length in zip(axes.T, mels, maps, captions, seconds, strict=True):
        level = 20 * np.log10(np.maximum(mel, 1e-4)) if mel.min() >= 0 else mel
        extent = (0, length, 0, len(mel))
        column[0].imshow(level, origin="lower", aspect="auto", extent=extent, cmap="Greys",
                         vmin=np.quantile(level, 0.1), vmax=np.quantile(level, 0.999))  # fmt: skip
        image = column[0].imshow(score, origin="lower", aspect="auto", extent=extent, cmap=OVERLAY, vmin=0, vmax=high,
                                 interpolation="nearest")  # fmt: skip
        column[0].set_title(caption, fontsize=6)
        column[1].stairs(score.mean(axis=0), np.linspace(0, length, score.shape[1] + 1), baseline=None,
                         color="#111111")  # fmt: skip
        column[1].set_xlabel("time [s]")
    axes[0, 0].set_ylabel("mel band")
    axes[1, 0].set_ylabel("excess [nats]")
    figure.colorbar(image, ax=axes[0], label="score above usual [nats]", pad=0.01)
    sns.despine(figure)
    return figure
