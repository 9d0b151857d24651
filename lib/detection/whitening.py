"""The space of the Mahalanobis distance (Sec. 4.2)."""

import numpy as np

EIGENVALUE_FLOOR = 1e-9  # of the largest: dead channels leave directions without variance


class Whitening:
    """Linear map in which Euclidean distance is the Mahalanobis distance of the Ledoit–Wolf covariance."""

    def fit(self, vectors: np.ndarray) -> "Whitening":
        """vectors: (n, d) float64, n ≥ 2; `rank` is the number of directions in which they vary."""
        from sklearn.covariance import ledoit_wolf  # slow to import, and a listener fits nothing

        covariance, _ = ledoit_wolf(vectors)
        values, directions = np.linalg.eigh(covariance)
        floor = EIGENVALUE_FLOOR * max(values[-1], np.finfo(float).tiny)
        self.rank = int(((vectors @ directions).var(axis=0) > floor).sum())  # shrinkage gave `values` the full rank
        self.matrix = directions / np.sqrt(np.maximum(values, floor))  # (d, d)
        return self
