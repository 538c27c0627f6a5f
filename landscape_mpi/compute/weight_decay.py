"""Compute in closed form the term that weight decay adds to the loss at points of a plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from landscape_mpi.compute.directions import Direction, inner


def weight_decay_term(
    decay: float,
    center: Mapping[str, np.ndarray],
    directions: Mapping[str, Direction],
    names: Iterable[str],
    *,
    alpha: np.ndarray,
    beta: np.ndarray,
) -> np.ndarray:
    """Return decay / 2 times the squared norm of the parameters at every point of a plane.

    Args:
        decay: Coefficient, as in an optimiser.
        center: Weights by name, float32; buffers are included but do not decay.
        directions: Directions ``alpha`` and ``beta``.
        names: Names of all parameters that decay, including those that do not move.
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Coordinates along the second, float64 [n_beta].

    Returns:
        The term, float64 [n_alpha, n_beta].
    """
    c = {name: center[name] for name in names}
    d, e = (
        {name: values for name, values in directions[axis].items() if name in c}
        for axis in ("alpha", "beta")
    )
    a, b = alpha[:, None], beta[None, :]
    squares = inner(c, c) + a**2 * inner(d, d) + b**2 * inner(e, e)
    products = a * inner(c, d) + b * inner(c, e) + a * b * inner(d, e)
    return decay / 2 * (squares + 2 * products)
