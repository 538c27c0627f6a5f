"""The rule by which a point takes more samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.store.sampling import describe_rule, is_met


@dataclass(frozen=True)
class SamplingRule:
    """The largest standard error of a loss: atol + rtol * loss."""

    rtol: float
    atol: float  # in the unit of the loss

    @property
    def text(self) -> str:
        """Return the rule as messages write it, e.g. ``0.002 + 0.02 x loss``."""
        return describe_rule(self.rtol, self.atol)

    def is_within(self, other: SamplingRule) -> bool:
        """Say whether this rule allows no more than another one, at any loss."""
        return self.rtol <= other.rtol and self.atol <= other.atol

    def is_met(
        self, means: np.ndarray, errors: np.ndarray, n_taken: np.ndarray, n_all: int
    ) -> np.ndarray:
        """Say at which points the samples taken suffice; see the function of this name."""
        return is_met(means, errors, n_taken, n_all, rtol=self.rtol, atol=self.atol)
