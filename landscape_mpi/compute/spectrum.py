"""Find leading eigenpairs, the trace and the spectral density of a symmetric matrix.

As in lanczos.py, vectors are float32 on the device of the start, and products float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from landscape_mpi.compute.lanczos import Lanczos, Multiply
from landscape_mpi.errors import InputError

N_GRID = 1001  # number of grid places of a density
MARGIN = 0.05  # share of the range that the grid extends beyond both ends
SQUARED_WIDTH = 1e-5  # variance of the Gaussians of the density, relative to the squared range


@dataclass(frozen=True)
class Pairs:
    """Hold the largest eigenvalues and their vectors."""

    values: np.ndarray  # falling, float64 [k]
    residuals: np.ndarray  # |H u - value u|, float64 [k]
    vectors: np.ndarray  # unit vectors, float32 [k, n]


@dataclass(frozen=True)
class Trace:
    """Hold an estimate of the trace."""

    value: float
    deviation: float  # standard error of its random part


@dataclass(frozen=True)
class Density:
    """Hold an estimate of the density of eigenvalues; its integral is 1."""

    places: np.ndarray  # eigenvalues, rising, float64 [N_GRID]
    density: np.ndarray  # share of all eigenvalues per unit, float64 [N_GRID]
    width: float  # standard deviation of its Gaussians


def leading_pairs(
    multiply: Multiply, start: torch.Tensor, *, k: int, tolerance: float, max_products: int
) -> Pairs:
    """Return the k largest eigenvalues and their vectors, by SciPy's ARPACK.

    Args:
        multiply: Function that multiplies the matrix with a float32 vector [n], in float64.
        start: Any vector with components along their vectors, float32 [n].
        k: Number of pairs, below n.
        tolerance: Relative tolerance of the values.
        max_products: Maximum number of restarts.

    Raises:
        InputError: If k is not below n, or they are not found.
    """
    n = len(start)
    if k >= n:
        raise InputError(
            f"--top {k}: there are only {n} eigenvalues, and not all of them can be found. Pass "
            f"--top {n - 1} or less."
        )

    def product(vector: np.ndarray) -> np.ndarray:
        return multiply(torch.from_numpy(vector.ravel()).float().to(start.device)).cpu().numpy()

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    how = {"tol": tolerance, "maxiter": max_products, "ncv": min(n, max(2 * k + 1, 20))}
    try:
        values, vectors = eigsh(operator, k, which="LA", v0=start.double().cpu().numpy(), **how)
    except ArpackNoConvergence as problem:
        raise InputError(
            f"--top: {len(problem.eigenvalues)} of {k} eigenvalues converged in {max_products} "
            "restarts. Pass a larger --tolerance, a smaller --top, or a larger --max-products."
        ) from problem
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    residuals = [
        float(np.linalg.norm(product(vector) - value * vector))
        for value, vector in zip(values, vectors.T, strict=True)
    ]
    return Pairs(values, np.array(residuals), vectors.T.astype(np.float32))


def trace(
    multiply: Multiply, n: int, *, n_products: int, draw: Callable[[int], torch.Tensor]
) -> Trace:
    """Estimate the trace.

    Args:
        multiply: Function that multiplies the matrix with a float32 vector [n], in float64.
        n: Rows of the matrix.
        n_products: Number of products, at least 6; the trace is exact if n is at most a third of
            it.
        draw: Function that returns the i-th random vector, float32 [n].

    Source: Meyer et al. 2021, arXiv:2010.09649, Hutch++, algorithm 1.
    """
    third = max(2, n_products // 3)
    sketch = torch.stack([multiply(draw(i)) for i in range(min(third, n))], dim=1)
    basis = torch.linalg.qr(sketch).Q
    captured = sum(float(column @ multiply(column.float())) for column in basis.T)
    if n <= third:
        return Trace(captured, 0.0)
    samples = []
    for i in range(third):
        vector = torch.sign(draw(third + i)).double()
        vector = vector - basis @ (basis.T @ vector)
        samples.append(float(vector @ multiply(vector.float())))
    deviation = float(np.std(samples, ddof=1) / np.sqrt(third))
    return Trace(captured + float(np.mean(samples)), deviation)


def density(
    multiply: Multiply, *, n_vectors: int, n_steps: int, draw: Callable[[int], torch.Tensor]
) -> Density:
    """Estimate the density of eigenvalues by stochastic Lanczos quadrature.

    Args:
        multiply: Function that multiplies the matrix with a float32 vector [n], in float64.
        n_vectors: Number of random starts to average over.
        n_steps: Number of products from each start; all their vectors are kept at once.
        draw: Function that returns the i-th random vector, float32 [n].

    Source: Ghorbani et al. 2019, arXiv:1901.10159, algorithm 1 and section 2.
    """
    nodes, weights = [], []
    for i in range(n_vectors):
        lanczos = Lanczos(multiply, torch.sign(draw(i)), n_basis=n_steps)
        while not lanczos.is_full and lanczos.is_finite:
            lanczos.step()
        values, _, coefficients = lanczos.ritz()
        nodes.append(values)
        weights.append(coefficients[0] ** 2 / n_vectors)
    low, high = min(v.min() for v in nodes), max(v.max() for v in nodes)
    reach = max(high - low, 1e-12 * max(abs(low), abs(high), 1.0))
    width = float(np.sqrt(SQUARED_WIDTH) * reach)
    places = np.linspace(low - MARGIN * reach, high + MARGIN * reach, N_GRID)
    found = np.zeros(N_GRID)
    for value, weight in zip(np.concatenate(nodes), np.concatenate(weights), strict=True):
        found += weight * np.exp(-0.5 * ((places - value) / width) ** 2)
    return Density(places, found / (width * np.sqrt(2 * np.pi)), width)
