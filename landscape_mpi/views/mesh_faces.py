"""The faces between the points of a surface, complete or partial.

A complete grid gives one quad per cell. A partial one, which a coarse-to-fine run leaves in
any pattern, gives the Delaunay triangulation of its computed points, so that the whole plane
is there from the first rounds on. In both, the faces at a point that is not finite are kept apart
as holes, and nothing is drawn across them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cells:
    """Faces over a grid; corners are flat indices into [n_alpha, n_beta], counterclockwise."""

    faces: np.ndarray  # int64 [n_faces, 4], or [n_faces, 3] where triangulated
    holes: np.ndarray  # int64, like faces: the faces with a corner that is not finite
    loose: np.ndarray  # int64 [n_loose], finite points that are in no face
    loose_holes: np.ndarray  # int64 [n], computed points that are not finite and in no hole


def connect(computed: np.ndarray, finite: np.ndarray) -> Cells:
    """Join the computed points into faces.

    Args:
        computed: True at computed points, bool [n_alpha, n_beta].
        finite: True at finite values, bool [n_alpha, n_beta].
    """
    finite = finite & computed
    faces = _quads(computed.shape) if computed.all() else _triangles(computed)
    whole = finite.ravel()[faces].all(axis=1)
    kept, holes = faces[whole], faces[~whole]
    in_none = _outside(kept, finite.size)
    in_no_hole = _outside(holes, finite.size)
    return Cells(
        faces=kept,
        holes=holes,
        loose=np.flatnonzero(finite.ravel() & in_none),
        loose_holes=np.flatnonzero((computed & ~finite).ravel() & in_no_hole),
    )


def _outside(faces: np.ndarray, n_points: int) -> np.ndarray:
    outside = np.ones(n_points, dtype=bool)
    outside[faces.ravel()] = False
    return outside


def _quads(shape: tuple[int, ...]) -> np.ndarray:
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    corners = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    return np.stack([corner.ravel() for corner in corners], axis=1)


def _triangles(computed: np.ndarray) -> np.ndarray:
    # In units of the spacing, where the angles do not depend on the ranges of the axes.
    points = np.argwhere(computed)
    if len(points) < 3 or np.linalg.matrix_rank(points - points[0]) < 2:
        return np.empty((0, 3), dtype=np.int64)
    from scipy.spatial import Delaunay  # slow to import, and few surfaces are partial

    triangles = Delaunay(points).simplices.astype(np.int64)
    area = _doubled_area(points[triangles])
    turned = np.where((area < 0)[:, None], triangles[:, ::-1], triangles)
    return np.flatnonzero(computed)[turned[area != 0]]


def _doubled_area(corners: np.ndarray) -> np.ndarray:
    """Return twice the signed area of integer triangles [n, 3, 2]."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return ax * by - ay * bx
