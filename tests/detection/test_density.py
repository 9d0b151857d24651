"""Local density against loops, and its limits."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from lib.detection.density import densities, nearest_reference, whitened_score

RNG = np.random.default_rng(0)
REFERENCES, QUERIES = RNG.normal(size=(12, 3)), RNG.normal(size=(5, 3))


def density_of(r, neighbours, references):
    others = sorted(np.linalg.norm(references[r] - other) for i, other in enumerate(references) if i != r)
    return np.mean(others[:neighbours])


@pytest.mark.parametrize("neighbours", [1, 4, 11, 30])
def test_scores_are_a_plain_loop(neighbours):
    expected = [
        min(np.linalg.norm(x - r) / density_of(i, neighbours, REFERENCES) for i, r in enumerate(REFERENCES))
        for x in QUERIES
    ]
    assert nearest_reference(QUERIES, REFERENCES, neighbours) == pytest.approx(expected)


def test_without_density_it_is_the_distance():
    expected = [min(np.linalg.norm(x - r) for r in REFERENCES) for x in QUERIES]
    assert nearest_reference(QUERIES, REFERENCES) == pytest.approx(expected)


def test_one_reference_has_no_density():
    assert densities(REFERENCES[:1], 4) == pytest.approx([1])
    assert nearest_reference(QUERIES, REFERENCES[:1], 4) == pytest.approx(nearest_reference(QUERIES, REFERENCES[:1]))


def test_equal_references_give_finite_scores_and_zero_on_themselves():
    same = np.repeat(REFERENCES[:1], 4, axis=0)
    assert (densities(same, 2) > 0).all()
    found = nearest_reference(np.vstack([same[:1], QUERIES]), same, 2)
    assert np.isfinite(found).all() and found[0] == pytest.approx(0, abs=1e-3) and (found[1:] > 1).all()


def test_a_segment_of_the_own_clip_is_no_neighbour():
    pairs = np.repeat(REFERENCES[:4], 2, axis=0)  # two equal segments of each of four clips
    assert (densities(pairs, 1) < 1e-6).all()
    apart = densities(pairs, 1, groups=np.repeat(np.arange(4), 2))
    assert apart == pytest.approx(np.repeat(densities(REFERENCES[:4], 1), 2))
    assert densities(pairs[:2], 1, groups=[0, 0]) == pytest.approx([1, 1])


def test_a_sparse_domain_is_not_farther_for_it():
    """The same relative distance scores the same in a domain that is ten times as wide."""
    grid = np.arange(5.0)[:, None]
    references = np.vstack([grid, 1000 + 10 * grid])
    found = nearest_reference(np.array([[-0.5], [995.0]]), references, 1)
    assert found[0] == pytest.approx(found[1]) and found[0] == pytest.approx(0.5)


def test_whitened_distance_is_mahalanobis():
    spread = REFERENCES @ np.diag([1.0, 5.0, 0.2])
    inverse = np.linalg.inv(ledoit_wolf(spread)[0])
    expected = [min(np.sqrt((x - r) @ inverse @ (x - r)) for r in spread) for x in QUERIES]
    assert whitened_score(QUERIES, spread) == pytest.approx(expected)
