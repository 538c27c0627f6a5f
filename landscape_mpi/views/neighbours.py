"""The neighbours of the points of a surface, and the complexes that gudhi builds of them.

A point of a grid has eight neighbours or four. With eight, low points join across the corners of
the squares and high points do not; with four it is the other way round, since only one of two
crossing diagonals can connect. Eight is the default, since it counts at most as many minima as
four: a smooth, narrow valley that crosses the grid at an angle breaks up into pools with four. A
difference between the two comes from the grid rather than from the loss.

Sources: Wagner, Chen, Vuçini 2012, "Efficient Computation of Persistent Homology for Cubical Data":
values on the vertices of a cubical complex (four), or on its squares (eight); gudhi's manual,
"Cubical complex", for both constructions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.views.optional_packages import import_optional
from landscape_mpi.views.panel import Panel

EIGHT, FOUR = 8, 4
STEPS = {FOUR: ((1, 0), (0, 1)), EIGHT: ((1, 0), (0, 1), (1, 1), (1, -1))}


@dataclass(frozen=True)
class Neighbours:
    """The way in which the points of a surface are joined."""

    words: str  # the way, in words
    edges: np.ndarray  # int64 [n, 2], flat indices into [n_alpha, n_beta]
    build: Callable[[np.ndarray], Any]  # gudhi's complex from each point's rank, float64 [n]


def join_points(panel: Panel, count: int = EIGHT) -> Neighbours:
    """Join the points of a surface to their neighbours.

    A complete plane is a grid. A partial one has the triangles between its computed points that
    its pictures have; a line joins each computed point to the next.

    Args:
        panel: A quantity of a plane or a line.
        count: 4 or 8, for a grid.

    Raises:
        InputError: If the computed points of a plane lie on one line.
    """
    if min(panel.surface.shape) == 1:
        return _join_line(np.flatnonzero(panel.computed))
    if panel.computed.all():
        return _join_grid(panel.computed.shape, count)
    triangles = np.concatenate([panel.cells.faces, panel.cells.holes])
    if len(triangles) == 0:
        raise InputError(
            f"{panel.surface.path}: {panel.n_computed} of {panel.surface.n_points} points of "
            f"{panel.name} are computed, which is not enough for a triangle. Try again when there "
            "are more."
        )
    return _join_triangles(triangles)


def import_gudhi() -> Any:
    """Import gudhi, which only these numbers need, and return it.

    Raises:
        InputError: If it is not installed.
    """
    return import_optional("gudhi", what="the search for minima, saddles and their persistence")


def _join_line(points: np.ndarray) -> Neighbours:
    def build(ranks: np.ndarray) -> Any:
        return import_gudhi().CubicalComplex(top_dimensional_cells=ranks[points])

    edges = np.stack([points[:-1], points[1:]], axis=1)
    return Neighbours("each point with the next", edges, build)


def _join_grid(shape: tuple[int, ...], count: int) -> Neighbours:
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    edges = np.concatenate([_edges_along(index, *step) for step in STEPS[count]])
    cells = "top_dimensional_cells" if count == EIGHT else "vertices"

    def build(ranks: np.ndarray) -> Any:
        return import_gudhi().CubicalComplex(**{cells: ranks.reshape(shape)})

    return Neighbours(f"{count} neighbours", edges, build)


def _edges_along(index: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the pairs of indices that are this many rows and columns apart, int64 [n, 2]."""
    turned = index if columns >= 0 else index[:, ::-1]
    columns = abs(columns)
    n_rows, n_columns = index.shape
    first = turned[: n_rows - rows, : n_columns - columns]
    return np.stack([first.ravel(), turned[rows:, columns:].ravel()], axis=1)


def _join_triangles(triangles: np.ndarray) -> Neighbours:
    sides = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    edges = np.unique(np.sort(sides, axis=1), axis=0)
    points = np.unique(triangles)

    def build(ranks: np.ndarray) -> Any:
        tree = import_gudhi().SimplexTree()
        # A face of two simplices keeps the smaller rank, so each one enters with its own rank.
        for simplices in (points[:, None], edges, triangles):
            tree.insert_batch(simplices.T, ranks[simplices].max(axis=1))
        return tree

    return Neighbours("the triangles of its computed points", edges, build)
