"""Find both ends of a symmetric matrix's spectrum by one Lanczos process with thick restarts.

Every new vector is made orthogonal to the whole basis, twice, so no eigenvalue appears twice. When
the basis is full, its Ritz vectors next to both ends and the residual become the next basis.

Source: Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22, 602 (thick restart).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from landscape_mpi.compute.devices.choice import device_named

FLOOR = 1e-3  # share of the largest eigenvalue: absolute accuracy of smaller ones
BREAKDOWN = 1e-6  # share of the largest eigenvalue; a smaller residual is rounding

Multiply = Callable[[torch.Tensor], torch.Tensor]  # float32 [n] to float64 [n]


@dataclass(frozen=True)
class End:
    """Hold one end of the spectrum and its residual."""

    value: float
    residual: float  # |H u - value u| for the unit vector u
    converged: bool
    vector: torch.Tensor  # float32 [n]


@dataclass(frozen=True)
class Ends:
    """Hold the smallest and the largest eigenvalue."""

    least: End
    greatest: End
    n_products: int

    @property
    def converged(self) -> bool:
        """Return whether both ends have converged."""
        return self.least.converged and self.greatest.converged


def is_converged(value: float, residual: float, largest: float, tolerance: float) -> bool:
    """Return whether an eigenvalue is known to the tolerance.

    Args:
        value: The eigenvalue.
        residual: Length of H u - value u.
        largest: Largest magnitude of all eigenvalues.
        tolerance: Relative to the eigenvalue's magnitude, or to FLOOR * largest if that is larger.
    """
    return residual <= tolerance * max(abs(value), FLOOR * largest)


class Lanczos:
    """Hold a Lanczos basis, and the matrix in this basis."""

    def __init__(
        self, multiply: Multiply, start: torch.Tensor, *, n_basis: int, chunk: int | None = None
    ) -> None:
        """Begin with one vector.

        Args:
            multiply: Function that multiplies with the matrix.
            start: Any non-zero vector, float32 [n].
            n_basis: Number of vectors in the basis; at most n are used.
            chunk: Entries of each vector that are converted to float64 at a time; None for what
                the device is fast with.
        """
        self._multiply = multiply
        n = len(start)
        self.n_basis = min(n, max(n_basis, 4))
        self._chunk = chunk or device_named(str(start.device)).vector_chunk
        self._basis = torch.empty(self.n_basis, n, dtype=torch.float32, device=start.device)
        self._matrix = np.zeros((self.n_basis, self.n_basis))
        self._n_vectors = 0
        self._next: torch.Tensor | None = start.double() / start.double().norm()
        self._length = 0.0  # length of the last residual
        self._generator = torch.Generator().manual_seed(n)
        self.n_products = 0
        self.is_finite = True

    @property
    def is_full(self) -> bool:
        """Return whether the next vector needs a restart."""
        return self._n_vectors == self.n_basis

    @property
    def is_complete(self) -> bool:
        """Return whether the basis spans the whole space."""
        return self._n_vectors == self._basis.shape[1]

    def step(self) -> None:
        """Add the next vector and its product."""
        if self.is_full:
            self._restart()
        assert self._next is not None
        k = self._n_vectors
        self._basis[k] = self._next
        self._n_vectors = k + 1
        product = self._multiply(self._basis[k])
        self.n_products += 1
        self.is_finite = bool(torch.isfinite(product).all())
        if not self.is_finite:
            return
        column = self._orthogonalise(product) + self._orthogonalise(product)
        self._matrix[: k + 1, k] = self._matrix[k, : k + 1] = column
        self._length = float(product.norm())
        largest = float(np.abs(np.linalg.eigvalsh(self._matrix[: k + 1, : k + 1])).max())
        if self._length <= BREAKDOWN * largest or self._length == 0:
            self._length = 0.0
            product = self._fresh_vector()
        self._next = product / product.norm() if not self.is_complete else None

    def _fresh_vector(self) -> torch.Tensor:
        """Return a random vector orthogonal to the basis, which spans an invariant subspace."""
        drawn = torch.randn(self._basis.shape[1], generator=self._generator, dtype=torch.float64)
        vector = drawn.to(self._basis.device)
        for _ in range(2):
            self._orthogonalise(vector)
        return vector

    def _orthogonalise(self, vector: torch.Tensor) -> np.ndarray:
        """Remove the basis from a vector in place; return its coefficients, float64 [n_vectors]."""
        basis = self._basis[: self._n_vectors]
        inside = torch.zeros(len(basis), dtype=torch.float64, device=vector.device)
        starts = range(0, len(vector), self._chunk)
        pieces = [slice(start, start + self._chunk) for start in starts]
        for piece in pieces:
            inside += basis[:, piece].double() @ vector[piece]
        for piece in pieces:
            vector[piece] -= inside @ basis[:, piece].double()
        return inside.cpu().numpy()

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rising Ritz values [k], residuals [k], and coefficients in the basis [k, k]."""
        k = self._n_vectors
        values, coefficients = np.linalg.eigh(self._matrix[:k, :k])
        return values, self._length * np.abs(coefficients[-1]), coefficients

    def vectors(self, coefficients: np.ndarray) -> torch.Tensor:
        """Return combinations of the basis, float32 [m, n].

        Args:
            coefficients: Coefficients, float64 [n_vectors, m].
        """
        weights = torch.from_numpy(np.ascontiguousarray(coefficients.T))
        weights = weights.to(self._basis.device)
        made = self._basis.new_empty(len(weights), self._basis.shape[1])
        for start in range(0, made.shape[1], self._chunk):
            piece = self._basis[: self._n_vectors, start : start + self._chunk].double()
            made[:, start : start + self._chunk] = weights @ piece
        return made

    def _restart(self) -> None:
        """Keep the Ritz vectors next to both ends, more of them at the crowded lower end."""
        values, _, coefficients = self.ritz()
        n_high = max(1, self.n_basis // 8)
        n_low = max(1, self.n_basis // 3)
        kept = [*range(n_low), *range(len(values) - n_high, len(values))]
        self._basis[: len(kept)] = self.vectors(coefficients[:, kept])
        self._n_vectors = len(kept)
        self._matrix[:] = 0
        self._matrix[range(len(kept)), range(len(kept))] = values[kept]


def find_ends(
    multiply: Multiply,
    start: torch.Tensor,
    *,
    tolerance: float,
    max_products: int,
    n_basis: int = 40,
    min_products: int = 1,
    chunk: int | None = None,
) -> Ends:
    """Find the smallest and the largest eigenvalue.

    Args:
        multiply: Function that multiplies the matrix with a float32 vector [n], in float64.
        start: Any vector with components along both eigenvectors, float32 [n].
        tolerance: An end has converged when its residual is below this share of its magnitude, or
            of FLOOR * largest magnitude if that is larger.
        max_products: The search stops after this number of products.
        n_basis: Number of vectors kept.
        min_products: Minimum number of products.
        chunk: Entries of each vector that are converted to float64 at a time; see Lanczos.

    Returns:
        Both ends; NaN if a product is not finite.
    """
    lanczos = Lanczos(multiply, start, n_basis=n_basis, chunk=chunk)
    while True:
        lanczos.step()
        if not lanczos.is_finite:
            lost = End(math.nan, math.nan, False, start)
            return Ends(lost, lost, lanczos.n_products)
        values, residuals, coefficients = lanczos.ritz()
        largest = float(np.abs(values[[0, -1]]).max())
        good = [is_converged(values[i], residuals[i], largest, tolerance) for i in (0, -1)]
        enough = all(good) and lanczos.n_products >= min_products
        if enough or lanczos.is_complete or lanczos.n_products >= max_products:
            break
    if lanczos.is_complete:
        good = [True, True]
    vectors = lanczos.vectors(coefficients[:, [0, -1]])
    least, greatest = (
        End(float(values[i]), float(residuals[i]), bool(g), v)
        for i, g, v in zip((0, -1), good, vectors, strict=True)
    )
    return Ends(least, greatest, lanczos.n_products)
