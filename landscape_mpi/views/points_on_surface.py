"""Points of the plane of a surface, and the height of the surface over them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.trajectory import Trajectory

N_BETWEEN = 12  # pieces of the step between two checkpoints


def onto_surface(surface: Surface, heights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives the height of a surface over points of its plane.

    Args:
        surface: The plane.
        heights: Heights of the surface, float64 [n_alpha, n_beta]; NaN where there is none.

    Returns:
        A function from points, float64 [n, 2], to bilinear heights, float64 [n]; NaN outside the
        plane and beside a point without height.
    """
    from scipy.interpolate import RegularGridInterpolator  # slow to import, and few have paths

    order = [np.argsort(axis) for axis in (surface.alpha, surface.beta)]
    axes = [axis[o] for axis, o in zip((surface.alpha, surface.beta), order, strict=True)]
    found = RegularGridInterpolator(
        (axes[0], axes[1]), heights[np.ix_(*order)], bounds_error=False, fill_value=np.nan
    )
    return lambda points: np.asarray(found(points), dtype=np.float64)


def points_of(run: Trajectory | PlaneCurve) -> np.ndarray:
    """Return the checkpoints of a training run, or the places of a curve, float64 [n, 2]."""
    return np.stack([run["alpha"], run["beta"]], axis=1)


def fine(points: np.ndarray, n: int = N_BETWEEN) -> np.ndarray:
    """Return points [n, k] and others between them, so that a lifted line follows the surface."""
    at = np.arange(len(points))
    fine = np.linspace(0, len(points) - 1, n * (len(points) - 1) + 1)
    return np.stack(
        [np.interp(fine, at, points[:, axis]) for axis in range(points.shape[1])], axis=1
    )
