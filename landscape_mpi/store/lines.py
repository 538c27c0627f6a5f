"""The file of several lines: a surface file where alpha is the place t, and beta the pair.

Pairs of the solutions 0, 1, 2, ... are numbered (0, 1), (0, 2), ..., (1, 2), ...
"""

from __future__ import annotations

import itertools
import string
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface

SOLUTIONS = "solutions"  # attribute of the file: the checkpoints, in their order
MATCH = "match"  # attribute: whether and how the second of each pair was matched to the first
AXIS_WORDS = {
    "alpha": "place t on the line",
    "beta": "pair of solutions: (0, 1), (0, 2), ..., (1, 2), ...",
}

FIRST_COLUMNS, BARRIER, NOT_FINITE = ["first", "second"], "_barrier", "not_finite"
# The columns of the table of barriers, and their meaning; each quantity has one like train_loss.
COLUMNS = {
    "first": "first checkpoint of the pair",
    "second": "second checkpoint of the pair",
    f"train_loss{BARRIER}": "largest rise of train_loss above the straight line between its values "
    "at both ends",
    NOT_FINITE: "quantities that are NaN or infinite somewhere on the line, and where",
}


def pairs_of(n: int) -> list[tuple[int, int]]:
    """Return each pair of n solutions once, the smaller number first."""
    return list(itertools.combinations(range(n), 2))


def names_of(surface: Surface) -> list[str]:
    """Return the checkpoints of a file of lines."""
    return [str(path) for path in np.atleast_1d(surface.attributes[SOLUTIONS])]


def labels_of(n: int) -> list[str]:
    """Return a letter for each of n solutions, or numbers from 1 if there are too few letters."""
    if n <= len(string.ascii_uppercase):
        return list(string.ascii_uppercase[:n])
    return [str(k + 1) for k in range(n)]


def barriers_of(surface: Surface, name: str) -> np.ndarray:
    """Return the barrier of each line: the largest rise above the straight line between its ends.

    Args:
        surface: A surface of lines; its places t begin at 0 and end at 1.
        name: Name of a quantity.

    Returns:
        float64 [n, n], symmetric, 0 for a solution with itself; NaN if an end is not finite, a
        place of the line is NaN, or the line is not complete.

    Source: Frankle et al. 2020, arXiv:1912.05671, "error barrier height".
    """
    n = len(names_of(surface))
    matrix = np.zeros((n, n))
    t = surface.alpha
    for line, (i, j) in enumerate(pairs_of(n)):
        values = surface.values[name][:, line]
        with np.errstate(invalid="ignore"):
            rise = values - ((1 - t) * values[0] + t * values[-1])
        whole = surface.done_of[name][:, line].all() and np.isfinite(values[[0, -1]]).all()
        matrix[i, j] = matrix[j, i] = np.maximum(0.0, rise.max()) if whole else np.nan
    return matrix


def not_finite_of(surface: Surface, name: str) -> dict[tuple[int, int], np.ndarray]:
    """Return the lines on which a quantity is NaN or infinite somewhere, by their pairs.

    Args:
        surface: A surface of lines.
        name: Name of a quantity.

    Returns:
        The places t without a finite value, float64, rising; only computed places count.
    """
    there = surface.done_of[name] & ~np.isfinite(surface.values[name])
    pairs = pairs_of(len(names_of(surface)))
    return {pair: surface.alpha[there[:, k]] for k, pair in enumerate(pairs) if there[:, k].any()}
