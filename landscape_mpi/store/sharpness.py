"""The sharpness of a minimum in numbers, from the values of a surface alone.

All of them are in the units of the plane: alpha = 1 is the length of the direction, which
filter normalisation makes that of the weights. Numbers of surfaces along other kinds of
directions are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 2  # points on either side of the center for the fit of the quadratic
ROUNDING = 1e-9  # of the values' spread: a smaller curvature counts as zero


@dataclass(frozen=True)
class Width:
    """The extent of a level set from the center along an axis, to both sides."""

    below: float  # distance, >= 0; infinite if the grid ends before the level
    above: float

    @property
    def total(self) -> float:
        """Return the whole width; infinite if an end is not in the grid."""
        return self.below + self.above


@dataclass(frozen=True)
class Quadratic:
    """Second derivatives of the loss in the plane, from a quadratic fitted at the center."""

    hessian: np.ndarray  # loss per squared unit of the axes, float64 [2, 2], or [1, 1] for a line
    residual: float  # residual of the fit, root mean square, in the unit of the loss

    @property
    def eigenvalues(self) -> np.ndarray:
        """Return the curvatures along the principal axes, rising, float64 [2] or [1]."""
        return np.linalg.eigvalsh(self.hessian)


def width(axis: np.ndarray, loss: np.ndarray, center: int, level: float) -> Width:
    """Return how far the loss stays at or below a level on both sides of the center.

    Args:
        axis: Coordinates, rising or falling, float64 [n].
        loss: Loss along the axis through the center, float64 [n]; a value that is not finite is
            above the level.
        center: Index of the center, whose loss is at or below the level.
        level: Loss of the level.
    """
    heights = np.where(np.isfinite(loss), loss, np.inf)
    sides = [
        _reach(axis[center:], heights[center:], level),
        _reach(axis[center::-1], heights[center::-1], level),
    ]
    below, above = sides if axis[-1] < axis[0] else reversed(sides)
    return Width(below, above)


def _reach(axis: np.ndarray, heights: np.ndarray, level: float) -> float:
    """Return the distance at which heights first cross the level, linear between points."""
    higher = np.flatnonzero(heights > level)
    if higher.size == 0:
        return np.inf
    last = higher[0]
    step = abs(axis[last] - axis[last - 1])
    rise = heights[last] - heights[last - 1]
    part = (level - heights[last - 1]) / rise if np.isfinite(rise) else 0.0
    return float(abs(axis[last - 1] - axis[0]) + part * step)


def epsilon_sharpness(
    alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray, center: float, radius: float
) -> float | None:
    """Return the largest rise of the loss in a box around the center, percent.

    Args:
        alpha: Coordinates, float64 [n_alpha].
        beta: Coordinates, float64 [n_beta].
        loss: Float64 [n_alpha, n_beta]; infinite where it overflows.
        center: Loss at the center.
        radius: Half the side of the box.

    Returns:
        100 (max L - L(0)) / (1 + L(0)), over the points of the grid in the box; None if box_rise is
        None, or if the loss at the center is below 0, where it is not defined.

    Source: Keskar et al. 2017, arXiv:1609.04836, Metric 2.1, here in the plane.
    """
    rise = box_rise(alpha, beta, loss, center, radius)
    return None if rise is None or center < 0 else 100 * rise / (1 + center)


def box_rise(
    alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray, center: float, radius: float
) -> float | None:
    """Return the largest rise of the loss in a box around the center, in its own unit.

    Args:
        alpha: Coordinates, float64 [n_alpha].
        beta: Coordinates, float64 [n_beta].
        loss: Float64 [n_alpha, n_beta]; infinite where it overflows.
        center: Loss at the center.
        radius: Half the side of the box.

    Returns:
        max L - L(0) over the points of the grid in the box; None if the box is larger than the grid
        or holds only the center.
    """
    axes = [axis for axis in (alpha, beta) if len(axis) > 1]
    slack = 1e-9 * radius
    if any(axis.min() > -radius + slack or axis.max() < radius - slack for axis in axes):
        return None
    inside = [np.abs(axis) <= radius + slack for axis in (alpha, beta)]
    box = loss[np.ix_(*inside)]
    if box.size < 2 or np.isnan(box).all():
        return None
    return float(np.nanmax(box) - center)


def fit_quadratic(
    alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray, center: tuple[int, int]
) -> Quadratic | None:
    """Fit a quadratic to the points around the center by least squares.

    Args:
        alpha: Coordinates, float64 [n_alpha].
        beta: Coordinates, float64 [n_beta].
        loss: Float64 [n_alpha, n_beta].
        center: Indices of the center.

    Returns:
        The quadratic; None if too few of those points are finite.
    """
    rows, columns = (_around(place, n) for place, n in zip(center, loss.shape, strict=True))
    a, b = (mesh.ravel() for mesh in np.meshgrid(alpha[rows], beta[columns], indexing="ij"))
    heights = loss[rows, columns].ravel()
    is_line = 1 in loss.shape
    along = a if loss.shape[1] == 1 else b
    columns_of = (
        [np.ones_like(a), along, along**2 / 2]
        if is_line
        else [np.ones_like(a), a, b, a**2 / 2, a * b, b**2 / 2]
    )
    design = np.stack(columns_of, axis=1)
    finite = np.isfinite(heights)
    if finite.sum() < design.shape[1]:
        return None
    found, _, rank, _ = np.linalg.lstsq(design[finite], heights[finite], rcond=None)
    if rank < design.shape[1]:
        return None
    with np.errstate(over="ignore"):  # of losses beyond 1e150
        residual = float(np.sqrt(np.mean((design[finite] @ found - heights[finite]) ** 2)))
    if is_line:
        return Quadratic(found[2:].reshape(1, 1), residual)
    aa, ab, bb = found[3:]
    return Quadratic(np.array([[aa, ab], [ab, bb]]), residual)


def _around(place: int, n: int) -> slice:
    return slice(max(0, place - NEIGHBOURS), min(n, place + NEIGHBOURS + 1))


def convex_height(alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray) -> float | None:
    """Return the lowest loss at which the surface bends down; below it, the surface is convex.

    Args:
        alpha: Coordinates, evenly spaced, float64 [n_alpha].
        beta: Coordinates, evenly spaced, float64 [n_beta].
        loss: Float64 [n_alpha, n_beta].

    Returns:
        A loss in its unit; None if the surface bends down at no inner point.

    Source: Li et al. 2018, arXiv:1712.09913, section 6: networks train well if their first loss is
    below it.
    """
    smallest, inner = _curvatures(alpha, beta, loss)
    bends = inner[smallest < -ROUNDING * np.ptp(loss[np.isfinite(loss)])] if inner.size else inner
    return float(bends.min()) if bends.size else None


def non_convex_share(alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray) -> float | None:
    """Return the share of the grid's inner points at which the surface is not convex.

    Args:
        alpha: Coordinates, evenly spaced, float64 [n_alpha].
        beta: Coordinates, evenly spaced, float64 [n_beta].
        loss: Float64 [n_alpha, n_beta].

    Returns:
        Share of the points whose Hessian in the plane, by central differences, has a negative
        eigenvalue; None if no inner point has finite neighbours.
    """
    smallest, _ = _curvatures(alpha, beta, loss)
    if smallest.size == 0:
        return None
    finite = loss[np.isfinite(loss)]
    return float(np.mean(smallest < -ROUNDING * np.ptp(finite)))


def _curvatures(
    alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest curvature and the loss of all inner points with a curvature, each [n]."""
    # Differences of infinities, and squares that overflow, are left out below.
    with np.errstate(invalid="ignore", over="ignore"):
        if 1 in loss.shape:
            smallest, inner = np.diff(loss.ravel(), 2), loss.ravel()[1:-1]
        else:
            smallest, inner = _smallest_of_hessians(alpha, beta, loss), loss[1:-1, 1:-1]
    known = np.isfinite(smallest)
    return smallest[known], inner[known]


def _smallest_of_hessians(alpha: np.ndarray, beta: np.ndarray, loss: np.ndarray) -> np.ndarray:
    step_a, step_b = (float(np.ptp(axis)) / (len(axis) - 1) for axis in (alpha, beta))
    aa = (loss[2:, 1:-1] - 2 * loss[1:-1, 1:-1] + loss[:-2, 1:-1]) / step_a**2
    bb = (loss[1:-1, 2:] - 2 * loss[1:-1, 1:-1] + loss[1:-1, :-2]) / step_b**2
    ab = (loss[2:, 2:] - loss[2:, :-2] - loss[:-2, 2:] + loss[:-2, :-2]) / (4 * step_a * step_b)
    return np.asarray((aa + bb) / 2 - np.sqrt(((aa - bb) / 2) ** 2 + ab**2))


def barrier(axis: np.ndarray, loss: np.ndarray) -> float | None:
    """Return the largest rise of a line above the straight line between its ends at 0 and 1.

    Args:
        axis: Coordinates, float64 [n].
        loss: Float64 [n].

    Returns:
        The rise, at least 0, in the unit of the loss; None if 0 or 1 is not a point of the grid, or
        the loss there is not finite.

    Source: Frankle et al. 2020, arXiv:1912.05671, "error barrier height", here of the loss.
    """
    spacing = np.abs(np.diff(axis)).min() if len(axis) > 1 else 1.0
    ends = [np.flatnonzero(np.abs(axis - end) <= 1e-9 * spacing) for end in (0.0, 1.0)]
    if any(place.size == 0 for place in ends):
        return None
    first, last = (float(loss[place[0]]) for place in ends)
    if not np.isfinite([first, last]).all():
        return None
    between = (axis >= -1e-9 * spacing) & (axis <= 1 + 1e-9 * spacing) & ~np.isnan(loss)
    straight = (1 - axis[between]) * first + axis[between] * last
    return float(max(0.0, (loss[between] - straight).max()))
