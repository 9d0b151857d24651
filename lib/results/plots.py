"""One function a figure, one style; each returns the Figure, shown in a notebook; `save` writes PDF and PNG, the same
bytes each time."""

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from fontTools import subset
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from lib import clock
from lib.detection.metrics import machine_scores, one_domain
from lib.paths import whole_file
from lib.recordings.dcase import attribute_table

if TYPE_CHECKING:
    import torch

    from lib.network.embeddings import Embeddings

COLUMN, PAGE = 3.5, 7.2  # inches, one and two columns of a paper
DPI = 160  # of a PNG file, and of a figure in a notebook, which is shown at 110
SHOWN = 110
DOMAINS, LABELS = ("source", "target"), ("normal", "anomaly")
INK = {"source": "#0072B2", "target": "#D55E00", "normal": "#999999", "anomaly": "#111111"}  # differ in grey, too
sns.set_theme(context="paper", style="ticks", palette="colorblind", font_scale=0.85)
matplotlib.rcParams |= {
    "figure.constrained_layout.use": True,
    "figure.dpi": SHOWN,
    "pdf.fonttype": 42,
}
# A PDF places its letters itself; without its tables of layout a font is cut to them in half the time.
subset.Options._drop_tables_default += ["GDEF", "GPOS", "GSUB"]


def laid_out(draws: Callable[..., Figure]) -> Callable[..., Figure]:
    """Find the layout of the figure that a function draws once, not anew for the page and for each file.

    At the files' resolution: letters are a little wider there than at the page's, and a label would be cut. Points that
    seaborn scatters by numpy's global generator lie where they lay the last time, and that generator is left as it was.
    In a notebook the figure is shown at once, as the PNG that `save` writes, so that it is drawn once for both.
    """

    @clock.counts("figures")
    @functools.wraps(draws)
    def draw(*arguments, **named):
        state = np.random.get_state()
        np.random.seed(0)
        try:
            figure = draws(*arguments, **named)
        finally:
            np.random.set_state(state)
        shown, figure.dpi = figure.dpi, DPI
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        figure.dpi = shown
        _show(figure)
        return figure

    return draw


@clock.counts("figures")
def save(figures: dict[str, Figure], folder: Path, prefix: str = "") -> None:
    """Write {name: Figure} as PDF and PNG into `folder`; a canvas draws once where `savefig` draws twice."""
    for name, figure in figures.items():
        with whole_file(folder / f"{prefix}{name}.png", sync=False) as temporary:
            write_png(figure, temporary)
        with whole_file(folder / f"{prefix}{name}.pdf", sync=False) as temporary:
            FigureCanvasPdf(figure).print_pdf(temporary, metadata={"CreationDate": None})


def write_png(figure: Figure, path: Path | IO[bytes], dpi: int = DPI) -> None:
    """Write a figure of `laid_out` as PNG."""
    if dpi == DPI and (content := getattr(figure, "shown_png", None)):
        path.write_bytes(content) if isinstance(path, Path) else path.write(content)
        return
    shown, figure.dpi = figure.dpi, dpi
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
    figure.dpi = shown


def _show(figure):
    """Show a figure in a notebook in place of pyplot, which would draw it anew."""
    if "inline" not in matplotlib.get_backend():
        return
    from IPython import get_ipython  # 0.3 s, which only a notebook has paid
    from IPython.display import Image, display

    if get_ipython() is None:
        return
    plt.close(figure)
    write_png(figure, content := io.BytesIO())
    figure.shown_png, figure.stale_callback = content.getvalue(), _changed
    display(Image(figure.shown_png, width=round(SHOWN * figure.get_size_inches()[0])))


def _changed(figure, _):
    figure.shown_png = None


@laid_out
def batch_spectrograms(mel: "torch.Tensor", captions: Sequence[str], seconds: float) -> Figure:
    """Mel spectrograms of a few inputs of the network.

    Args:
        mel: (n, 1, mels, frames) tensor. captions: one an input. seconds: length of a segment.
    """
    mel = mel[:, 0].float().cpu().numpy()
    shown = 20 * np.log10(np.maximum(mel, 1e-4)) if mel.min() >= 0 else mel
    figure, axes = plt.subplots(1, len(mel), figsize=(PAGE, 1.9), sharey=True)
    for axis, image, caption in zip(axes, shown, captions, strict=True):
        axis.imshow(image, origin="lower", aspect="auto", extent=(0, seconds, 0, len(image)), cmap="magma",
                    vmin=np.quantile(shown, 0.02), vmax=shown.max())  # fmt: skip
        axis.set(xlabel="time [s]")
        axis.set_title(caption.replace(" + ", "\n+ "), fontsize=6)
    axes[0].set_ylabel("mel band")
    return figure


TERMS = {"machine": "$L_{machine}$", "attribute": "$L_{att}$", "flow": "$L_{Flow}$"}


@laid_out
def training_curves(history: pd.DataFrame) -> Figure:
    """Every loss term, the embeddings' variance and the learning rate by epoch.

    Args:
        history: DataFrame of `training.Trainer.run`.
    """
    terms = [name for name in TERMS if name in history]
    figure, axes = plt.subplots(1, len(terms) + 2, figsize=(PAGE, 2.1))
    for axis, name in zip(axes, terms, strict=False):
        axis.plot(history["epoch"], history[name], color="#111111", label="training")
        if name == "machine":
            held = history["validation_loss"]
            axis.plot(history["epoch"], held, color=INK["target"], ls="--", label="held-out clips")
            axis.legend(frameon=False, fontsize=6, loc="lower center", bbox_to_anchor=(0.5, 1))
        axis.set(xlabel="epoch", ylabel=f"{TERMS[name]} [nats]", ylim=None if name == "flow" else (0, None))
    for axis, name, label in zip(
        axes[-2:], ("embedding_variance", "learning_rate"), ("embedding variance", "learning rate"), strict=True
    ):
        axis.plot(history["epoch"], history[name], color="#111111")
        axis.set(xlabel="epoch", ylabel=label, ylim=(0, None))
    sns.despine(figure)
    return figure


@laid_out
def embedding_map(embeddings: "Embeddings", parameter: str | None = None) -> Figure:
    """Clip embeddings on the two principal axes of the training clips, by domain and by an attribute parameter.

    Args:
        embeddings: `embeddings.Embeddings`; its validation clips are drawn, or the training clips where there are none.
        parameter: its name; where the clips do not have it, the one with most values.
    """
    axes_of = PCA(2, random_state=0).fit(_clip_means(embeddings.part("train")))
    held = embeddings.part("validation")
    shown = held if len(held.clips) >= 3 else embeddings.part("train")
    values = attribute_table(shown.clips)
    hues = {"domain": shown.clips["domain"].to_numpy()}
    if len(values.columns):
        parameter = parameter if parameter in values else values.nunique().idxmax()
        hues[parameter] = values[parameter].to_numpy()
    points = axes_of.transform(_clip_means(shown))
    figure, panels = plt.subplots(1, len(hues), figsize=(PAGE, 2.6), sharex=True, sharey=True, squeeze=False)
    for panel, (name, hue) in zip(panels[0], hues.items(), strict=True):
        order = sorted(set(hue))
        palette = INK if name == "domain" else sns.color_palette("viridis", len(order))
        palette = {v: palette[v] for v in order} if name == "domain" else dict(zip(order, palette, strict=True))
        sns.scatterplot(
            x=points[:, 0], y=points[:, 1], hue=hue, style=hue, hue_order=order, palette=palette, s=22, ax=panel
        )
        panel.legend(title=name, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=6)
        panel.set_xlabel("first principal axis")
    panels[0, 0].set_ylabel("second principal axis")
    sns.despine(figure)
    return figure


def _clip_means(embeddings):
    sums = np.zeros((len(embeddings.clips), embeddings.vectors.shape[1]))
    np.add.at(sums, embeddings.clip, embeddings.vectors)
    return sums / np.bincount(embeddings.clip)[:, None]


@laid_out
def score_distributions(scores: pd.DataFrame, threshold: float | None = None) -> Figure:
    """Standardised score of every test clip by domain and label, beside the calibration clips.

    Args:
        scores: DataFrame with `part`, `domain`, `label`, `score`, one row a clip. threshold: of the decision, or None.
    """
    calibration = scores["part"] == "calibration"
    group = np.where(calibration, "calibration", scores["domain"].replace("", "?"))
    table = scores.assign(group=group, label=scores["label"].replace("", "?"))
    order = [g for g in ("calibration", *DOMAINS, "?") if g in set(group)]
    figure, axis = plt.subplots(figsize=(PAGE * 0.7, 2.4))
    common = dict(
        x="group",
        y="score",
        hue="label",
        order=order,
        hue_order=[x for x in (*LABELS, "?") if x in set(table["label"])],
    )
    sns.boxplot(
        table, **common, ax=axis, palette=INK | {"?": "#CCCCCC"}, fill=False, fliersize=0, linewidth=0.8, gap=0.1
    )
    sns.stripplot(table, **common, ax=axis, palette=INK | {"?": "#CCCCCC"}, dodge=True, size=2, alpha=0.6, legend=False)
    if threshold is not None:
        axis.axhline(threshold, color="#999999", lw=0.8, ls="--", zorder=0)
    axis.set(xlabel="", ylabel="anomaly score [calibration sd]")
    axis.legend(title="", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(figure)
    return figure


@laid_out
def roc_curves(scores: pd.DataFrame) -> Figure:
    """ROC curve of each domain (its own normals and anomalies) and the range of pAUC; `scores` as above, test clips."""
    figure, axis = plt.subplots(figsize=(COLUMN, 2.6))
    scores = scores.assign(domain=one_domain(scores["domain"]))
    for domain, style in zip(DOMAINS, ("-", "--"), strict=True):
        here = scores[scores["domain"] == domain]
        normal, anomaly = (np.sort(here.loc[here["label"] == label, "score"]) for label in LABELS)
        if not len(normal) or not len(anomaly):
            continue
        levels_ = np.concatenate([[np.inf], np.sort(here["score"])[::-1]])
        false, true = ([np.mean(part >= level) for level in levels_] for part in (normal, anomaly))
        area = machine_scores(here["score"], here["domain"], here["label"])["paper"][f"auc_{domain}"][0]
        axis.plot(false, true, style, color=INK[domain], label=f"{domain}, AUC {100 * area:.1f} %")
    axis.plot([0, 1], [0, 1], ":", color="#999999", lw=0.8)
    axis.axvspan(0, 0.1, color="#EEEEEE", zorder=0)
    axis.set(
        xlabel="false positive rate (grey: range of pAUC)", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01)
    )
    if axis.get_legend_handles_labels()[1]:
        axis.legend(frameon=False, loc="lower right")
    sns.despine(figure)
    return figure


@laid_out
def detector_grid(table: pd.DataFrame) -> Figure:
    """Score of each detector on each fit set, in percent; `table` as `ensembles.evaluate_detectors`.

    A score that the machine does not have, the AUC of a domain that it lacks, has no panel.
    """
    table = table[table["value"].notna()]
    names = {"auc_source": "AUC source", "auc_target": "AUC target", "pauc": "pAUC", "hmean": "harmonic mean"}
    names = {score: title for score, title in names.items() if score in set(table["score"])}
    fit_sets = list(dict.fromkeys(table["fit_set"]))
    height = 0.9 + 0.17 * max(table["detector"].nunique(), 4)
    figure, axes = plt.subplots(1, len(names), figsize=(PAGE, height), sharey=True, squeeze=False)
    for axis, (score, title) in zip(axes[0], names.items(), strict=True):
        grid = table[table["score"] == score].pivot(index="detector", columns="fit_set", values="value")
        grid = grid.loc[list(dict.fromkeys(table["detector"])), fit_sets]
        _heat(axis, grid)
        axis.set(xlabel="", ylabel="")
        axis.set_title(f"{title} [%]", fontsize=7)
        axis.tick_params(axis="x", rotation=35)
    return figure


def _heat(axis, grid):
    """The values of a table as colours about 50 and as numbers; seaborn's own draws the whole figure for each panel."""
    mesh = axis.pcolormesh(grid, cmap="vlag", vmin=20, vmax=80, edgecolors="white", linewidth=0.5)
    axis.set_xticks(np.arange(grid.shape[1]) + 0.5, grid.columns)
    axis.set_yticks(np.arange(grid.shape[0]) + 0.5, grid.index)
    axis.tick_params(length=0)
    axis.set_ylim(grid.shape[0], 0)  # the first row on top; also right where panels share the axis
    axis.spines[:].set_visible(False)
    dark = sns.utils.relative_luminance
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        ink = "white" if dark(mesh.cmap(mesh.norm(value))) < 0.408 else ".15"
        axis.text(column + 0.5, row + 0.5, f"{value:.1f}", ha="center", va="center", size=6, color=ink, in_layout=False)
