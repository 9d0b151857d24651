"""Full-covariance Gaussian mixtures of several sizes, fitted to the same vectors by one EM (Dempster et al., 1977).

All components of all sizes stand in one stack, so that a step is a few large products in place of many small ones. With
responsibilities r_k(x), N_k = Σ_x r_k(x) and the regularisation ρ:

    M   π_k = N_k / Σ_j N_j,   μ_k = Σ_x r_k(x) x / N_k,   Σ_k = Σ_x r_k(x) (x − μ_k)(x − μ_k)ᵀ / N_k + ρ I
    E   ln r_k(x) = l_k(x) − ln Σ_j exp l_j(x),   l_k(x) = ln π_k N(x; μ_k, Σ_k),   j over the mixture of k

The start (k-means), the steps and two rules of the stop are those of sklearn's `GaussianMixture`, to rounding; the
third rule is not. With ρ > 0 the M-step is no maximum: the bound, the mean log-likelihood, may fall in every step, and
sklearn goes on until it falls slowly. Here a mixture is ready after `FALLS` steps in a row without a rise, at a higher
bound. On the demo machines that saves two thirds of the steps; after fewer falls some fits would rise again.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsyr, dsyrk, dtrmm, dtrsm
from scipy.linalg.lapack import dpotrf, dpotri, dtrtri
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

TOLERANCE, STEPS, FALLS = 1e-3, 100, 8  # change of the bound in nats; steps at most; steps in a row without a rise
SMALLEST = 10 * np.finfo(float).eps  # added to N_k, as sklearn does
CHUNK = 256  # vectors at once: a core's cache holds them
PRODUCTS = 2**26  # bytes up to which all x_i x_j are kept


@dataclass(frozen=True)
class Mixture:
    """Σ_k π_k N(μ_k, Σ_k), with Σ_k⁻¹ = P_k P_kᵀ.

    Attributes:
        weights: (c,) π. means: (c, d) μ. precisions: (c, d, d) upper triangles P.
        bound: mean log-likelihood before the last step, in nats. steps: of EM.
    """

    weights: np.ndarray
    means: np.ndarray
    precisions: np.ndarray
    bound: float
    steps: int


def fit_mixtures(
    vectors: np.ndarray,
    sizes: Sequence[int],
    reg_covar: float,
    seed: int = 0,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
    falls: int = FALLS,
) -> dict[int, Mixture]:
    """One mixture of each size, each begun at k-means.

    Args:
        vectors: (n, d) float64, finite. sizes: numbers of components, at most n. reg_covar: ρ. seed: of k-means.
        steps, tolerance, falls: the three rules of the stop.

    Raises:
        ValueError: a covariance is singular, since ρ is too small.
    """
    stack = np.array(list(dict.fromkeys(sizes)))
    passes = _Products(vectors) if _Products.size(vectors) <= PRODUCTS else _Chunks(vectors)
    moments = passes.moments(np.concatenate([_start(vectors, size, seed) for size in stack]))
    bounds, fallen, fitted = np.full(len(stack), -np.inf), np.zeros(len(stack), int), {}
    for step in range(1, steps + 1):
        moments, bound = passes.step(*_maximised(moments, stack, reg_covar), stack)
        fallen = np.where(bound > bounds, 0, fallen + 1)
        ready = (abs(bound - bounds) < tolerance) | (fallen >= falls) | (step == steps) | (stack == 1)
        if ready.any():
            owned = np.repeat(ready, stack)
            last = _maximised([m[owned] for m in moments], stack[ready], reg_covar)
            fitted |= _mixtures(*last, stack[ready], bound[ready], step)
            moments, stack, bound, fallen = [m[~owned] for m in moments], stack[~ready], bound[~ready], fallen[~ready]
        if not len(stack):
            break
        bounds = bound
    return {size: fitted[size] for size in sizes}


def log_likelihood(vectors: np.ndarray, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> np.ndarray:
    """ln Σ_k π_k N(x; μ_k, Σ_k), in nats.

    Args:
        vectors: (n, d) float64. weights, means, precisions: of a `Mixture`.

    Returns:
        (n,).
    """
    factors, stack = np.ascontiguousarray(precisions, np.float64), np.array([len(weights)])
    constants = np.log(weights) + np.log(_diagonals(factors)).sum(axis=1)
    parts = [_log_joint(chunk, constants, means, factors, dtrmm) for chunk in _chunks(vectors)]
    return np.concatenate([np.empty(0), *(_normalised(part, stack)[0] for part in parts)])


def _start(vectors, size, seed):
    """(size, n) responsibilities, 1 of the own k-means cluster."""
    clusters = np.zeros(len(vectors), int)
    if size > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than clusters
            clusters = KMeans(size, n_init=1, random_state=seed).fit(vectors).labels_
    return (clusters == np.arange(size)[:, None]).astype(float)


def _maximised(moments, stack, reg_covar):
    """The M-step: (K,) π, (K, d) μ and (K, d, d) upper triangles U, Σ = UᵀU, which take the place of the moments."""
    counts, sums, squares = moments
    total = counts + SMALLEST
    means = sums / total[:, None]
    squares /= total[:, None, None]
    _diagonals(squares)[:] += reg_covar
    for covariance, mean, share in zip(squares, means, 2 - counts / total, strict=True):
        dsyr(-share, mean, a=covariance.T, lower=1, overwrite_a=1)  # Σ r (x − μ)(x − μ)ᵀ = Σ r x xᵀ − …
        _, failed = dpotrf(covariance.T, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise ValueError(
                f"a component of a GMM of {_sizes(stack)} has a singular covariance; raise inliers.gmm_reg_covar "
                f"({reg_covar}) or lower inliers.gmm_components"
            )
    return total / np.repeat(np.add.reduceat(total, _first(stack)), stack), means, squares


def _sizes(stack):
    return ", ".join(map(str, stack))


def _mixtures(weights, means, factors, stack, bounds, step):
    """{size: `Mixture`} of a stack's parameters."""
    for factor in factors:
        dtrtri(factor.T, lower=1, overwrite_c=1)  # P = U⁻¹
    factors, found = np.triu(factors), {}
    for size, first, bound in zip(stack.tolist(), _first(stack), bounds.tolist(), strict=True):
        own = slice(first, first + size)
        found[size] = Mixture(weights[own], means[own], factors[own], bound, step)
    return found


def _first(stack):
    return np.cumsum(stack) - stack


def _diagonals(matrices):
    return np.einsum("kii->ki", matrices)


def _normalised(joint, stack):
    """(K, n) l → (mixtures, n) ln Σ_j exp l_j; `joint` becomes the responsibilities."""
    first = _first(stack)
    largest = np.maximum.reduceat(joint, first)
    joint -= np.repeat(largest, stack, axis=0)
    np.exp(joint, out=joint)
    total = np.add.reduceat(joint, first)
    joint /= np.repeat(total, stack, axis=0)
    return largest + np.log(total)


def _chunks(vectors):
    """Rows in Fortran's order, which BLAS takes without a copy."""
    return [np.asfortranarray(vectors[i : i + CHUNK]) for i in range(0, len(vectors), CHUNK)]


def _log_joint(chunk, constants, means, factors, product):
    """(m, d) → (K, m) l, by the squared length of x − μ times P (`dtrmm` of it) or over U (`dtrsm`).

    Args:
        constants: (K,) ln π_k |Σ_k|^−½.
    """
    joint, work = np.empty((len(factors), len(chunk))), np.empty_like(chunk)
    for own, mean, factor in zip(joint, means, factors, strict=True):
        np.subtract(chunk, mean, out=work)
        product(1.0, factor.T, work, side=1, lower=1, trans_a=1, overwrite_b=1)
        np.einsum("md,md->m", work, work, out=own)
    joint *= -0.5
    joint += (constants - 0.5 * chunk.shape[1] * np.log(2 * np.pi))[:, None]
    return joint


class _Chunks:
    """Passes over many or long vectors: a few of them at a time, a triangle of each component after the other."""

    def __init__(self, vectors):
        self.chunks = _chunks(vectors)

    def moments(self, responsibilities):
        """(K, n) → N (K,), Σ r x (K, d), Σ r x xᵀ (K, d, d; of which the upper triangles count)."""
        ends = np.cumsum([len(chunk) for chunk in self.chunks])[:-1]
        return self._summed(np.split(responsibilities, ends, axis=1), len(responsibilities))

    def step(self, weights, means, factors, stack):
        """E-step of the parameters: the moments of the next M-step, and the (mixtures,) bounds."""
        constants, bounds = np.log(weights) - np.log(_diagonals(factors)).sum(axis=1), []

        def responsibilities():
            for chunk in self.chunks:
                joint = _log_joint(chunk, constants, means, factors, dtrsm)
                bounds.append(_normalised(joint, stack))
                yield joint

        moments = self._summed(responsibilities(), len(means))
        return moments, np.concatenate(bounds, axis=1).mean(axis=1)

    def _summed(self, responsibilities, count):
        d = self.chunks[0].shape[1]
        counts, sums, squares = np.zeros(count), np.zeros((count, d)), np.zeros((count, d, d))
        for chunk, part in zip(self.chunks, responsibilities, strict=True):
            counts += part.sum(axis=1)
            sums += part @ chunk
            work = np.empty_like(chunk)
            for root, square in zip(np.sqrt(part), squares, strict=True):
                np.multiply(chunk, root[:, None], out=work)
                dsyrk(1.0, work, beta=1.0, c=square.T, trans=1, lower=1, overwrite_c=1)
        return [counts, sums, squares]


class _Products:
    """Passes over few vectors: one product of φ(x) = (x_i x_j for i ≤ j, x, 1) with all components at once.

    l_k(x) is linear in φ(x), and the moments of a component are Σ_x r_k(x) φ(x).
    """

    def __init__(self, vectors):
        self.dimensions = d = vectors.shape[1]
        outer = [vectors[:, i:] * vectors[:, i, None] for i in range(d)]
        self.products = np.concatenate([*outer, vectors, np.ones((len(vectors), 1))], axis=1)
        rows, columns = np.triu_indices(d)
        self.upper, self.place = rows * d + columns, np.empty((d, d), int)  # from a matrix to φ's order, and back
        self.place[rows, columns] = self.place[columns, rows] = np.arange(len(rows))
        self.factor = np.where(rows == columns, -0.5, -1.0)  # of an element of Σ⁻¹ in l

    @staticmethod
    def size(vectors):
        """Bytes of all φ(x)."""
        return vectors.nbytes * (vectors.shape[1] + 3) // 2

    def moments(self, responsibilities):
        """As `_Chunks.moments`."""
        found, d = responsibilities @ self.products, self.dimensions
        return [found[:, -1], found[:, -1 - d : -1], self._matrices(found)]

    def step(self, weights, means, factors, stack):
        """As `_Chunks.step`."""
        constants = np.log(weights) - np.log(_diagonals(factors)).sum(axis=1)
        for factor in factors:
            dpotri(factor.T, lower=1, overwrite_c=1)  # Σ⁻¹
        packed = factors.reshape(len(factors), -1).take(self.upper, axis=1)
        linear = (self._matrices(packed) @ means[:, :, None])[:, :, 0]
        constants -= 0.5 * (self.dimensions * np.log(2 * np.pi) + np.einsum("kd,kd->k", means, linear))
        joint = np.concatenate([self.factor * packed, linear, constants[:, None]], axis=1) @ self.products.T
        bounds = _normalised(joint, stack).mean(axis=1)
        return self.moments(joint), bounds

    def _matrices(self, packed):
        return packed.take(self.place.ravel(), axis=1).reshape(-1, self.dimensions, self.dimensions)
