"""The sums of the samples taken at a point, and the mean and standard error that follow.

A quantity is a ratio, total sum / total count; where every sample counts once, a plain mean. Its
error follows from the residuals sum - pivot * count of the samples, where the pivot is the
ratio of the first portion. It stays fixed, so portions are added up without looking back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.compute.unit_values import UnitValues
from landscape_mpi.store.sampling_fields import STATE

Z = 1.96  # the interval of 95 % of a normal distribution, in standard errors
ALIKE = 1e-6  # of a mean: smaller residuals are rounding and say nothing about other samples


@dataclass(frozen=True)
class Tally:
    """The sums of the samples taken at a point, for each quantity of a split."""

    n: int  # samples taken, or batches of a problem
    totals: np.ndarray  # of the sums, float64 [n_quantities]
    counts: np.ndarray  # of the counts, float64 [n_quantities]
    pivots: np.ndarray  # ratios of the first portion, float64 [n_quantities]
    squares: np.ndarray  # sums of the squared residuals, float64 [n_quantities]
    cubes: np.ndarray  # sums of the cubed residuals, float64 [n_quantities]
    largest: np.ndarray  # largest absolute residuals, float64 [n_quantities]

    @classmethod
    def begin(cls, portion: UnitValues) -> Tally:
        """Return the sums of the first portion."""
        nothing = np.zeros(len(portion.totals))
        with np.errstate(invalid="ignore", divide="ignore"):
            pivots = np.where(portion.total_counts > 0, portion.totals / portion.total_counts, 0.0)
        return cls(0, nothing, nothing, pivots, nothing, nothing, nothing).add(portion)

    def add(self, portion: UnitValues) -> Tally:
        """Return the sums after a further portion."""
        with np.errstate(invalid="ignore", over="ignore"):
            residuals = portion.sums - self.pivots[:, None] * portion.counts
            return replace(
                self,
                n=self.n + residuals.shape[1],
                totals=self.totals + portion.totals,
                counts=self.counts + portion.total_counts,
                squares=self.squares + (residuals**2).sum(axis=1),
                cubes=self.cubes + (residuals**3).sum(axis=1),
                largest=np.maximum(self.largest, np.abs(residuals).max(axis=1)),
            )

    @property
    def means(self) -> np.ndarray:
        """Return the quantities, float64 [n_quantities]; NaN where nothing has counted."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.totals / self.counts

    def standard_errors(
        self, n_all: int, guesses: np.ndarray, *, guessed: float = math.inf
    ) -> np.ndarray:
        """Return the standard errors, float64 [n_quantities]; see the function of this name.

        They are infinite where nothing has counted so far, and where all samples are 0 and no guess
        is known. They are NaN beside a mean that is not finite.

        Args:
            n_all: Samples of the split.
            guesses: Values of a sample about which the network knows nothing, as far as they are
                known, or 0, float64 [n_quantities].
            guessed: How many targets of one sample or batch may be as bad as a guess: all of a
                sample (infinity), 1 of a batch.
        """
        if self.n >= n_all:
            return np.where(np.isfinite(self.means), 0.0, np.nan)
        guessed_counts = np.minimum(self.counts, guessed * self.n)
        worst = np.maximum(self.largest, guesses * guessed_counts / self.n)
        size = np.abs(self.totals) / self.n
        worst = np.where(worst <= ALIKE * size, size, worst)
        errors = standard_errors(self.n, n_all, self.squares, self.cubes, worst)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = np.where(worst > 0, errors * self.n / self.counts, np.inf)
        return np.where(self.counts > 0, np.where(np.isfinite(self.means), scaled, np.nan), np.inf)

    def row(self, n_all: int, guesses: np.ndarray, *, guessed: float = math.inf) -> np.ndarray:
        """Return what the file holds of the sums beside the means, float64 [n_values].

        First the number of samples, then for each quantity its standard error and its state.

        Args:
            n_all: Samples of the split.
            guesses: See standard_errors.
            guessed: See standard_errors.
        """
        errors = self.standard_errors(n_all, guesses, guessed=guessed)
        columns = [errors, *(getattr(self, name) for name in STATE)]
        return np.array([self.n, *np.array(columns).T.ravel()])

    @classmethod
    def of_row(cls, row: np.ndarray) -> Tally:
        """Return the sums that row() gave."""
        columns = row[1:].reshape(-1, 1 + len(STATE)).T[1:]
        return cls(int(row[0]), **dict(zip(STATE, columns, strict=True)))


def standard_errors(
    n: int, n_all: int, squares: np.ndarray, cubes: np.ndarray, worst: np.ndarray
) -> np.ndarray:
    """Return the standard errors of means of n samples, so that 1.96 of them cover 95 %.

    The interval is that of the studentised mean to the first order of its skewness, on the longer
    side, for samples drawn without replacement. One more sample stands for those not seen so far:
    where most losses are tiny and a few are large, the first samples look alike and tell nothing of
    the others.

    Args:
        n: Samples taken, at least 2.
        n_all: Samples to take them from.
        squares: Sums of the squared residuals, float64 [...].
        cubes: Sums of the cubed residuals, float64 [...].
        worst: Residual of the additional sample, float64 [...].

    Source: Johnson 1978, JASA 73, and Hall 1992, JRSS B 54, for the skewness; Sugden, Smith and
    Jones 2000, JRSS B 62, for finite populations; the additional sample as in Agresti and Coull
    1998, The American Statistician 52. Measured in docs/sampling.md.
    """
    share = n / n_all
    with np.errstate(invalid="ignore", over="ignore"):
        squares, cubes = squares + worst**2, np.abs(cubes) + worst**3
        spread = np.sqrt((1 - share) * squares / (n * (n - 1)))
        lean = np.divide(cubes, squares, out=np.zeros_like(squares), where=squares != 0)
        skewed = lean * (3 * (1 - share) + (2 - share) * (Z**2 - 1)) / (6 * n)
        return np.asarray(spread + skewed / Z)
