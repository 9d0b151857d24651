"""Distance of a clip's embedding to the nearest training clips by cosine (beyond the paper)."""

from collections.abc import Sequence

import numpy as np

from lib.network.embeddings import Embeddings
from lib.settings import Inliers


class Cosine:
    """1 − the mean of the k largest cosines to the reference clips, for each k.

    A clip's embedding is the mean of its segments', normalised to length 1 (`Embeddings.pooled`).
    """

    name = "cosine"

    def __init__(self, neighbours: Sequence[int] = (1,)):
        self.neighbours = tuple(neighbours)

    @classmethod
    def from_settings(cls, inliers: Inliers, seed: int) -> "Cosine":
        return cls()

    def fit(self, references: Embeddings) -> "Cosine":
        """The reference clips; the k that they do not reach are left out."""
        self.references = references.pooled()  # (clips, d)
        self.neighbours = tuple(k for k in self.neighbours if k <= len(self.references))
        self.rank = int(np.linalg.matrix_rank(self.references - self.references.mean(axis=0)))
        return self

    def score(self, clips: Embeddings) -> dict[str, np.ndarray]:
        """{"cosine-k": (clips,)}."""
        cosines = np.sort(clips.pooled() @ self.references.T, axis=1)[:, ::-1]
        return {f"cosine-{k}": 1 - cosines[:, :k].mean(axis=1) for k in self.neighbours}

    def state(self) -> dict[str, np.ndarray]:
        return {
            "neighbours": np.array(self.neighbours),
            "references": self.references.astype(np.float32),
            "rank": np.array(self.rank),
        }

    @classmethod
    def restore(cls, state: dict[str, np.ndarray]) -> "Cosine":
        cosine = cls(state["neighbours"].tolist())
        cosine.references, cosine.rank = state["references"].astype(np.float64), int(state["rank"])
        return cosine
