"""Leave directions as they were drawn."""

from __future__ import annotations

from landscape_mpi.compute.normalizations.normalization import Normalization

NONE = Normalization(
    scale=lambda draw, weights, filters: draw,
    words="the random numbers stay as they are drawn",
)
