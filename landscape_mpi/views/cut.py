"""A surface cut along a height: the line between the part below and the part above.

The cut goes through the faces, not along their edges, so that its border is smooth. A height is
linear along the edges of the triangles into which the cut faces are divided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cut:
    """Triangles of the old points and of new ones on their edges."""

    kept: np.ndarray  # int64 [n, 3], faces on the side that is kept
    beyond: np.ndarray  # int64 [m, 3], faces on the other side
    ends: np.ndarray  # int64 [n_new, 2], the two old points around each new point
    shares: np.ndarray  # float64 [n_new], how far from the first to the second

    def extend(self, values: np.ndarray) -> np.ndarray:
        """Return the values at the old points, then those at the new ones, [n + n_new, ...]."""
        first, second = values[self.ends[:, 0]], values[self.ends[:, 1]]
        shares = self.shares.reshape(-1, *[1] * (values.ndim - 1))
        # A share of 0 or 1 keeps an infinite value on the other end out of the sum.
        return np.concatenate([values, (1.0 - shares) * first + shares * second])


def triangles_of(polygons: np.ndarray) -> np.ndarray:
    """Return polygons as triangles, int64 [n, 3], quads cut from their first corner."""
    parts = [polygons[:, [0, k, k + 1]] for k in range(1, polygons.shape[1] - 1)]
    return np.concatenate(parts)


def cut_above(heights: np.ndarray, polygons: np.ndarray, level: float) -> Cut:
    """Cut faces along a height; the part above it is beyond the cut.

    Args:
        heights: Heights of the points, float64 [n_points], finite.
        polygons: Faces, int64 [n, 3 or 4]; the order of their corners is kept.
        level: The height. Points exactly on it belong to both sides.
    """
    triangles = triangles_of(polygons)
    above = heights > level
    count = above[triangles].sum(axis=1)
    crossed = triangles[(count == 1) | (count == 2)]
    # Turn the corners so that the one alone on its side comes first.
    alone_above = above[crossed].sum(axis=1) == 1
    which = np.argmax(above[crossed] == alone_above[:, None], axis=1)
    turned = crossed[np.arange(len(crossed))[:, None], (which[:, None] + np.arange(3)) % 3]
    ends, shares, new = _points_between(heights, turned, level)
    tips = np.column_stack([turned[:, 0], new])
    stumps = np.concatenate(
        [
            np.column_stack([new[:, 0], turned[:, 1], turned[:, 2]]),
            np.column_stack([new[:, 0], turned[:, 2], new[:, 1]]),
        ]
    )
    twice = np.concatenate([alone_above, alone_above])
    kept = np.concatenate([triangles[count == 0], tips[~alone_above], stumps[twice]])
    beyond = np.concatenate([triangles[count == 3], tips[alone_above], stumps[~twice]])
    return Cut(kept, beyond, ends, shares)


def cut_between(
    points: np.ndarray, polygons: np.ndarray, low: float, high: float, *, lid: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a surface at two heights.

    Args:
        points: Float64 [n, 3 or more]; the third column is the height, values may follow.
        polygons: Int64 [m, 3 or 4].
        low: Lower cut; -infinity for none.
        high: Upper cut; infinity for none.
        lid: Draw the parts beyond flat at the cut, instead of leaving them out.

    Returns:
        Points, old and new, and polygons: unchanged if nothing is cut, otherwise triangles.
    """
    for level, sign in ((high, 1.0), (low, -1.0)):
        used = points[polygons, 2] * sign
        if not used.size or used.max() <= sign * level:
            continue
        cut = cut_above(sign * points[:, 2], polygons, sign * level)
        points = cut.extend(points)
        faces = np.concatenate([cut.kept, cut.beyond]) if lid else cut.kept
        polygons = faces[_have_area(points, faces)]
    if lid:
        points = points.copy()
        points[:, 2] = np.clip(points[:, 2], low, high)
    return points, polygons


def _have_area(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Say which triangles have an area, bool [n]; a point on the cut leaves some without."""
    corners = points[triangles, :2]
    (x, y), (u, v) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return np.asarray(x * v - y * u != 0)


def _points_between(
    heights: np.ndarray, turned: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the new points on the two edges at each triangle's first corner, each point once.

    Returns:
        The ends of their edges, int64 [n_new, 2]; their shares, float64 [n_new]; and by triangle
        the number of each among old and new points, int64 [n, 2].
    """
    edges = np.sort(np.concatenate([turned[:, [0, 1]], turned[:, [0, 2]]]), axis=1)
    keys, number = np.unique(edges[:, 0] * len(heights) + edges[:, 1], return_inverse=True)
    ends = np.column_stack(np.divmod(keys, len(heights))).astype(np.int64)
    first, second = heights[ends[:, 0]], heights[ends[:, 1]]
    shares = (level - first) / (second - first)
    return ends, shares, len(heights) + number.reshape(2, -1).T
