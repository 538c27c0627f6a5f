"""The largest error of an interpolated loss, with its unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OFFSET = 0.1  # added to a loss before its logarithm, as pictures do
FLOOR = 0.01  # of the tolerance: the smallest estimate; 0 could never be scaled up


@dataclass(frozen=True)
class Tolerance:
    """The largest error of an interpolated loss."""

    value: float
    unit: str = "decades"
    noise: float = 0.0  # largest standard error of computed values, in the unit

    @property
    def least_estimate(self) -> float:
        """Return the smallest estimate of a prediction, in the unit.

        Values that are estimates from different numbers of samples differ by their noise, so no
        prediction of one from the others is better than that.
        """
        return max(self.floor, self.noise)

    @property
    def floor(self) -> float:
        """Return the smallest error that an estimate states, in the unit."""
        return FLOOR * self.value

    @property
    def text(self) -> str:
        """Return the tolerance as files and messages write it, e.g. 0.03 decades."""
        return f"{self.value:g} {self.unit}"

    def scaled(self, losses: np.ndarray) -> np.ndarray:
        """Return losses in the unit of the tolerance: log10(loss + 0.1), or unchanged.

        If a loss has no logarithm, the result is NaN, and such a point is never interpolated.
        """
        if self.unit == "nat":
            return losses
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log10(losses + OFFSET)

    def losses(self, scaled: np.ndarray) -> np.ndarray:
        """Return the losses of scaled values."""
        if self.unit == "nat":
            return scaled
        with np.errstate(over="ignore"):
            return np.asarray(10.0**scaled - OFFSET)

    def loss_errors(self, scaled: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Return errors in the unit of the loss, on the upper side, which is the larger one.

        Args:
            scaled: Values in the unit of the tolerance.
            errors: Their errors in that unit.
        """
        if self.unit == "nat":
            return errors
        with np.errstate(over="ignore"):
            return np.asarray(10.0**scaled * np.expm1(np.log(10.0) * errors))
