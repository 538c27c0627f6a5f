"""Scale directions filter by filter.

A filter consists of all entries that make one output channel. A vector (bias, scale, shift) has no
filters. It is scaled as a whole, so that it stays random.

Source: Li et al. 2018, arXiv:1712.09913, section 4: d <- d / ||d|| ||theta||.
"""

from __future__ import annotations

from landscape_mpi.compute.normalizations.normalization import Normalization

FILTER = Normalization(
    scale=lambda draw, weights, filters: filters.with_lengths(draw, filters.lengths(weights)),
    words="every filter gets the norm of the corresponding filter of the network",
    is_by_filter=True,
)
UNIT_FILTER = Normalization(
    scale=lambda draw, weights, filters: filters.with_lengths(draw, 1.0),
    words="every filter gets the norm 1",
    is_by_filter=True,
)
