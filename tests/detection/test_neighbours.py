import numpy as np
import pytest

from lib.detection import neighbours
from lib.detection.inliers import KNN


@pytest.mark.parametrize(("references", "count"), [(200, 7), (7, 7), (200, 1)])
def test_a_device_finds_the_same_distances(monkeypatch, references, count):
    """By torch as by NumPy, in pieces, with a query that is a reference."""
    rng = np.random.default_rng(0)
    known = rng.standard_normal((references, 30))
    queries = np.concatenate([rng.standard_normal((40, 30)), known[:3]])
    monkeypatch.setattr(neighbours, "QUERIES", 16)
    here = neighbours.nearest_distances(queries, known, count)
    there = neighbours.nearest_distances(queries, known, count, "cpu:0")
    np.testing.assert_allclose(there, here, rtol=1e-12, atol=1e-7)
    assert here.shape == (43, count) and (np.diff(here, axis=1) >= 0).all() and here[40:, 0].max() < 1e-7


def test_a_knn_is_told_where_to_compute(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "lib.detection.inliers.nearest_distances", lambda *given: seen.append(given[3]) or np.ones((2, 4))
    )
    vectors = np.random.default_rng(0).standard_normal((20, 5))
    for device in ("cpu", "cuda:1"):
        KNN((4,), device).fit(vectors).score(vectors[:2])
    assert seen == ["cpu", "cuda:1"] and KNN.restore(KNN((4,)).fit(vectors).state()).device == "cpu"
