"""Both ends of the spectrum of a symmetric matrix, by one Lanczos process with thick restarts.

Every new vector is made orthogonal to the whole basis, twice, so no eigenvalue comes twice. When
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

FLOOR = 1e-3  # of the largest eigenvalue: what a smaller one is accurate to
BREAKDOWN = 1e-6  # a residual below this share of the largest eigenvalue is rounding

Multiply = Callable[[torch.Tensor], torch.Tensor]  # float32 [n] to float64 [n]


@dataclass(frozen=True)
class End:
    """One end of the spectrum, as far as it is known."""

    value: float
    residual: float  # |H u - value u| of the unit vector u
    converged: bool
    vector: torch.Tensor  # float32 [n]


@dataclass(frozen=True)
class Ends:
    """Smallest and largest eigenvalue."""

    least: End
    greatest: End
    n_products: int

    @property
    def converged(self) -> bool:
        """Return whether both ends are."""
        return self.least.converged and self.greatest.converged


def is_converged(value: float, residual: float, largest: float, tolerance: float) -> bool:
    """Return whether an eigenvalue is known to the tolerance.

    Args:
        value: The eigenvalue.
        residual: Length of H u - value u.
        largest: The largest magnitude of an eigenvalue.
        tolerance: Relative to its own magnitude, at least FLOOR of the largest.
    """
    return residual <= tolerance * max(abs(value), FLOOR * largest)


class Lanczos:
    """A basis, and the matrix in it."""

    def __init__(self, multiply: Multiply, start: torch.Tensor, *, n_basis: int) -> None:
        """Begin with one vector.

        Args:
            multiply: Multiplies with the matrix.
            start: Any vector but zero, float32 [n].
            n_basis: Vectors of the basis, at most n are used.
        """
        self._multiply = multiply
        n = len(start)
        self.n_basis = min(n, max(n_basis, 4))
        self._chunk = device_named(str(start.device)).vector_chunk
        self._basis = torch.empty(self.n_basis, n, dtype=torch.float32, device=start.device)
        self._matrix = np.zeros((self.n_basis, self.n_basis))
        self._n_vectors = 0
        self._next: torch.Tensor | None = start.double() / start.double().norm()
        self._length = 0.0  # of the last residual
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
        """Take the basis out of a vector, in place; return what was in it, float64 [n_vectors]."""
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
        """Return values, rising, [k], residuals [k], and coefficients in the basis [k, k]."""
        k = self._n_vectors
        values, coefficients = np.linalg.eigh(self._matrix[:k, :k])
        return values, self._length * np.abs(coefficients[-1]), coefficients

    def vectors(self, coefficients: np.ndarray) -> torch.Tensor:
        """Return combinations of the basis, float32 [m, n].

        Args:
            coefficients: Float64 [n_vectors, m].
        """
        weights = torch.from_numpy(np.ascontiguousarray(coefficients.T))
        weights = weights.to(self._basis.device)
        made = torch.empty(len(weights), self._basis.shape[1], device=self._basis.device)
        for start in range(0, made.shape[1], self._chunk):
            piece = self._basis[: self._n_vectors, start : start + self._chunk].double()
            made[:, start : start + self._chunk] = weights @ piece
        return made

    def _restart(self) -> None:
        """Keep the Ritz vectors next to both ends: more at the lower one, which is crowded."""
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
) -> Ends:
    """Find the smallest and the largest eigenvalue.

    Args:
        multiply: Multiplies a float32 vector [n] with the matrix, in float64.
        start: Any vector with a part along both eigenvectors, float32 [n].
        tolerance: Where an end stops: residual over its own magnitude, or over FLOOR of the
            largest for one that is smaller still.
        max_products: Where the search stops without that.
        n_basis: Vectors kept.
        min_products: As many are made in any case.

    Returns:
        Both ends; not a number where a product is not finite.
    """
    lanczos = Lanczos(multiply, start, n_basis=n_basis)
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
