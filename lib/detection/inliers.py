"""The inlier models of Sec. 4.2, GMM and KNN, and how they score. A new one is a class here.

A family holds all its hyper-parameter values, which share the work: `fit(vectors)`, then `score(vectors)` gives one
column a detector ("GMM-4", "KNN-1"), larger is more anomalous; `state()` is a dict of arrays that `restore` reads.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lib.detection.mixtures import fit_mixtures, log_likelihood
from lib.detection.neighbours import nearest_distances
from lib.detection.whitening import Whitening
from lib.settings import Inliers

if TYPE_CHECKING:
    import torch


class KNN:
    """Mean Mahalanobis distance to the k nearest vectors of the fit set, for each k (Ramaswamy et al., 2000)."""

    name = "KNN"

    def __init__(self, neighbours: Sequence[int] = (1, 2, 4, 16, 32), device: "torch.device | str" = "cpu"):
        self.neighbours, self.device = tuple(neighbours), device

    @classmethod
    def from_settings(cls, inliers: Inliers, seed: int, device: "torch.device | str" = "cpu") -> "KNN":
        return cls(inliers.knn_neighbours, device)

    def fit(self, vectors: np.ndarray) -> "KNN":
        """vectors: (n, d); n must reach the largest k, else the k that n does not reach are left out."""
        vectors = np.asarray(vectors, np.float64)
        smallest = min(self.neighbours)
        if smallest > len(vectors):
            raise ValueError(f"{len(vectors)} segments to fit on, the smallest inliers.knn_neighbours is {smallest}")
        self.neighbours = tuple(k for k in self.neighbours if k <= len(vectors))
        whitening = Whitening().fit(vectors)
        self.matrix, self.rank = whitening.matrix, whitening.rank
        self.references = vectors @ self.matrix  # (n, d)
        return self

    def score(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """(m, d) → {"KNN-k": (m,)}."""
        queries = np.asarray(vectors, np.float64) @ self.matrix
        nearest = nearest_distances(queries, self.references, max(self.neighbours), self.device)
        return {f"KNN-{k}": nearest[:, :k].mean(axis=1) for k in self.neighbours}

    def state(self) -> dict[str, np.ndarray]:
        return {
            "neighbours": np.array(self.neighbours), "matrix": self.matrix,
            "references": self.references.astype(np.float32), "rank": np.array(self.rank),
        }  # fmt: skip

    @classmethod
    def restore(cls, state: dict[str, np.ndarray]) -> "KNN":
        knn = cls(state["neighbours"].tolist())
        knn.matrix, knn.references, knn.rank = (
            state["matrix"],
            state["references"].astype(np.float64),
            int(state["rank"]),
        )
        return knn


class GMM:
    """Negative log-likelihood of full-covariance Gaussian mixtures, for each number of components.

    In 512 dimensions a component of few segments is degenerate, so the embeddings are first centred, rotated to the
    principal axes that keep `variance` of their variance, and scaled to mean variance 1, the unit of `reg_covar`.
    """

    name = "GMM"

    def __init__(
        self,
        components: Sequence[int] = (1, 2, 4, 16, 32),
        variance: float = 0.99,
        reg_covar: float = 1.0,
        seed: int = 0,
    ):
        self.components, self.variance, self.reg_covar, self.seed = tuple(components), variance, reg_covar, seed

    @classmethod
    def from_settings(cls, inliers: Inliers, seed: int) -> "GMM":
        return cls(inliers.gmm_components, inliers.gmm_variance, inliers.gmm_reg_covar, seed)

    def fit(self, vectors: np.ndarray) -> "GMM":
        """vectors: (n, d); numbers of components above n / 2 are left out."""
        vectors = np.asarray(vectors, np.float64)
        if len(vectors) < 2:
            raise ValueError(f"{len(vectors)} segment to fit a GMM on, at least 2 needed; record more or longer clips")
        if not np.isfinite(vectors).all():
            raise ValueError("embeddings to fit a GMM on are not finite; run the training notebook again")
        self.components = tuple(c for c in self.components if c == 1 or 2 * c <= len(vectors))
        self._fit_axes(vectors)
        reduced = (vectors - self.mean) @ self.axes
        fitted = fit_mixtures(reduced, self.components, self.reg_covar, self.seed)
        self.mixtures = {c: (m.weights, m.means, m.precisions.astype(np.float32)) for c, m in fitted.items()}
        return self

    def _fit_axes(self, vectors):
        self.mean = vectors.mean(axis=0)
        values, directions = _principal(vectors - self.mean)
        kept = np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)
        self.rank = min(int(np.searchsorted(kept, self.variance)) + 1, len(values))
        scale = np.sqrt(max(values[: self.rank].mean(), np.finfo(float).tiny))
        self.axes = directions[:, : self.rank] / scale  # (d, rank)

    def score(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """(m, d) → {"GMM-c": (m,)} in nats."""
        reduced = (np.asarray(vectors, np.float64) - self.mean) @ self.axes
        return {f"GMM-{c}": -log_likelihood(reduced, *self.mixtures[c]) for c in self.components}

    def state(self) -> dict[str, np.ndarray]:
        arrays = {
            "components": np.array(self.components),
            "mean": self.mean,
            "axes": self.axes,
            "rank": np.array(self.rank),
        }
        upper = np.triu_indices(self.rank)
        for c, (weights, means, precisions) in self.mixtures.items():
            arrays |= {f"weights-{c}": weights, f"means-{c}": means, f"triangles-{c}": precisions[:, *upper]}
        return arrays

    @classmethod
    def restore(cls, state: dict[str, np.ndarray]) -> "GMM":
        gmm = cls(state["components"].tolist())
        gmm.mean, gmm.axes, gmm.rank = state["mean"], state["axes"], int(state["rank"])
        gmm.mixtures, upper = {}, np.triu_indices(gmm.rank)
        for c in gmm.components:
            precisions = np.zeros((c, gmm.rank, gmm.rank), np.float32)
            precisions[:, *upper] = state[f"triangles-{c}"]
            gmm.mixtures[c] = state[f"weights-{c}"], state[f"means-{c}"], precisions
        return gmm


def _principal(centred):
    """Variances in falling order and (d, ·) directions of unit length, by the smaller of Xᵀ X and X Xᵀ."""
    count, dimensions = centred.shape
    if count > dimensions:
        values, directions = np.linalg.eigh(centred.T @ centred)
        return np.maximum(values[::-1], 0) / (count - 1), directions[:, ::-1]
    values, weights = np.linalg.eigh(centred @ centred.T)
    there = values[::-1] > dimensions * np.finfo(float).eps * values[-1]
    there[0] = True
    values, weights = values[::-1][there], weights[:, ::-1][:, there]
    lengths = np.sqrt(np.maximum(values, np.finfo(float).tiny))
    return np.maximum(values, 0) / (count - 1), centred.T @ weights / lengths
