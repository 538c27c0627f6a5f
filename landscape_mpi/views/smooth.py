"""A finer look by splines between the points of a surface, only if the user asks for it.

The spline goes through every point. Between them it may overshoot: there it is cut off at the
smallest and the largest of the 4 x 4 points around, so that no picture shows a depth or a height
beyond the computed values.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.views.mesh_faces import connect
from landscape_mpi.views.panel import Panel

DEGREE = 3


def smooth_panel(panel: Panel, times: int) -> Panel:
    """Return a panel with ``times`` as many cells along each axis, by a cubic spline.

    The spline refines the heights: the logarithms on a log scale.

    Args:
        panel: A quantity of a plane.
        times: Cells for each one along an axis; 1 returns the panel as it is.

    Raises:
        InputError: If points are missing or not finite: no spline between them can be trusted.
    """
    if times == 1 or panel.scale is None or panel.scale.is_constant:
        return panel
    surface = panel.surface
    if not panel.finite.all():
        raise InputError(
            f"{surface.path}: --smooth {times}: {int(panel.finite.sum())} of {surface.n_points} "
            f"points of {panel.name} are computed and finite; a spline would invent the others. "
            "Leave out --smooth, or complete the surface."
        )
    alpha, beta = (refine_axis(axis, times) for axis in (surface.alpha, surface.beta))
    heights = refine_heights(panel.heights, surface.alpha, surface.beta, times)
    values = panel.scale.value(heights)
    values[::times, ::times] = panel.values
    everywhere = np.ones(heights.shape, dtype=bool)
    return replace(
        panel,
        surface=replace(surface, alpha=alpha, beta=beta),
        values=values,
        heights=heights,
        computed=everywhere,
        finite=everywhere,
        cells=connect(everywhere, everywhere),
        smoothed=times,
    )


def refine_axis(axis: np.ndarray, times: int) -> np.ndarray:
    """Return coordinates with times - 1 others in each gap, float64 [times * (n - 1) + 1]."""
    at = np.arange(times * (len(axis) - 1) + 1) / times
    return np.interp(at, np.arange(len(axis)), axis)


def refine_heights(
    heights: np.ndarray, alpha: np.ndarray, beta: np.ndarray, times: int
) -> np.ndarray:
    """Return heights on the refined axes, within the range of the 4 x 4 points around each.

    Args:
        heights: Heights of the points, float64 [n_alpha, n_beta], all finite.
        alpha: Coordinates, rising or falling.
        beta: Coordinates, rising or falling.
        times: Cells for each one along an axis.
    """
    from scipy.interpolate import RectBivariateSpline  # slow to import, and few ask for it

    # In units of the spacing's sign: the spline wants rising axes.
    signs = [np.sign(axis[-1] - axis[0]) for axis in (alpha, beta)]
    x, y = alpha * signs[0], beta * signs[1]
    degrees = [min(DEGREE, len(axis) - 1) for axis in (x, y)]
    spline = RectBivariateSpline(x, y, heights, kx=degrees[0], ky=degrees[1], s=0)
    fine = spline(refine_axis(x, times), refine_axis(y, times))
    low, high = (_around(heights, times, choose) for choose in (np.minimum, np.maximum))
    fine = np.clip(fine, low, high)
    fine[::times, ::times] = heights
    return np.asarray(fine, dtype=np.float64)


def _around(heights: np.ndarray, times: int, choose: np.ufunc) -> np.ndarray:
    """Return the smallest or largest of the points around each refined one, axis by axis."""
    for axis in (0, 1):
        n = heights.shape[axis]
        cell = np.minimum(np.arange(times * (n - 1) + 1) // times, n - 2)
        near = [np.clip(cell + k, 0, n - 1) for k in (-1, 0, 1, 2)]
        heights = choose.reduce([np.take(heights, index, axis=axis) for index in near])
    return heights
