"""Find both ends of the spectrum by SciPy's ARPACK, the paper's implicitly restarted Lanczos.

This checks our own Lanczos process. It is slower: its vectors live on the host, and it cannot limit
the number of products.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from landscape_mpi.compute.lanczos import End, Ends, Multiply, is_converged


class _OutOfProductsError(Exception):
    """Signal that products have reached their limit, or that one was not finite."""


def find_ends_by_arpack(
    multiply: Multiply,
    start: torch.Tensor,
    *,
    tolerance: float,
    max_products: int,
    n_basis: int = 40,
) -> Ends:
    """Find the smallest and the largest eigenvalue; see find_ends for arguments and result.

    The last two products of a point measure its residuals. An eigenvalue that does not converge is
    NaN with an infinite residual, because ARPACK does not return its intermediate value.
    """
    n, n_products = len(start), 0

    def product(vector: np.ndarray) -> np.ndarray:
        nonlocal n_products
        if n_products >= max_products:
            raise _OutOfProductsError
        n_products += 1
        made = multiply(torch.from_numpy(vector.ravel()).float().to(start.device)).cpu().numpy()
        if not np.isfinite(made).all():
            raise _OutOfProductsError
        return made

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    first = start.double().cpu().numpy()
    how = {"tol": tolerance, "ncv": min(n, max(4, n_basis)), "maxiter": max_products}
    try:
        values, vectors = eigsh(operator, k=2, which="BE", v0=first, **how)
        residuals = [
            float(np.linalg.norm(product(vectors[:, i]) - values[i] * vectors[:, i]))
            for i in (0, 1)
        ]
    except (_OutOfProductsError, ArpackError):
        lost = End(math.nan, math.inf, False, start)
        return Ends(lost, lost, n_products)
    largest = float(np.abs(values).max())
    least, greatest = (
        End(
            float(values[i]),
            residuals[i],
            is_converged(values[i], residuals[i], largest, tolerance),
            torch.from_numpy(vectors[:, i]).float().to(start.device),
        )
        for i in (0, 1)
    )
    return Ends(least, greatest, n_products)
