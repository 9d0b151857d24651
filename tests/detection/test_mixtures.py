"""The mixtures of all sizes at once, against sklearn's, one after the other."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from lib.detection import mixtures
from lib.detection.mixtures import FALLS, fit_mixtures, log_likelihood

NEVER = 10**6  # falls


def vectors(n=300, d=12, seed=0):
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((5, d))
    return centres[rng.integers(5, size=n)] + rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / 2


@pytest.fixture(params=["products", "chunks"])
def way(request, monkeypatch):
    """Both ways of the sums, and the vectors in several chunks, of which the last is shorter."""
    monkeypatch.setattr(mixtures, "PRODUCTS", 2**40 if request.param == "products" else 0)
    monkeypatch.setattr(mixtures, "CHUNK", 128)


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")
@pytest.mark.parametrize(("reg_covar", "steps"), [(1.0, 1), (1.0, 7), (0.01, 7)])
def test_steps_are_sklearns(way, reg_covar, steps):
    fit = vectors()
    found = fit_mixtures(fit, (1, 2, 16), reg_covar, seed=3, steps=steps, tolerance=0, falls=NEVER)
    for size, mixture in found.items():
        reference = GaussianMixture(size, reg_covar=reg_covar, random_state=3, max_iter=steps, tol=0).fit(fit)
        assert mixture.bound == pytest.approx(reference.lower_bound_, abs=1e-8), size
        assert mixture.steps == (steps if size > 1 else 1)
        assert np.allclose(mixture.weights, reference.weights_, rtol=0, atol=1e-8)
        assert np.allclose(mixture.means, reference.means_, rtol=0, atol=1e-8)
        assert np.allclose(mixture.precisions, reference.precisions_cholesky_, rtol=1e-8, atol=1e-8)


def test_where_the_bound_rises_the_fit_is_sklearns(way):
    """Sizes become ready at different steps, and each leaves the others as they are."""
    fit = vectors()
    found, ready = fit_mixtures(fit, (2, 4, 8), 0.01), set()
    for size, mixture in found.items():
        reference = GaussianMixture(size, reg_covar=0.01, random_state=0).fit(fit)
        assert (np.diff(reference.lower_bounds_)[:-1] > 0).all() and mixture.steps == reference.n_iter_
        assert np.allclose(mixture.precisions, reference.precisions_cholesky_, rtol=1e-8, atol=1e-8)
        ready.add(mixture.steps)
    assert len(ready) == 3


def test_a_bound_that_falls_stops_at_a_higher_likelihood(way):
    fit = 1.7 * np.maximum(np.random.default_rng(0).standard_normal((200, 8)), 0)
    reference = GaussianMixture(16, reg_covar=1.0, random_state=0).fit(fit)
    bounds = np.array(reference.lower_bounds_)
    assert (np.diff(bounds[: FALLS + 1]) < 0).all() and len(bounds) > 2 * FALLS  # what is wanted of the vectors
    found = fit_mixtures(fit, (16,), 1.0)[16]
    assert found.steps == FALLS + 1 and found.bound == pytest.approx(bounds[FALLS], abs=1e-8)
    likelihood = log_likelihood(fit, found.weights, found.means, found.precisions).mean()
    assert found.bound > bounds[-1] and likelihood > reference.score(fit)


def test_a_rise_ends_the_count_of_falls(monkeypatch):
    """Bounds by script: a fall less than make it ready, a rise, then falls for ever."""
    falls = -0.1 * np.arange(1, 2 * FALLS)
    monkeypatch.setattr(mixtures, "PRODUCTS", 2**40)
    step, given = mixtures._Products.step, iter([0.0, *falls[: FALLS - 1], 1.0, *(1 + falls)])
    monkeypatch.setattr(mixtures._Products, "step", lambda *told: (step(*told)[0], np.array([next(given)])))
    assert fit_mixtures(vectors(), (2,), 1.0)[2].steps == FALLS + 1 + FALLS


def test_log_likelihood_is_sklearns(monkeypatch):
    monkeypatch.setattr(mixtures, "CHUNK", 16)
    reference, queries = GaussianMixture(3, reg_covar=0.1, random_state=0).fit(vectors()), vectors(50, seed=9)
    parameters = reference.weights_, reference.means_, reference.precisions_cholesky_
    assert np.allclose(log_likelihood(queries, *parameters), reference.score_samples(queries), rtol=1e-10)
    assert log_likelihood(queries[:0], *parameters).shape == (0,)


def test_what_cannot_be_told_apart_is_fitted_and_what_is_singular_is_said(way):
    """Equal vectors leave clusters empty; without enough regularisation no Gaussian is left."""
    equal = np.repeat(vectors(4, 3), 10, axis=0)
    mixture = fit_mixtures(equal, (8,), 1.0)[8]
    assert np.isfinite(mixture.precisions).all() and mixture.weights.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match=r"GMM of 8 has a singular covariance; raise inliers.gmm_reg_covar \(1e-30\)"):
        fit_mixtures(equal, (8,), 1e-30)
