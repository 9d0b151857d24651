"""Detectors by the nearest reference clips (beyond the paper): cosine, local density, pooling, more target references.

A family is fitted on whole tables of embeddings, source and target, and gives a score a clip. `Cosine` is the row
Shared; `Nearest`, all of `VARIANTS`, is in the protocol `extended` of every system.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.detection import density
from lib.detection.pooling import pooled, unit
from lib.network.embeddings import CLIP_FIELDS, Embeddings
from lib.settings import Inliers

EXTENDED = "extended"  # the fit set of what is in no protocol but this one


@dataclass(frozen=True)
class Variant:
    """How a clip is compared with the references.

    Attributes:
        neighbours: k, of whose distances the mean is taken.
        pooling: of `pooling.POOLINGS`; "" compares segments, whose scores are averaged.
        density: K of the local density; 0 for none. log: in log space, else the ratio.
        apart: densities of source and target references by themselves, so that the score is the smaller of both.
        multiplied: with the middles between near target references.
    """

    neighbours: int = 1
    pooling: str = "mean"
    density: int = 0
    log: bool = False
    apart: bool = False
    multiplied: bool = False


VARIANTS = {
    **{f"cosine-{k}": Variant(k) for k in (1, 2, 4)},
    **{f"segments-{k}": Variant(k, pooling="") for k in (1, 2, 4)},
    **{f"pooling-{name}": Variant(pooling=name) for name in ("gem", "rdp")},
    "targets-1": Variant(multiplied=True),
    **{f"density-{k}": Variant(density=k) for k in (1, 4, 16)},
    **{f"density-{k}-apart": Variant(density=k, apart=True) for k in (1, 4, 16)},
    **{f"logdensity-{k}": Variant(density=k, log=True) for k in (1, 4, 16)},
    **{f"logdensity-{k}-apart": Variant(density=k, log=True, apart=True) for k in (1, 4, 16)},
    "segments-density-4": Variant(pooling="", density=4),
}


class Nearest:
    """The nearest references by cosine, in every way of `variants`."""

    name = "nearest"
    fit_set = EXTENDED
    variants = VARIANTS

    @classmethod
    def from_settings(cls, inliers: Inliers, seed: int) -> "Nearest":
        return cls()

    def fit(self, references: Embeddings) -> "Nearest":
        """Training clips of both domains."""
        self.references = references
        whole = pooled(references.vectors, references.clip)
        self.rank = int(np.linalg.matrix_rank(whole - whole.mean(axis=0)))
        return self

    def score(self, clips: Embeddings) -> dict[str, np.ndarray]:
        """{name of the variant: (clips,)}; a k beyond the number of reference clips is left out."""
        chosen = {name: v for name, v in self.variants.items() if v.neighbours <= len(self.references.clips)}
        poolings = {variant.pooling for variant in chosen.values()}
        points = {pooling: (_points(clips, pooling)[0], *_points(self.references, pooling)) for pooling in poolings}
        return {name: self._score(clips, variant, *points[variant.pooling]) for name, variant in chosen.items()}

    def _score(self, clips, variant, queries, references, clip, domain):
        if variant.multiplied:
            references, clip, domain = multiply_targets(references, clip, domain)
        score = _compare(queries, references, clip, domain if variant.apart else np.full(len(clip), ""), variant)
        return score if variant.pooling else np.bincount(clips.clip, score) / np.bincount(clips.clip)

    def state(self) -> dict[str, np.ndarray]:
        arrays = {name: self.references.clips[name].to_numpy(str) for name in CLIP_FIELDS}
        numbers = {"vectors": self.references.vectors, "clip": self.references.clip, "rank": np.array(self.rank)}
        return arrays | {"segment_clip": numbers.pop("clip")} | numbers

    @classmethod
    def restore(cls, state: dict[str, np.ndarray]) -> "Nearest":
        family, clip = cls(), state["segment_clip"]
        clips = pd.DataFrame({name: state[name].astype(object) for name in CLIP_FIELDS})
        family.references = Embeddings(state["vectors"], clip, np.ones(len(clip)) / len(clip), clips)
        family.rank = int(state["rank"])
        return family


class Cosine(Nearest):
    """1 − the largest cosine to a reference clip: the row Shared."""

    name = "cosine"
    fit_set = "train"
    variants = {"cosine-1": Variant()}  # noqa: RUF012


def multiply_targets(
    references: np.ndarray, clip: np.ndarray, domain: np.ndarray, near: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """References and, behind them, the middles between each target reference and its `near` nearest others.

    Few target clips leave gaps between them; a middle, of length 1 again, fills one.

    Args:
        references: (n, d) of length 1. clip, domain: (n,) of each.

    Returns:
        (n + m, d), (n + m,), (n + m,); a middle has the clip and domain of the reference that it begins at.
    """
    own = np.flatnonzero(domain == "target")
    if len(own) < 2:
        return references, clip, domain
    apart = density.among(density.cosine(references[own], references[own]), clip[own])
    order = np.argsort(apart, axis=1, kind="stable")[:, :near]
    first, second = np.repeat(own, order.shape[1]), own[order.ravel()]
    real = np.isfinite(np.take_along_axis(apart, order, axis=1)).ravel()
    first, second = first[real], second[real]
    middles = unit(references[first] + references[second])
    return np.concatenate([references, middles]), np.append(clip, clip[first]), np.append(domain, domain[first])


def _points(table, pooling):
    """What is compared, of length 1, with its clip and domain: clips, or segments without a pooling."""
    domain = table.clips["domain"].to_numpy()
    if pooling:
        return pooled(table.vectors, table.clip, pooling), np.arange(len(domain)), domain
    return unit(table.vectors.astype(np.float64)), table.clip, domain[table.clip]


def _compare(queries, references, clip, domain, variant):
    """(queries,) score; densities are within a domain, but for one of a single clip, which has no other there."""
    distances = density.cosine(queries, references)
    if not variant.density:
        return density.nearest(distances, variant.neighbours)
    apart = density.among(density.cosine(references, references), clip)
    rho = density.densities(apart, variant.density)
    for name in np.unique(domain):
        own = domain == name
        if len(np.unique(clip[own])) > 1:
            rho[own] = density.densities(apart[np.ix_(own, own)], variant.density)
    return density.log_score(distances, rho, apart) if variant.log else density.ratio_score(distances, rho)
