"""Pooling against loops, and its limits."""

import numpy as np
import pytest

from lib.detection.pooling import generalised_mean, mean, pooled, relative_deviation

VECTORS = np.random.default_rng(0).normal(1, 1, (6, 3))


def test_generalised_mean_is_a_plain_loop_and_lies_between_mean_and_maximum():
    for d in range(3):
        expected = (sum(max(e, 0) ** 3 for e in VECTORS[:, d]) / 6) ** (1 / 3)
        assert generalised_mean(VECTORS)[d] == pytest.approx(expected)
    positive = np.abs(VECTORS)
    assert generalised_mean(positive, 1) == pytest.approx(mean(positive))
    assert generalised_mean(positive, 300) == pytest.approx(positive.max(axis=0), rel=0.02)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_relative_deviation_is_a_plain_loop(gamma):
    centre = VECTORS.mean(axis=0)
    deviations = [sum((e - centre) ** 2) for e in VECTORS]
    weights = [(a / np.mean(deviations)) ** gamma for a in deviations]
    expected = sum(w * e for w, e in zip(weights, VECTORS, strict=True)) / sum(weights)
    assert relative_deviation(VECTORS, gamma) == pytest.approx(expected)


def test_equal_segments_are_their_mean():
    same = np.repeat(VECTORS[:1], 4, axis=0)
    assert relative_deviation(same) == pytest.approx(VECTORS[0]) and relative_deviation(VECTORS, 0.0) == pytest.approx(
        mean(VECTORS)
    )


@pytest.mark.parametrize(("name", "function"), [("mean", mean), ("gem", generalised_mean), ("rdp", relative_deviation)])
def test_each_clip_is_pooled_by_itself_to_length_one(name, function):
    clip = np.array([0, 0, 1, 2, 2, 2])
    found = pooled(VECTORS, clip, name)
    for i in range(3):
        one = function(VECTORS[clip == i])
        assert found[i] == pytest.approx(one / np.linalg.norm(one))


def test_a_clip_of_zeros_stays_zero():
    assert (pooled(np.zeros((2, 3)), [0, 1]) == 0).all()
