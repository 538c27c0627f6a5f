"""The points of a surface that are seen from a direction, by marching along rays over its heights.

A ray goes from a point towards the camera. The point is hidden where the surface rises above its
ray. Rays are parallel: the camera is far away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 101  # points along an axis: more would take time and change no choice
LEVEL_WITH = 1e-3  # of the longest side: a smaller rise above a ray does not hide its point


@dataclass(frozen=True)
class Terrain:
    """Heights over an evenly spaced grid; lengths and heights are in one unit."""

    sides: np.ndarray  # float64 [2], lengths along alpha and along beta
    heights: np.ndarray  # float64 [n_alpha, n_beta], above the lowest point

    @property
    def spacing(self) -> np.ndarray:
        """Return the distances between neighbours along both axes, float64 [2]."""
        return np.asarray(self.sides / (np.array(self.heights.shape) - 1))

    def place_of(self, index: np.ndarray) -> np.ndarray:
        """Return where grid points [n, 2] lie in the box, float64 [n, 2]."""
        return index * self.spacing


def make_terrain(
    alpha: np.ndarray, beta: np.ndarray, heights: np.ndarray, sides: np.ndarray
) -> Terrain:
    """Lay heights on an even grid of at most MOST points along an axis.

    Args:
        alpha: Coordinates, rising or falling.
        beta: Coordinates, rising or falling.
        heights: Heights, float64 [n_alpha, n_beta], in the unit of the sides; NaN hides nothing.
        sides: Lengths of the plane, float64 [2].
    """
    low = np.nanmin(heights) if np.isfinite(heights).any() else 0.0
    filled = np.where(np.isfinite(heights), heights, low) - low
    return Terrain(np.asarray(sides, float), _sample(filled, [_places(a) for a in (alpha, beta)]))


def clearances(terrain: Terrain, places: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Return the height over each place from which on something is seen, float64 [n].

    Args:
        terrain: The surface.
        places: Places in the box, float64 [n, 2].
        towards: Unit vector towards the camera, float64 [3], with a third component above zero.
    """
    flat = float(np.hypot(*towards[:2]))
    if flat < 1e-6:  # from straight above
        return np.full(len(places), -np.inf)
    step, rise = float(terrain.spacing.min()), float(towards[2]) / flat
    top = float(terrain.heights.max())
    lengths = step * np.arange(1, 2 + int(min(top / rise, np.hypot(*terrain.sides)) / step))
    track = places[:, :, None] + (towards[:2] / flat)[None, :, None] * lengths
    over = _heights_at(terrain.heights, (track / terrain.spacing[:, None]).transpose(1, 0, 2))
    return np.asarray((over - rise * lengths).max(axis=1))


def are_seen(terrain: Terrain, index: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Say which grid points are seen, bool [n].

    Args:
        terrain: The surface.
        index: Indices of grid points, int64 [n, 2].
        towards: Unit vector towards the camera, float64 [3].
    """
    needed = clearances(terrain, terrain.place_of(index), towards)
    slack = LEVEL_WITH * float(terrain.sides.max())
    return np.asarray(terrain.heights[index[:, 0], index[:, 1]] + slack >= needed)


def _heights_at(heights: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return bilinear heights at fractional indices [2, ...], -infinity outside the grid.

    scipy.ndimage has this too, but its import takes longer than this function in all pictures.
    """
    last = np.array(heights.shape) - 1
    inside = ((index >= 0) & (index <= last.reshape(2, *[1] * (index.ndim - 1)))).all(axis=0)
    i, j = (np.clip(k.astype(int), 0, max(n - 1, 0)) for k, n in zip(index, last, strict=True))
    u, v = index[0] - i, index[1] - j
    across = [(1 - v) * heights[row, j] + v * heights[row, j + 1] for row in (i, i + 1)]
    return np.where(inside, (1 - u) * across[0] + u * across[1], -np.inf)


def _places(axis: np.ndarray) -> np.ndarray:
    """Return fractional indices of evenly spaced, rising coordinates along an axis, float64 [n]."""
    even = np.linspace(axis.min(), axis.max(), min(len(axis), MOST))
    order = np.argsort(axis)
    return np.asarray(np.interp(even, axis[order], order.astype(float)))


def _sample(values: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """Return values at fractional indices along both axes, linear between points."""
    for axis, place in enumerate(places):
        below = np.clip(place.astype(int), 0, values.shape[axis] - 2)
        share = (place - below).reshape((-1, 1) if axis == 0 else (1, -1))
        first, second = (np.take(values, below + k, axis=axis) for k in (0, 1))
        values = (1.0 - share) * first + share * second
    return values
