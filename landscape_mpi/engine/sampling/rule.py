"""The rule by which a point takes more samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.store.sampling import describe_rule


@dataclass(frozen=True)
class SamplingRule:
    """The largest standard error of a loss: atol + rtol * loss."""

    rtol: float
    atol: float  # in the unit of the loss

    @property
    def text(self) -> str:
        """Return the rule as messages write it, e.g. ``0.002 + 0.02 x loss``."""
        return describe_rule(self.rtol, self.atol)

    @property
    def takes_all(self) -> bool:
        """Say whether the rule allows no error, so that every sample is taken."""
        return self.rtol == 0 and self.atol == 0

    def is_within(self, other: SamplingRule) -> bool:
        """Say whether this rule allows no more than another one, at any loss."""
        return self.rtol <= other.rtol and self.atol <= other.atol

    def is_met(
        self, means: np.ndarray, errors: np.ndarray, n_taken: np.ndarray, n_all: int
    ) -> np.ndarray:
        """Say at which points the samples taken suffice.

        A loss that is NaN or infinite stays so, whatever is added. Where no target has counted so
        far, the loss is NaN and its error infinite, so more are taken.

        Args:
            means: Losses, float64 [...].
            errors: Their standard errors; NaN beside a loss that is not finite.
            n_taken: Samples taken, 0 where the point is not computed.
            n_all: Samples of the split.
        """
        with np.errstate(invalid="ignore"):
            within = errors <= self.atol + self.rtol * np.abs(means)
        fixed = ~np.isfinite(means) & ~np.isposinf(errors)
        enough = (within | fixed) & (n_taken > 0) & (not self.takes_all)
        return np.asarray(enough | (n_taken >= n_all))
