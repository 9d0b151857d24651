import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

from lib.detection.inliers import GMM, KNN, Whitening


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.standard_normal((300, 40)) @ rng.standard_normal((40, 40)), rng.standard_normal((50, 40)) * 4


def degenerate(n, d=64, rank=12, seed=0):
    """Embeddings as trained ones are: after ReLU, some channels dead, nearly rank-deficient, float32."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).standard_normal((rank, d))
    vectors = np.maximum(rng.standard_normal((n, rank)) @ basis, 0)
    vectors[:, ::7] = 0
    return vectors.astype(np.float32)


def test_knn_is_sklearns_mahalanobis(vectors):
    fit, queries = vectors
    queries = np.concatenate([queries, fit[:5]])  # at distance zero, too
    inverse = np.linalg.inv(ledoit_wolf(fit)[0])
    exact = NearestNeighbors(
        n_neighbors=16, algorithm="brute", metric="mahalanobis", metric_params={"VI": inverse}
    ).fit(fit)
    distances = exact.kneighbors(queries)[0]
    scores = KNN((1, 4, 16)).fit(fit).score(queries)
    for k in (1, 4, 16):
        assert np.allclose(scores[f"KNN-{k}"], distances[:, :k].mean(axis=1), rtol=1e-9, atol=1e-6)
    assert np.allclose(scores["KNN-16"][:50], distances[:50].mean(axis=1), rtol=1e-9, atol=0)


def test_whitening_of_dead_channels():
    whitening = Whitening().fit(degenerate(200).astype(float))
    assert np.isfinite(whitening.matrix).all() and 12 <= whitening.rank <= 64
    assert np.isfinite(KNN().fit(degenerate(200)).score(degenerate(20, seed=1))["KNN-1"]).all()


def test_knn_leaves_out_what_the_fit_set_cannot_give():
    scores = KNN((1, 4, 16)).fit(degenerate(5)).score(degenerate(3, seed=1))
    assert list(scores) == ["KNN-1", "KNN-4"]
    with pytest.raises(ValueError, match=r"5 segments to fit on, the smallest .* is 9"):
        KNN((9,)).fit(degenerate(5))


def test_one_component_is_the_gaussian(vectors):
    fit, queries = vectors
    gmm = GMM((1,), variance=1.0, reg_covar=0.5).fit(fit)
    scale = np.sqrt(np.linalg.eigvalsh(np.cov(fit, rowvar=False)).mean())
    covariance = np.cov(fit, rowvar=False, bias=True) / scale**2 + 0.5 * np.eye(40)
    expected = -multivariate_normal((fit.mean(axis=0) - fit.mean(axis=0)) / scale, covariance).logpdf(
        (queries - fit.mean(axis=0)) / scale
    )
    assert np.allclose(gmm.score(queries)["GMM-1"], expected, rtol=1e-4)


def test_components_follow_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[-8.0, 0], [8, 0], [0, 9], [0, -9]])
    fit = np.concatenate([c + rng.standard_normal((60, 2)) for c in centres])
    scores = GMM((1, 4), variance=1.0, reg_covar=1e-3).fit(fit).score(np.array([[0.0, 0.0], [8.0, 0.0]]))
    assert scores["GMM-4"][0] - scores["GMM-4"][1] > 10  # the hole between the clusters
    assert scores["GMM-1"][0] < scores["GMM-1"][1]


def test_many_components_do_not_degenerate():
    gmm = GMM((1, 32)).fit(degenerate(700))
    held = gmm.score(degenerate(300, seed=5))
    assert held["GMM-32"].mean() <= 1.2 * held["GMM-1"].mean()
    assert gmm.rank <= 64


def test_too_many_components_for_the_clips_are_left_out():
    assert list(GMM((1, 2, 16)).fit(degenerate(9)).score(degenerate(2, seed=1))) == ["GMM-1", "GMM-2"]


@pytest.mark.parametrize("family", [KNN((1, 4)), GMM((1, 4)), GMM((1, 4), variance=1.0)])
def test_detectors_outlive_their_process(family, tmp_path):
    fitted, queries = family.fit(degenerate(200)), degenerate(20, seed=1)
    np.savez(tmp_path / "state.npz", **fitted.state())
    with np.load(tmp_path / "state.npz") as stored:
        restored = type(family).restore(dict(stored))
    expected = fitted.score(queries)
    for name, scores in restored.score(queries).items():
        assert np.allclose(scores, expected[name], rtol=1e-4, atol=1e-3)
    assert restored.rank == fitted.rank
