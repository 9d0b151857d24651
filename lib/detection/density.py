"""Distance to the nearest reference, and its normalisation by how dense the references lie there (beyond the paper).

Local density: K. Wilkinghoff et al., "Local density-based anomaly score normalization for domain generalization", 2025.
ρ_K(r) is the mean distance from reference r to its K nearest other references; a query's score is
min_r d(x, r) / ρ_K(r): a distance that is usual among references of a sparse domain says less than among close ones.

Distances are (queries, references) matrices, so that every detector may take its own.
"""

import numpy as np
from numpy.typing import ArrayLike

from lib.detection.whitening import Whitening

SMALLEST = 1e-12  # floor of a distance and of a density: equal references have none
EXPONENTS = np.linspace(0, 1, 21)  # α that are tried


def euclidean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, d), (m, d) → (n, m) distances."""
    squared = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squared, 0))


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, d), (m, d), rows of length 1 → (n, m) 1 − cosine."""
    return np.maximum(1 - one @ other.T, 0)


def among(distances: np.ndarray, groups: ArrayLike | None = None) -> np.ndarray:
    """(n, n) distances of references to each other, infinite to themselves.

    Args:
        groups: (n,) what counts as one: a segment's own clip is no other. None: every reference is by itself.
    """
    groups = np.arange(len(distances)) if groups is None else np.asarray(groups)
    return np.where(groups[:, None] == groups, np.inf, distances)


def densities(apart: np.ndarray, neighbours: int) -> np.ndarray:
    """ρ_K of each reference: its mean distance to its K nearest others.

    Args:
        apart: (n, n) as `among`. neighbours: K; where fewer others are there, all of them.

    Returns:
        (n,); 1 where there is no other reference, so that distances are left as they are.

    >>> points = np.array([[0.0], [1.0], [3.0]])
    >>> densities(among(euclidean(points, points)), neighbours=2)
    array([2. , 1.5, 2.5])
    """
    count = min(neighbours, len(apart))
    nearest = np.partition(apart, count - 1, axis=1)[:, :count]
    there = np.isfinite(nearest)
    total = np.where(there, nearest, 0).sum(axis=1)
    return np.where(there.any(axis=1), np.maximum(total / np.maximum(there.sum(axis=1), 1), SMALLEST), 1.0)


def nearest(distances: np.ndarray, neighbours: int = 1) -> np.ndarray:
    """(m, n) → (m,) mean distance to the k nearest references, or to all where there are fewer."""
    count = min(neighbours, distances.shape[1])
    return np.partition(distances, count - 1, axis=1)[:, :count].mean(axis=1)


def ratio_score(distances: np.ndarray, density: np.ndarray) -> np.ndarray:
    """min_r d(x, r) / ρ(r) of each query: (m, n) distances, (n,) densities → (m,)."""
    return (distances / density).min(axis=1)


def log_score(distances: np.ndarray, density: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """min_r [ln d(x, r) − α ln ρ(r)], α in [0, 1] such that the references' own scores vary least.

    Args:
        distances: (m, n). density: (n,) of the references. apart: (n, n) as `among`, of which α is chosen: 0
            where there is one reference.
    """
    own, logs = np.log(np.maximum(apart, SMALLEST)), np.log(density)
    spread = [np.var(least[np.isfinite(least)]) for least in ((own - a * logs).min(axis=1) for a in EXPONENTS)]
    alpha = EXPONENTS[int(np.argmin(spread))] if np.isfinite(spread).all() else 0.0
    return (np.log(np.maximum(distances, SMALLEST)) - alpha * logs).min(axis=1)


class Whitened:
    """References in the space where they have unit covariance (Ledoit–Wolf), and their density there.

    Attributes:
        matrix: (d, d') of the whitening. references: (n, d') in it. density: (n,) ρ_K; 1 for the plain distance.
    """

    def __init__(self, references: np.ndarray, neighbours: int = 0):
        """Of (n, d), n ≥ 2; `neighbours`: K of the density, 0 for the plain distance."""
        self.matrix = Whitening().fit(references).matrix
        self.references = references @ self.matrix
        self.density = np.ones(len(references))
        if neighbours:
            self.density = densities(among(euclidean(self.references, self.references)), neighbours)

    def distances(self, queries: np.ndarray) -> np.ndarray:
        """(m, d) → (m, n)."""
        return euclidean(queries @ self.matrix, self.references)

    def score(self, queries: np.ndarray) -> np.ndarray:
        """min_r d(x, r) / ρ_K(r) of each query: (m, d) → (m,)."""
        return ratio_score(self.distances(queries), self.density)
