"""Surfaces on coarser grids: computed at every k-th coordinate only, or thinned for a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape_mpi.store.reader import Surface


def on_its_own_grid(surface: Surface, name: str) -> Surface:
    """Return the surface on the coarser grid of one quantity, or as it is.

    Args:
        surface: Any surface.
        name: Name of a quantity. If the surface is complete and this quantity lies on evenly spaced
            rows and columns, as ``hessian --stride`` leaves it, these form a grid of their own,
            in which no point is missing.
    """
    done = surface.done_of[name]
    if done.all() or not surface.done.all():
        return surface
    rows, columns = np.flatnonzero(done.any(axis=1)), np.flatnonzero(done.any(axis=0))
    own = np.ix_(rows, columns)
    if not (_is_even(rows) and _is_even(columns) and done[own].all()):
        return surface
    return replace(
        surface,
        alpha=surface.alpha[rows],
        beta=surface.beta[columns],
        values={name: surface.values[name][own]},
        done=done[own],
        done_of={name: done[own]},
    )


def thinned(surface: Surface, most: int) -> Surface:
    """Return a surface with a largest number of coordinates along an axis; both ends are kept.

    Args:
        surface: Any surface; one that is small enough is returned as it is.
        most: Largest number of coordinates of an axis, 2 or more.
    """
    if max(surface.shape) <= most:
        return surface
    rows, columns = (
        np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)) for n in surface.shape
    )
    own = np.ix_(rows, columns)
    return replace(
        surface,
        alpha=surface.alpha[rows],
        beta=surface.beta[columns],
        values={name: values[own] for name, values in surface.values.items()},
        done=surface.done[own],
        done_of={name: done[own] for name, done in surface.done_of.items()},
    )


def _is_even(indices: np.ndarray) -> bool:
    return len(indices) > 1 and len(set(np.diff(indices))) == 1
