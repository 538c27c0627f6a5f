"""Divide a plane or a line into cells, one around each point, and measure their areas."""

from __future__ import annotations

import numpy as np

from landscape_mpi.store.reader import Surface


def edges_of(axis: np.ndarray) -> np.ndarray:
    """Return the borders of cells, halfway between points, and as far outside, float64 [n + 1]."""
    if len(axis) == 1:
        return axis[0] + np.array([-0.5, 0.5])
    half = np.diff(axis) / 2
    return np.concatenate([[axis[0] - half[0]], axis[:-1] + half, [axis[-1] + half[-1]]])


def areas_of(surface: Surface) -> np.ndarray:
    """Return the area of the cell around each point, float64 [n_alpha, n_beta].

    All are equal on an evenly spaced grid. A heat map shows the cells.
    """
    widths, heights = (np.abs(np.diff(edges_of(axis))) for axis in (surface.alpha, surface.beta))
    # Relative to the largest: the product of two tiny widths could underflow.
    return np.outer(widths / widths.max(), heights / heights.max())


def share_of(is_chosen: np.ndarray, areas: np.ndarray) -> float:
    """Return the share of the area that chosen points take, from 0 to 1."""
    # If all areas are equal, counting the points is exact.
    if np.ptp(areas) <= 1e-9 * areas.max():
        return float(is_chosen.mean())
    return float(areas[is_chosen].sum() / areas.sum())
