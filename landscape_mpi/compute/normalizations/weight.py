"""Scale directions entry by entry."""

from __future__ import annotations

from landscape_mpi.compute.normalizations.normalization import Normalization

WEIGHT = Normalization(
    scale=lambda draw, weights, filters: draw * weights,
    words="every random number is multiplied by the weight that it moves",
)
