"""Scale directions tensor by tensor."""

from __future__ import annotations

from landscape_mpi.compute.normalizations.normalization import Normalization

LAYER = Normalization(
    scale=lambda draw, weights, filters: filters.whole.with_lengths(
        draw, filters.whole.lengths(weights)
    ),
    words="every tensor gets the norm of the corresponding tensor of the network",
)
UNIT_LAYER = Normalization(
    scale=lambda draw, weights, filters: filters.whole.with_lengths(draw, 1.0),
    words="every tensor gets the norm 1",
)
