"""How far an interpolated loss may be off, in the unit in which it is meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OFFSET = 0.1  # added to a loss before its logarithm, as pictures do
FLOOR = 0.01  # of the tolerance; no estimate is smaller, or a wrong one could never be scaled up


@dataclass(frozen=True)
class Tolerance:
    """How far an interpolated loss may be off."""

    value: float
    unit: str = "decades"

    @property
    def floor(self) -> float:
        """Return the smallest error that an estimate states, in the unit."""
        return FLOOR * self.value

    @property
    def text(self) -> str:
        """Return it as the file and messages have it, e.g. 0.03 decades."""
        return f"{self.value:g} {self.unit}"

    def scaled(self, losses: np.ndarray) -> np.ndarray:
        """Return losses in the unit: log10(loss + 0.1), or as they are.

        Where a loss has no logarithm, the result is NaN, and such a point is never interpolated.
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
        """Return errors in the unit of the loss: the larger of both sides, which is above.

        Args:
            scaled: Values in the unit of the tolerance.
            errors: Their errors in it.
        """
        if self.unit == "nat":
            return errors
        with np.errstate(over="ignore"):
            return np.asarray(10.0**scaled * np.expm1(np.log(10.0) * errors))
