"""The values that a picture shows between the points computed so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gaps:
    """Points without a value, and the mean of computed ones that stands in for each."""

    places: np.ndarray  # int64 [n], flat indices of points that are not computed
    corners: np.ndarray  # int64 [n, 3], flat indices of computed points around each
    weights: np.ndarray  # float64 [n, 3], of the corners; a row sums to 1


def find_gaps(computed: np.ndarray) -> Gaps | None:
    """Find the points that are not computed and lie between computed ones.

    Args:
        computed: True at computed points, bool [n_alpha, n_beta].

    Returns:
        The points inside the Delaunay triangulation of the computed ones, which the other pictures
        of a partial surface also draw; None if there is no such point.
    """
    known, missing = np.argwhere(computed), np.argwhere(~computed)
    if not len(missing) or len(known) < 3 or np.linalg.matrix_rank(known - known[0]) < 2:
        return None
    from scipy.spatial import Delaunay  # slow to import, and few surfaces are partial

    # In units of the spacing, where the angles do not depend on the ranges of the axes.
    triangles = Delaunay(known)
    found = triangles.find_simplex(missing)
    missing, found = missing[found >= 0], found[found >= 0]
    if not len(missing):
        return None
    transform = triangles.transform[found]
    two = np.einsum("nij,nj->ni", transform[:, :2], missing - transform[:, 2])
    corners = np.flatnonzero(computed)[triangles.simplices[found]]
    weights = np.column_stack([two, 1.0 - two.sum(axis=1)])
    places = np.ravel_multi_index(tuple(missing.T), computed.shape)
    return Gaps(places, corners, np.clip(weights, 0.0, 1.0))
