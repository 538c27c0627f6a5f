"""The largest error of an interpolated loss, with its unit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.store.loss_offset import IN_NAT, offset_below

FLOOR = 0.01  # of the tolerance: the smallest estimate; 0 could never be scaled up


@dataclass(frozen=True)
class Tolerance:
    """The largest error of an interpolated loss."""

    value: float
    unit: str = "decades"
    noise: float = 0.0  # largest standard error of computed values, in the unit
    # The number added to a loss before its logarithm. None if the unit of the loss is not nat: the
    # number then follows from the losses of the first level.
    offset: float | None = IN_NAT

    def for_losses(self, first: np.ndarray) -> Tolerance:
        """Return a tolerance with a known offset.

        Args:
            first: Losses of the first level, in any shape; only finite ones count.
        """
        return self if self.offset is not None else replace(self, offset=offset_below(first))

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

    @property
    def words(self) -> str:
        """Return the tolerance and, if its offset is known, the sum whose logarithm it is of."""
        if self.unit == "nat" or self.offset is None:
            return self.text
        return f"{self.text} of loss + {self.offset:g}"

    def scaled(self, losses: np.ndarray) -> np.ndarray:
        """Return losses in the unit of the tolerance: log10(loss + offset), or unchanged.

        If a loss has no logarithm, the result is NaN, and such a point is never interpolated.
        """
        if self.unit == "nat":
            return losses
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log10(losses + self._known_offset)

    def losses(self, scaled: np.ndarray) -> np.ndarray:
        """Return the losses of scaled values."""
        if self.unit == "nat":
            return scaled
        with np.errstate(over="ignore"):
            return np.asarray(10.0**scaled - self._known_offset)

    @property
    def _known_offset(self) -> float:
        assert self.offset is not None, "for_losses makes a tolerance whose offset is known"
        return self.offset

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
