"""One vector a clip from those of its segments (beyond the paper).

Generalised mean: F. Radenović et al., arXiv:1711.02512. Relative deviation pooling, which weights what deviates from
the clip's own mean: K. Wilkinghoff, S. Yadav and Z.-H. Tan, arXiv:2603.04605.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

SMALLEST = 1e-12


def mean(vectors: np.ndarray) -> np.ndarray:
    """(segments, d) → (d,) ē, their mean."""
    return vectors.mean(axis=0)


def generalised_mean(vectors: np.ndarray, p: float = 3.0) -> np.ndarray:
    """(segments, d) → (d,) (mean of max(e, 0)^p)^(1/p): p = 1 is the mean of what is positive, p → ∞ the maximum.

    >>> generalised_mean(np.array([[1.0, -1.0], [3.0, 2.0]]), p=1.0).tolist()
    [2.0, 1.0]
    """
    return np.power(np.power(np.maximum(vectors, 0), p).mean(axis=0), 1 / p)


def relative_deviation(vectors: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """(segments, d) → (d,) weighted mean, weights ∝ (a_t / mean of a)^γ with a_t = ‖e_t − ē‖².

    >>> relative_deviation(np.array([[0.0], [0.0], [6.0]])).round(6).tolist()  # deviations 4, 4, 16
    [4.0]
    """
    deviations = np.square(vectors - vectors.mean(axis=0)).sum(axis=1)
    if deviations.sum() < SMALLEST:
        return mean(vectors)
    weights = np.power(deviations / deviations.mean(), gamma)
    return weights @ vectors / weights.sum()


POOLINGS: dict[str, Callable] = {"mean": mean, "gem": generalised_mean, "rdp": relative_deviation}


def pooled(vectors: np.ndarray, clip: ArrayLike, pooling: str = "mean") -> np.ndarray:
    """(segments, d) and (segments,) the clip of each, 0 … clips − 1, in order → (clips, d) of length 1.

    Args:
        pooling: of `POOLINGS`.
    """
    edges = np.searchsorted(clip, np.arange(np.max(clip) + 2))
    parts = (np.asarray(vectors[a:b], np.float64) for a, b in pairwise(edges))
    return unit(np.stack([POOLINGS[pooling](part) for part in parts]))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), SMALLEST)
