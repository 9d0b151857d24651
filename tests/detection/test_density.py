"""Local density against loops, and its limits."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from lib.detection import density
from lib.detection.density import Whitened, among, densities, euclidean, log_score, nearest, ratio_score

RNG = np.random.default_rng(0)
REFERENCES, QUERIES = RNG.normal(size=(12, 3)), RNG.normal(size=(5, 3))
APART, DISTANCES = among(euclidean(REFERENCES, REFERENCES)), euclidean(QUERIES, REFERENCES)


def density_of(r, neighbours, references=REFERENCES):
    others = sorted(np.linalg.norm(references[r] - other) for i, other in enumerate(references) if i != r)
    return np.mean(others[:neighbours])


@pytest.mark.parametrize("neighbours", [1, 4, 11, 30])
def test_the_ratio_is_a_plain_loop(neighbours):
    expected = [
        min(np.linalg.norm(x - r) / density_of(i, neighbours) for i, r in enumerate(REFERENCES)) for x in QUERIES
    ]
    assert ratio_score(DISTANCES, densities(APART, neighbours)) == pytest.approx(expected)


@pytest.mark.parametrize("neighbours", [1, 4, 30])
def test_log_space_is_a_plain_loop(neighbours):
    def score(x, alpha, left_out=None):
        return min(
            np.log(np.linalg.norm(x - r)) - alpha * np.log(density_of(i, neighbours))
            for i, r in enumerate(REFERENCES)
            if i != left_out
        )

    spread = {a: np.var([score(r, a, i) for i, r in enumerate(REFERENCES)]) for a in np.linspace(0, 1, 21)}
    alpha = min(spread, key=spread.get)
    found = log_score(DISTANCES, densities(APART, neighbours), APART)
    assert found == pytest.approx([score(x, alpha) for x in QUERIES])


def test_nearest_is_a_plain_loop():
    for k in (1, 3, 12, 40):
        expected = [np.mean(sorted(np.linalg.norm(x - r) for r in REFERENCES)[:k]) for x in QUERIES]
        assert nearest(DISTANCES, k) == pytest.approx(expected)


def test_cosine_distance():
    one, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (QUERIES, REFERENCES))
    assert density.cosine(one, other)[1, 2] == pytest.approx(1 - sum(one[1] * other[2]))
    assert (density.cosine(one, one).diagonal() >= 0).all()


def test_one_reference_has_no_density_and_no_exponent():
    alone = among(np.zeros((1, 1)))
    assert densities(alone, 4) == pytest.approx([1])
    assert log_score(DISTANCES[:, :1], np.ones(1), alone) == pytest.approx(np.log(DISTANCES[:, 0]))


def test_equal_references_give_finite_scores():
    same = np.repeat(REFERENCES[:1], 4, axis=0)
    apart, distances = among(euclidean(same, same)), euclidean(np.vstack([same[:1], QUERIES]), same)
    rho = densities(apart, 2)
    assert (rho > 0).all()
    for found in (ratio_score(distances, rho), log_score(distances, rho, apart)):
        assert np.isfinite(found).all() and found[0] < found[1:].min()


def test_a_segment_of_the_own_clip_is_no_neighbour():
    pairs = np.repeat(REFERENCES[:4], 2, axis=0)  # two equal segments of each of four clips
    between = euclidean(pairs, pairs)
    assert (densities(among(between), 1) < 1e-6).all()
    clips = densities(among(euclidean(REFERENCES[:4], REFERENCES[:4])), 1)
    assert densities(among(between, np.repeat(np.arange(4), 2)), 1) == pytest.approx(np.repeat(clips, 2))
    assert densities(among(between[:2, :2], [0, 0]), 1) == pytest.approx([1, 1])


def test_a_sparse_domain_is_not_farther_for_it():
    """The same relative distance scores the same in a domain that is ten times as wide."""
    grid = np.arange(5.0)[:, None]
    references = np.vstack([grid, 1000 + 10 * grid])
    rho = densities(among(euclidean(references, references)), 1)
    found = ratio_score(euclidean(np.array([[-0.5], [995.0]]), references), rho)
    assert found == pytest.approx([0.5, 0.5])


def test_whitened_distance_is_mahalanobis():
    spread = REFERENCES @ np.diag([1.0, 5.0, 0.2])
    inverse = np.linalg.inv(ledoit_wolf(spread)[0])

    def between(a, b):
        return np.sqrt((a - b) @ inverse @ (a - b))

    assert Whitened(spread).score(QUERIES) == pytest.approx([min(between(x, r) for r in spread) for x in QUERIES])
    rho = [np.mean(sorted(between(r, o) for j, o in enumerate(spread) if j != i)[:4]) for i, r in enumerate(spread)]
    expected = [min(between(x, r) / p for r, p in zip(spread, rho, strict=True)) for x in QUERIES]
    assert Whitened(spread, 4).score(QUERIES) == pytest.approx(expected)
