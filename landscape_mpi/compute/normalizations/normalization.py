"""How a random direction is scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape_mpi.registry import NORMALIZATIONS

if TYPE_CHECKING:  # --help reads the words below, and waits for neither
    import numpy as np

    from landscape_mpi.compute.filters import Filters


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """A way to scale random directions, which --normalize names.

    It scales each tensor by itself: ``scale(draw, weights, filters)`` returns the draw as it is
    to be, float64. Draw and weights are float64 of one shape; filters says which entries make
    one output channel, and that a vector has no filters.
    """

    scale: Callable[[np.ndarray, np.ndarray, Filters], np.ndarray]
    words: str  # what it gives, behind its name in --help and in the documentation
    is_by_filter: bool = False  # whether it depends on filters, which --dry-run then lists


def find_normalization(name: str) -> Normalization:
    """Return the way of scaling that --normalize names.

    Args:
        name: One of registry.NORMALIZATIONS.
    """
    found: Normalization = NORMALIZATIONS[name]
    return found


def normalizations_in_words() -> str:
    """Return what every way of scaling does, for --help."""
    return "; ".join(f"{name}: {find_normalization(name).words}" for name in NORMALIZATIONS)
