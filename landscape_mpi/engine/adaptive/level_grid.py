"""The sub-grid of a level of the coarse-to-fine order, and the prediction of the next level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.engine.grid import axis_levels

BASE_NODES = 11  # per axis: the level with this many points is computed whole
STENCIL = 4  # a new node is interpolated from this many: a cubic


@dataclass(frozen=True)
class LevelGrid:
    """Nodes of both axes that belong to a level or a coarser one."""

    alpha: np.ndarray  # indices into the axis, int64 [a], rising
    beta: np.ndarray  # int64 [b]

    @property
    def select(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the index that takes the nodes out of an array [..., n_alpha, n_beta]."""
        rows, columns = np.ix_(self.alpha, self.beta)
        return rows, columns

    def places_of(self, coarse: LevelGrid) -> tuple[np.ndarray, np.ndarray]:
        """Return the index that takes the nodes of a coarser level out of an array [..., a, b]."""
        return LevelGrid(
            np.searchsorted(self.alpha, coarse.alpha), np.searchsorted(self.beta, coarse.beta)
        ).select

    def is_new(self, coarse: LevelGrid) -> np.ndarray:
        """Say which nodes are not in a coarser level, bool [a, b]."""
        new = np.ones((len(self.alpha), len(self.beta)), bool)
        new[self.places_of(coarse)] = False
        return new


def level_grids(n_alpha: int, n_beta: int) -> list[LevelGrid]:
    """Return the levels of a grid, from the last before the whole one to the finest.

    The first is only for comparison: it shows how well it would have predicted the second.
    """
    levels = [axis_levels(n_alpha), axis_levels(n_beta)]
    finest = max(int(of_axis.max()) for of_axis in levels)
    wanted = [min(len(of_axis), BASE_NODES) for of_axis in levels]
    base = next(
        level
        for level in range(finest + 1)
        if all((x <= level).sum() >= n for x, n in zip(levels, wanted, strict=True))
    )
    return [
        LevelGrid(*(np.flatnonzero(of_axis <= max(level, 0)) for of_axis in levels))
        for level in range(base - 1, finest + 1)
    ]


def first_level(n_alpha: int, n_beta: int) -> LevelGrid:
    """Return the level that is computed whole.

    Args:
        n_alpha: Points along alpha.
        n_beta: Points along beta.
    """
    return level_grids(n_alpha, n_beta)[1]


def coarsest_points(n_alpha: int, n_beta: int) -> int:
    """Return the number of points of the level that is computed whole.

    Args:
        n_alpha: Points along alpha.
        n_beta: Points along beta.
    """
    base = first_level(n_alpha, n_beta)
    return len(base.alpha) * len(base.beta)


def predict(values: np.ndarray, coarse: LevelGrid, fine: LevelGrid) -> np.ndarray:
    """Interpolate the values of a level at the nodes of a finer one.

    The interpolation is cubic along one axis after the other, linear beside a value that is not
    finite, and not finite if a neighbour along an axis is not, so no such point is bridged.

    Args:
        values: Values of the coarse level, float64 [..., a, b].
        coarse: Grid of these values.
        fine: Grid to predict; a node of both keeps its value only if all are finite.

    Returns:
        float64 [..., a', b'].

    Source: Deslauriers and Dubuc 1989, Constructive Approximation 5, the four-point scheme.
    """
    along_beta = _along_last(values, coarse.beta, fine.beta)
    turned = np.swapaxes(along_beta, -1, -2)
    return np.swapaxes(_along_last(turned, coarse.alpha, fine.alpha), -1, -2)


def _along_last(values: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    if len(old) == len(new):
        return values
    left = np.clip(np.searchsorted(old, new, side="right") - 1, 0, len(old) - 2)
    share = (new - old[left]) / (old[left + 1] - old[left])
    n = min(STENCIL, len(old))
    first = np.clip(left - 1, 0, len(old) - n)
    with np.errstate(invalid="ignore", over="ignore"):
        cubic = np.zeros((*values.shape[:-1], len(new)))
        for weight, place in zip(_weights(old, new, first, n), range(n), strict=True):
            cubic += weight * values[..., first + place]
        linear = values[..., left] * (1 - share) + values[..., left + 1] * share
    found = np.where(np.isfinite(cubic), cubic, linear)
    found[..., np.searchsorted(new, old)] = values
    return found


def _weights(old: np.ndarray, new: np.ndarray, first: np.ndarray, n: int) -> list[np.ndarray]:
    """Return Lagrange's weights of n nodes from the first one on, at each new node."""
    nodes = [old[first + place] for place in range(n)]
    return [
        np.prod([(new - x) / (node - x) for x in nodes[:k] + nodes[k + 1 :]], axis=0)
        if n > 1
        else np.ones(len(new))
        for k, node in enumerate(nodes)
    ]
