"""Define how a random direction is scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape_mpi.registry import NORMALIZATIONS

if TYPE_CHECKING:  # --help reads the words below and must not wait for these imports
    import numpy as np

    from landscape_mpi.compute.filters import Filters


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Describe a way to scale random directions, named by --normalize.

    Each tensor is scaled separately: ``scale(draw, weights, filters)`` returns the scaled draw,
    float64. Draw and weights are float64 of one shape. ``filters`` tells which entries make one
    output channel; a vector has no filters.
    """

    scale: Callable[[np.ndarray, np.ndarray, Filters], np.ndarray]
    words: str  # its effect, shown after its name in --help and in the documentation
    is_by_filter: bool = False  # whether it depends on filters; if so, --dry-run lists them


def find_normalization(name: str) -> Normalization:
    """Return the way of scaling that --normalize names.

    Args:
        name: One of registry.NORMALIZATIONS.
    """
    found: Normalization = NORMALIZATIONS[name]
    return found


def normalizations_in_words() -> str:
    """Return the effect of every way of scaling, for --help."""
    return "; ".join(f"{name}: {find_normalization(name).words}" for name in NORMALIZATIONS)
