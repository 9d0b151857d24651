"""The inlier models on embeddings: nearest neighbours and Gaussian mixtures."""

from collections.abc import Iterator
from warnings import catch_warnings, simplefilter

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from lib.detection.inliers import GMM, KNN
from lib.settings import Settings
from workflow.bench.clocks import in_turn
from workflow.bench.entry import Entry

DIMENSIONS, DIRECTIONS = 512, 8
SKLEARN = 5  # queries; its time is linear in them


def embeddings(count: int) -> np.ndarray:
    """(count, 512) like those of a trained extractor: few directions, cut off at zero."""
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((count, DIRECTIONS)) @ rng.standard_normal((DIRECTIONS, DIMENSIONS))
    return np.maximum(mixed, 0) + 0.01 * rng.random((count, DIMENSIONS))


def knn(fitted: int = 4000, queries: int = 1000) -> Iterator[Entry]:
    """Queries against fitted segments, in the Mahalanobis space by whitening."""
    inliers, vectors = Settings().inliers, embeddings(fitted + queries)
    fit, asked = vectors[:fitted], vectors[fitted:]
    ours = KNN(inliers.knn_neighbours).fit(fit)
    exact = NearestNeighbors(
        n_neighbors=max(inliers.knn_neighbours), algorithm="brute", metric="mahalanobis",
        metric_params={"VI": np.linalg.inv(ledoit_wolf(fit)[0])},
    ).fit(fit)  # fmt: skip
    took = in_turn(
        {
            "ours": lambda: ours.score(asked),
            "product": lambda: asked @ fit.T,
            "sklearn": lambda: exact.kneighbors(asked[:SKLEARN]),
        },
        seconds=5,
    )
    yield Entry(
        "KNN, scoring", f"against {fitted} × {DIMENSIONS}", queries / took["ours"], "segments/s",
        queries / took["product"], "the product of queries and fitted segments", SKLEARN / took["sklearn"],
        "sklearn, metric mahalanobis",
    )  # fmt: skip


def gmm(count: int = 2000) -> Iterator[Entry]:
    """All mixtures of the paper on one fit set; then their scores."""
    inliers, vectors = Settings().inliers, embeddings(count)
    ours = GMM.from_settings(inliers, 0).fit(vectors)
    reduced = (vectors - ours.mean) @ ours.axes
    square = np.eye(reduced.shape[1])

    def theirs():
        with catch_warnings():
            simplefilter("ignore")
            return [
                GaussianMixture(c, reg_covar=inliers.gmm_reg_covar, random_state=0).fit(reduced)
                for c in ours.components
            ]

    steps = sum(2 * mixture.n_iter_ * mixture.n_components for mixture in theirs())

    def bare(times):
        for _ in range(times):
            reduced @ square

    took = in_turn(
        {
            "fit": lambda: GMM.from_settings(inliers, 0).fit(vectors),
            "products": lambda: bare(steps),
            "sklearn": theirs,
        },
        seconds=8,
    )
    yield Entry(
        "GMM, fitting", f"1 to {max(ours.components)} components, rank {ours.rank}", count / took["fit"], "segments/s",
        count / took["products"], "the products of sklearn's steps", count / took["sklearn"],
        "sklearn, on the reduced segments",
    )  # fmt: skip
    took = in_turn({"score": lambda: ours.score(vectors), "products": lambda: bare(sum(ours.components))}, seconds=5)
    yield Entry(
        "GMM, scoring", f"1 to {max(ours.components)} components, rank {ours.rank}", count / took["score"],
        "segments/s", count / took["products"], "its products",
    )  # fmt: skip


STAGES = {"knn": knn, "gmm": gmm}
