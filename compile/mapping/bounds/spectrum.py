"""Upper bounds on the largest singular values of a sparse matrix, which hold although the values themselves are only approximated.

An iterative method approaches a singular value from below, so it bounds nothing by itself. With K = B B', the eigenvalues of K are split by
a subspace P of approximate eigenvectors, Q what is orthogonal to it:

    lambda_i(K)  <=  theta_i + 2 rho^2 / (eta_i + sqrt(eta_i^2 + 4 rho^2)),   rho = |Q K P|,   eta_i = theta_i - s

where theta are the eigenvalues of P K P (exact, small), or s if that is larger, and s is the largest one of Q K Q (Li and Li, "A note on
eigenvalues of perturbed Hermitian matrices", Linear Algebra Appl. 395, 2005). s is itself bounded from above, by the theorem of Kuczynski
and Wozniakowski ("Estimating the largest eigenvalue by the power and Lanczos algorithms with a random start", SIAM J. Matrix Anal. Appl.
13(4), 1992, theorem 4.2): k steps of Lanczos from a random direction find a value xi, and for a positive semidefinite matrix of n rows

    P(lambda_1 > xi / (1 - eps))  <=  1.648 sqrt(n) exp(-sqrt(eps) (2 k - 1))

eps is chosen such that this is `DOUBT`. A matrix with one short side needs none of it: all its eigenvalues are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["upper_squares"]

Float = NDArray[np.float64]
Matrix: TypeAlias = "sp.csr_array[Any]"  # in quotes: SciPy before 1.15 cannot subscript it
Operator = Callable[[Float], Float]
EXACT = 800  # rows or columns up to which all eigenvalues are computed: 0.2 s
STEPS = 50  # of Lanczos
HELD = 12_000_000  # numbers that Lanczos may keep: fewer steps for more rows
DOUBT = 1e-9  # chance that a bound is too low
ROUNDING = 1e-9  # of the sums below, relative to the largest singular value, which is 1
CLUSTERED = 0.15  # the square of the second singular value above which more than one is looked for
POWERS = 2  # multiplications that turn a start into approximate singular vectors


def upper_squares(matrix: Matrix, count: int, first: Float, start: Float | None = None) -> Float:
    """Return upper bounds on the squares of the largest singular values, in descending order: (count,).

    Args:
        matrix: (rows, columns), of which no singular value exceeds 1.
        first: (rows,) the left singular vector of the value 1.
        start: (rows, vectors) guesses of those of the next largest; None: random ones, if the second value is large.
    """
    rows, columns = matrix.shape or (0, 0)
    short = min(rows, columns)
    if short <= EXACT:
        found = _exact(matrix)
    else:
        found = _split(matrix, (first / np.linalg.norm(first))[:, None] if start is None else _basis(first, start))
        if start is None and count > 2 and found[1] > CLUSTERED:
            rng = np.random.default_rng(1)
            found = _split(matrix, _basis(first, rng.standard_normal((rows, min(count, short // 4)))))
    found = np.minimum(found, 1.0)
    rest = 0.0 if found.size >= short else float(found[-1])
    return np.concatenate([found, np.full(max(0, count - found.size), rest)])[:count]


def _exact(matrix: Matrix) -> Float:
    dense: Any = matrix.toarray()
    gram = dense @ dense.T if dense.shape[0] <= dense.shape[1] else dense.T @ dense
    return scipy.linalg.eigvalsh(gram)[::-1] + ROUNDING


def _basis(first: Float, start: Float) -> Float:
    return np.linalg.qr(np.concatenate([first[:, None], start], axis=1))[0]


def _split(matrix: Matrix, basis: Float) -> Float:
    """Return the bounds by a subspace that `basis` (rows, vectors), orthonormal, begins: one more than it has vectors."""
    turned = matrix.T.tocsr()

    def square(x: Float) -> Float:
        return matrix @ (turned @ x)

    for _ in range(POWERS if basis.shape[1] > 1 else 0):
        basis = np.linalg.qr(square(basis))[0]
    image = square(basis)
    inside = basis.T @ image
    values = np.linalg.eigvalsh((inside + inside.T) / 2)[::-1]
    apart = image - basis @ inside
    rho = math.sqrt(max(float(np.linalg.eigvalsh(apart.T @ apart)[-1]), 0.0))

    def outside(x: Float) -> Float:
        x = square(x - basis @ (basis.T @ x))
        return x - basis @ (basis.T @ x)

    rest = _largest(outside, len(basis))
    found = np.append(np.maximum(values, rest), rest)
    gap = found - rest
    return found + (2 * rho**2 / (gap + np.sqrt(gap**2 + 4 * rho**2)) if rho else 0.0) + ROUNDING


def _largest(operator: Operator, size: int) -> float:
    """Return an upper bound on the largest eigenvalue of a positive semidefinite operator, by Lanczos with full orthogonalisation."""
    steps = max(10, min(STEPS, HELD // size, size))
    vectors = np.zeros((steps, size))
    diagonal, beside = np.zeros(steps), np.zeros(steps)
    x = np.random.default_rng(0).standard_normal(size)
    x /= np.linalg.norm(x)
    done = 0
    while done < steps:
        vectors[done] = x
        y = operator(x)
        diagonal[done] = x @ y
        for _ in range(2):  # twice is enough, once is not
            y = y - vectors[: done + 1].T @ (vectors[: done + 1] @ y)
        beside[done] = np.linalg.norm(y)
        done += 1
        if beside[done - 1] < ROUNDING:  # every direction in which the start has a part was seen
            return float(_tridiagonal(diagonal[:done], beside[: done - 1])) + ROUNDING
        x = y / beside[done - 1]
    doubt = (math.log(1.648 * math.sqrt(size) / DOUBT) / (2 * steps - 1)) ** 2
    return float(_tridiagonal(diagonal, beside[:-1])) / (1.0 - doubt) if doubt < 1.0 else 1.0


def _tridiagonal(diagonal: Float, beside: Float) -> float:
    found: Any = scipy.linalg.eigh_tridiagonal(diagonal, beside, eigvals_only=True) if beside.size else diagonal
    return float(found.max())
