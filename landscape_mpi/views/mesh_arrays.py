"""Arrays that ParaView uses beside the values of a mesh: normals, cell averages, texture."""

from __future__ import annotations

import numpy as np


def normals_of(points: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Return the unit normal at each point: the mean of its faces' normals, weighted by area.

    Args:
        points: Float64 [n_points, 3].
        polygons: Int64 [n_polygons, 3 or 4], counterclockwise seen from above.

    Returns:
        Float64 [n_points, 3], pointing up; straight up at a point without faces.
    """
    # Diagonals of a quad, sides of a triangle: their cross product is twice the area.
    first, last = points[polygons[:, 2]] - points[polygons[:, 0]], points[polygons[:, -1]]
    across = np.cross(first, last - points[polygons[:, 1]])
    total = np.empty_like(points)
    for axis in range(3):
        weights = np.repeat(across[:, axis], polygons.shape[1])
        total[:, axis] = np.bincount(polygons.ravel(), weights, minlength=len(points))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    flat = ~(length[:, 0] > 0)
    total[flat] = [0.0, 0.0, 1.0]
    length[flat] = 1.0
    return total / length


def averages_of(values: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Return the mean of the corners of each polygon, float64 [n_polygons]."""
    total = values[polygons[:, 0]].copy()
    for corner in range(1, polygons.shape[1]):
        total += values[polygons[:, corner]]
    return np.asarray(total / polygons.shape[1])


def texture_of(points: np.ndarray) -> np.ndarray:
    """Return alpha and beta from 0 to 1 over the mesh, float64 [n_points, 2]."""
    texture = np.empty((len(points), 2))
    for axis in range(2):
        place = points[:, axis]
        span = np.ptp(place)
        texture[:, axis] = (place - place.min()) / (span if span > 0 else 1.0)
    return texture


def logarithm_of(values: np.ndarray) -> np.ndarray | None:
    """Return log10 of values, NaN where there is none; return None if no value has one."""
    there = np.isfinite(values) & (values > 0)
    if not there.any():
        return None
    return np.asarray(np.log10(values, where=there, out=np.full(values.shape, np.nan)))
