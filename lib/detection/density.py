"""Distance to the nearest reference, and its normalisation by how dense the references lie there (beyond the paper).

Local density: K. Wilkinghoff et al., "Local density-based anomaly score normalization for domain generalization", 2025.
ρ_K(r) is the mean distance from reference r to its K nearest other references; a query's score is
min_r d(x, r) / ρ_K(r): a distance that is usual among references of a sparse domain says less than among close ones.
"""

import numpy as np
from numpy.typing import ArrayLike

from lib.detection.whitening import Whitening

SMALLEST = 1e-12  # floor of a density: equal references have none


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, d), (m, d) → (n, m) Euclidean distances."""
    squared = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squared, 0))


def densities(references: np.ndarray, neighbours: int, groups: ArrayLike | None = None) -> np.ndarray:
    """ρ_K of each reference: its mean distance to its K nearest others.

    Args:
        references: (n, d). neighbours: K; where fewer others are there, all of them.
        groups: (n,) what counts as one: a segment's own clip is no other. None: every reference is by itself.

    Returns:
        (n,); 1 where there is no other reference, so that distances are left as they are.

    >>> densities(np.array([[0.0], [1.0], [3.0]]), neighbours=2)
    array([2. , 1.5, 2.5])
    """
    apart = distances(references, references)
    groups = np.arange(len(references)) if groups is None else np.asarray(groups)
    apart[groups[:, None] == groups] = np.inf
    nearest = np.sort(apart, axis=1)[:, :neighbours]
    there = np.isfinite(nearest)
    total = np.where(there, nearest, 0).sum(axis=1)
    return np.where(there.any(axis=1), np.maximum(total / np.maximum(there.sum(axis=1), 1), SMALLEST), 1.0)


def nearest_reference(queries: np.ndarray, references: np.ndarray, neighbours: int = 0) -> np.ndarray:
    """Score of each query: the distance to its nearest reference, with K over that reference's density.

    Args:
        queries: (m, d). references: (n, d). neighbours: K of `densities`; 0 takes the plain distance.

    Returns:
        (m,) min_r d(x, r) / ρ_K(r).

    >>> nearest_reference(np.array([[2.0]]), np.array([[0.0], [1.0], [4.0]]), neighbours=1)
    array([0.66666667])
    """
    apart = distances(queries, references)
    return (apart / densities(references, neighbours) if neighbours else apart).min(axis=1)


def whitened_score(queries: np.ndarray, references: np.ndarray, neighbours: int = 0) -> np.ndarray:
    """`nearest_reference` in the space in which the references have unit covariance (Ledoit–Wolf)."""
    matrix = Whitening().fit(references).matrix
    return nearest_reference(queries @ matrix, references @ matrix, neighbours)
