"""The nearest training clip by cosine, against a loop."""

import numpy as np
import pytest
from scored import embeddings

from lib.detection.cosine import Cosine
from lib.detection.detectors import fit_detectors, score_clips
from lib.network.embeddings import concatenate
from lib.settings import Inliers


def pooled(table):
    vectors = [table.vectors[table.clip == i].astype(float).mean(axis=0) for i in range(len(table.clips))]
    return [v / np.linalg.norm(v) for v in vectors]


def test_scores_are_a_plain_loop():
    references, queries = embeddings("train", "source", "normal", 7), embeddings("test", "source", "normal", 4, seed=1)
    found = Cosine((1, 2, 4)).fit(references).score(queries)
    for i, q in enumerate(pooled(queries)):
        cosines = sorted((float(q @ r) for r in pooled(references)), reverse=True)
        for k in (1, 2, 4):
            assert found[f"cosine-{k}"][i] == pytest.approx(1 - np.mean(cosines[:k]))


def test_a_reference_scores_zero_and_k_beyond_the_references_is_left_out():
    references = embeddings("train", "source", "normal", 3)
    found = Cosine((1, 3, 4)).fit(references).score(references)
    assert list(found) == ["cosine-1", "cosine-3"] and found["cosine-1"] == pytest.approx(0, abs=1e-12)


def test_it_is_kept_on_disk():
    references, queries = embeddings("train", "source", "normal", 7), embeddings("test", "source", "normal", 4, seed=1)
    fitted = Cosine().fit(references)
    again = Cosine.restore(fitted.state())
    assert again.score(queries)["cosine-1"] == pytest.approx(fitted.score(queries)["cosine-1"], abs=1e-6)
    assert again.rank == fitted.rank == 6


def test_its_references_are_of_both_domains_once_and_no_aggregator_moves_it():
    table = concatenate([
        embeddings("train", "source", "normal", 6), embeddings("train", "target", "normal", 3, seed=1),
        embeddings("pseudo_target", "source", "normal", 6, seed=2), embeddings("test", "source", "anomaly", 4, seed=3),
    ])  # fmt: skip
    fitted = fit_detectors(table, ("cosine",), Inliers(), 0)
    assert list(fitted) == [("cosine", "train")] and len(fitted["cosine", "train"].references) == 9
    scores = score_clips(fitted, table.part("test")).pivot(index="clip", columns="aggregator", values="score")
    assert (scores["plain"] == scores["weighted"]).all()
