"""The grid of a plane or a line: its axes, and the order in which its points are computed."""

from __future__ import annotations

import math

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.options import MOST_POINTS

MOST_OF_ALL = 10_000_000  # points of a file: sorting more takes gigabytes on rank 0


def parse_axis(text: str, *, option: str) -> np.ndarray:
    """Parse the coordinates of an axis: MIN:MAX:N, or one point VALUE.

    Args:
        text: E.g. ``-1:1:51``; both ends are included.
        option: Option that named it, for the message.

    Returns:
        Coordinates, float64 [n], rising; a value that is 0 but for rounding is 0.

    Raises:
        InputError: If the text is not an axis, or N does not fit MIN and MAX.
    """
    parts = text.split(":")
    form = f"Pass {option}=MIN:MAX:N, e.g. {option}=-1:1:51, or {option}=VALUE for one point."
    try:
        if len(parts) == 1:
            first, last, n = float(text), float(text), 1
        else:
            first, last, n = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, IndexError) as problem:
        raise InputError(f"{option}: {text!r} is not an axis. {form}") from problem
    if len(parts) > 3 or not (math.isfinite(first) and math.isfinite(last)):
        raise InputError(f"{option}: {text!r} is not an axis. {form}")
    _check_axis(first, last, n, text=text, option=option)
    with np.errstate(over="ignore", invalid="ignore"):
        coordinates = np.linspace(first, last, n)
    if not np.isfinite(coordinates).all() or (np.diff(coordinates) <= 0).any():
        raise InputError(
            f"{option}: {text!r} requests points that float64 cannot distinguish or represent. "
            f"{form}"
        )
    step = coordinates[1] - coordinates[0] if n > 1 else 1.0
    coordinates[np.abs(coordinates) < 1e-9 * step] = 0.0
    return coordinates


def _check_axis(first: float, last: float, n: int, *, text: str, option: str) -> None:
    if n < 1:
        raise InputError(f"{option}: {text!r} requests {n} points. An axis needs at least 1.")
    if n > MOST_POINTS:
        raise InputError(
            f"{option}: {text!r} requests {n:,} points. An axis takes at most {MOST_POINTS:,}."
        )
    if n == 1 and first != last:
        raise InputError(
            f"{option}: {text!r} requests 1 point between {first:g} and {last:g}, which does not "
            f"determine it. Pass {option}={first:g} for one point, or at least 2 points."
        )
    if n > 1 and not first < last:
        raise InputError(
            f"{option}: {text!r} runs from {first:g} to {last:g} in {n} points, but an axis must "
            "rise: MIN must be below MAX."
        )


def check_number_of_points(n_alpha: int, n_beta: int, *, option: str) -> None:
    """Check that a file has room for its points.

    Args:
        n_alpha: Points along alpha.
        n_beta: Points along beta, lines or paths.
        option: Option that requested them, for the message.

    Raises:
        InputError: If there are too many.
    """
    n_points = n_alpha * n_beta
    if n_points > MOST_OF_ALL:
        raise InputError(
            f"{option}: {n_alpha:,} x {n_beta:,} are {n_points:,} points, but a file takes at "
            f"most {MOST_OF_ALL:,}. Request fewer."
        )


def fit_axis(extent: tuple[float, float], n: int, *, margin: float, option: str) -> np.ndarray:
    """Return coordinates that cover a path and include 0.

    Args:
        extent: Smallest and largest coordinate of the path; 0 is one of them or between them.
        n: Number of coordinates, at least 3.
        margin: Least margin on either side, as a share of the extent.
        option: Option that requested it, for the message.

    Returns:
        Coordinates, float64 [n], rising.

    Raises:
        InputError: If the path is a point, or n is too small or too large.
    """
    if not 3 <= n <= MOST_POINTS:
        raise InputError(
            f"{option}: requests {n} points over a trajectory. Pass from 3 to {MOST_POINTS:,}."
        )
    span = extent[1] - extent[0]
    if not span > 0:
        raise InputError(
            f"{option}: the trajectory is only the center, so no range covers it. Pass "
            f"{option}=MIN:MAX:N."
        )
    low, high = extent[0] - margin * span, extent[1] + margin * span
    step = (high - low) / (n - 2)  # one more step than needed, to shift 0 onto the grid
    return (np.arange(n) - math.ceil(-low / step)) * step


def coarse_to_fine(n_alpha: int, n_beta: int) -> np.ndarray:
    """Return all points of a grid in an order that covers the plane early.

    The corners come first, then the points of ever finer sub-grids, each sub-grid row by
    row: once a level is complete, it is a picture of the whole plane.

    Args:
        n_alpha: Points along alpha.
        n_beta: Points along beta.

    Returns:
        Flat indices into [n_alpha, n_beta], int64 [n_alpha * n_beta], each once.
    """
    level = np.maximum.outer(axis_levels(n_alpha), axis_levels(n_beta)).ravel()
    return np.argsort(level, kind="stable")


def axis_levels(n: int) -> np.ndarray:
    """Return the level at which each index of an axis appears, 0 for the ends.

    Args:
        n: Points of the axis.
    """
    finest = max(0, math.ceil(math.log2(max(1, n - 1))))
    index = np.arange(n)
    levels = np.full(n, finest)
    for level in range(finest, -1, -1):
        levels[index % 2 ** (finest - level) == 0] = level
    levels[[0, -1]] = 0
    return levels
