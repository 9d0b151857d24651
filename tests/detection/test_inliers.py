import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from lib.detection.inliers import GMM, KNN, Whitening
from lib.settings import Inliers


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


def test_the_rank_is_of_the_vectors_not_of_what_shrinkage_adds():
    rng = np.random.default_rng(0)
    assert KNN((1,)).fit(rng.standard_normal((200, 30)) @ rng.standard_normal((30, 100))).rank == 30
    assert KNN((1,)).fit(rng.standard_normal((11, 100))).rank == 10  # around their mean


def test_many_components_do_not_degenerate():
    gmm = GMM((1, 32)).fit(degenerate(700))
    held = gmm.score(degenerate(300, seed=5))
    assert held["GMM-32"].mean() <= 1.2 * held["GMM-1"].mean()
    assert gmm.rank <= 64


@pytest.mark.parametrize("count", [10, 100])
def test_embeddings_that_are_not_finite_are_said(count):
    vectors = degenerate(count)
    vectors[3, 5] = np.nan
    with pytest.raises(ValueError, match="embeddings to fit a GMM on are not finite"):
        GMM((1,)).fit(vectors)


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


def clusters(seed=0):
    """Three clusters of 30, 60 and 150 vectors in 4 dimensions: a mixture's weights differ."""
    rng = np.random.default_rng(seed)
    centres = np.array([[6.0, 0, 0, 0], [-6, 0, 0, 0], [0, 6, 0, 0]])
    return np.concatenate([c + rng.standard_normal((n, 4)) for c, n in zip(centres, (30, 60, 150), strict=True)])


def test_gmm_is_sklearns_mixture_of_the_rotated_and_scaled_vectors():
    """Weights and all: against `score_samples`, whose weights of this mixture are 1/8, 1/4 and 5/8."""
    fit, queries = clusters(), clusters(1)[::7]
    gmm = GMM((1, 3), variance=1.0, reg_covar=0.01, seed=5).fit(fit)
    reduced, asked = ((v - fit.mean(axis=0)) @ gmm.axes for v in (fit, queries))
    for components in (1, 3):
        reference = GaussianMixture(components, reg_covar=0.01, random_state=5).fit(reduced)
        assert np.allclose(gmm.score(queries)[f"GMM-{components}"], -reference.score_samples(asked), atol=1e-4)
    assert np.allclose(sorted(gmm.mixtures[3][0]), [0.125, 0.25, 0.625], atol=0.01)


def test_gmm_axes_keep_the_variance_asked_for_at_mean_variance_one():
    """Variances 6, 3, 1 (and 0): 0.6 is one axis' share, 0.9 two axes'; the mean variance of what is kept is 1."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((4000, 4))
    base = (base - base.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base, rowvar=False))).T
    fit = base * np.sqrt([1.0, 6, 0, 3])
    for variance, rank in ((0.5, 1), (0.61, 2), (0.89, 2), (0.91, 3), (1.0, 3)):
        gmm = GMM((1,), variance=variance).fit(fit + 7)
        assert gmm.rank == rank or (variance == 1.0 and gmm.rank in (3, 4)), variance
        reduced = (fit + 7 - gmm.mean) @ gmm.axes
        assert np.allclose(reduced.mean(axis=0), 0, atol=1e-9)
        assert np.var(reduced, axis=0, ddof=1).mean() == pytest.approx(1)
        assert np.var(reduced[:, 0]) >= np.var(reduced[:, -1])


@pytest.mark.parametrize("variance", [0.9, 1.0])
def test_gmm_axes_of_fewer_vectors_than_dimensions_are_the_principal_ones(variance):
    rng = np.random.default_rng(0)
    fit = rng.standard_normal((30, 12)) @ rng.standard_normal((12, 100)) + 3
    gmm = GMM((1,), variance=variance).fit(fit)
    values, directions = np.linalg.eigh(np.cov(fit, rowvar=False))
    values, directions = values[::-1], directions[:, ::-1]
    rank = int((np.cumsum(values[:12]) < variance * values.sum()).sum()) + 1 if variance < 1 else 12
    expected = (fit - fit.mean(axis=0)) @ directions[:, :rank] / np.sqrt(values[:rank].mean())
    reduced = (fit - gmm.mean) @ gmm.axes
    assert gmm.rank == rank and np.allclose(reduced @ reduced.T, expected @ expected.T)  # whatever the signs


def test_the_seed_begins_the_mixture():
    fit = np.random.default_rng(0).random((200, 3))
    same, other = (GMM((9,), reg_covar=1e-3, seed=seed).fit(fit).score(fit)["GMM-9"] for seed in (1, 2))
    again = GMM((9,), reg_covar=1e-3, seed=1).fit(fit).score(fit)["GMM-9"]
    assert np.array_equal(same, again) and not np.allclose(same, other)


def test_settings_reach_the_detectors():
    inliers = Inliers(gmm_components=(2, 3), knn_neighbours=(5,), gmm_variance=0.7, gmm_reg_covar=0.3)
    gmm, knn = GMM.from_settings(inliers, 11), KNN.from_settings(inliers, 11)
    assert (gmm.components, gmm.variance, gmm.reg_covar, gmm.seed) == ((2, 3), 0.7, 0.3, 11)
    assert knn.neighbours == (5,) and (KNN().neighbours, GMM().components) == ((1, 2, 4, 16, 32),) * 2
    assert (GMM().variance, GMM().reg_covar, GMM().seed) == (0.99, 1.0, 0)


def test_reg_covar_widens_the_components():
    fit = degenerate(60)
    narrow, wide = (GMM((1,), reg_covar=r).fit(fit).mixtures[1][2][0] for r in (0.1, 1.0))
    assert (np.diag(narrow) > np.diag(wide)).all()


def test_knn_is_the_mean_of_the_nearest_in_rising_order():
    """One dimension, by hand: whitening divides by the deviation; neighbours of 0 are 1, −2 and 4 away."""
    fit = np.array([[1.0], [-2.0], [4.0], [40.0]])
    knn = KNN((1, 2, 3, 4)).fit(fit)
    unit = abs(knn.matrix[0, 0])
    found = {name: value[0] / unit for name, value in knn.score(np.zeros((1, 1))).items()}
    assert found == pytest.approx({"KNN-1": 1, "KNN-2": 1.5, "KNN-3": 7 / 3, "KNN-4": 47 / 4})
    assert 1 / unit**2 == pytest.approx(ledoit_wolf(fit)[0][0, 0])


def test_many_queries_are_scored_in_pieces(monkeypatch):
    knn, queries = KNN((1, 4)).fit(degenerate(40)), degenerate(11, seed=1)
    whole = knn.score(queries)
    monkeypatch.setattr("lib.detection.neighbours.QUERIES", 4)
    for name, values in knn.score(queries).items():
        assert np.allclose(values, whole[name], rtol=1e-12) and values.shape == (11,)


def test_the_eigenvalue_floor_bounds_dead_directions():
    """A direction without variance is stretched as if it had 1e-9 of the largest variance, no more."""
    fit = np.random.default_rng(0).standard_normal((4000, 3)) * [1.0, 1.0, 0.0]
    whitening = Whitening().fit(fit)
    values = 1 / np.square(np.linalg.norm(whitening.matrix, axis=0))
    assert values.max() == pytest.approx(1, rel=0.1) and values.min() >= 0.99e-9 * values.max()
    assert Whitening().fit(np.random.default_rng(0).standard_normal((40, 3))).rank == 3


def test_the_smallest_fit_sets():
    """Two segments make a GMM of one component; one makes none; components need twice as many segments."""
    rng = np.random.default_rng(0)
    assert list(GMM((1, 2)).fit(rng.standard_normal((2, 3))).score(np.zeros((1, 3)))) == ["GMM-1"]
    assert list(GMM((1, 2, 3)).fit(rng.standard_normal((4, 3))).score(np.zeros((1, 3)))) == ["GMM-1", "GMM-2"]
    with pytest.raises(ValueError, match="1 segment to fit a GMM on, at least 2 needed; record more or longer clips"):
        GMM((1,)).fit(rng.standard_normal((1, 3)))
    assert list(KNN((1, 5)).fit(rng.standard_normal((5, 3))).score(np.zeros((1, 3)))) == ["KNN-1", "KNN-5"]
