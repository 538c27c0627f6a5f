"""Make directions from one solution to another, and planes through three solutions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from landscape_mpi.compute.directions import Direction, inner, norm
from landscape_mpi.errors import InputError

PARALLEL = 1e-6  # least share of a direction that must be orthogonal to the other


def difference(
    center: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], names: Collection[str]
) -> Direction:
    """Return the direction from one solution to another, which then has coordinate 1.

    Args:
        center: Parameters and buffers by name, float32.
        other: The same for the other solution.
        names: Names of the tensors that move.

    Returns:
        float32 arrays by name, without tensors that are equal in both.
    """
    found = {}
    for name in center:
        if name in names and not np.array_equal(center[name], other[name]):
            found[name] = (other[name].astype(np.float64) - center[name].astype(np.float64)).astype(
                np.float32
            )
    return found


def turned_orthogonal(
    direction: Direction, to: Direction, *, length: float | None = None
) -> Direction:
    """Return the part of a direction that is orthogonal to another one.

    Args:
        direction: Direction, float32 arrays by name.
        to: The other one.
        length: Norm of the result; None to keep the norm of that part.

    Raises:
        InputError: If the two are parallel.
    """
    share = inner(direction, to) / inner(to, to)
    left = {
        name: _values(direction, to, name) - share * to.get(name, np.float32(0)).astype(np.float64)
        for name in [*direction, *(name for name in to if name not in direction)]
    }
    remaining = norm(left)
    if remaining <= PARALLEL * norm(direction):
        raise InputError(
            "--orthogonal: the two directions are parallel, so they span a line, not a plane. "
            "Pass another --y-direction, or leave out --y for a line."
        )
    factor = 1.0 if length is None else length / remaining
    return {name: (factor * values).astype(np.float32) for name, values in left.items()}


def _values(direction: Direction, to: Direction, name: str) -> np.ndarray:
    found = direction.get(name)
    return np.zeros_like(to[name], np.float64) if found is None else found.astype(np.float64)


def place_in_plane(
    direction: Direction, first: Direction, second: Direction
) -> tuple[float, float]:
    """Return the coordinates of a direction in the plane of two others, by least squares."""
    gram = np.array(
        [
            [inner(first, first), inner(first, second)],
            [inner(first, second), inner(second, second)],
        ]
    )
    projections = np.array([inner(direction, first), inner(direction, second)])
    alpha, beta = np.linalg.solve(gram, projections)
    return float(alpha), float(beta)
