"""Find how high the loss rises in a small box of weight space by climbing in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import Bounds, minimize

from landscape_mpi.compute.gradient import LossGradient

CORRECTIONS = 10  # pairs of vectors that L-BFGS keeps


def highest_in_box(
    gradient: LossGradient, center_loss: float, radius: float, *, iterations: int, seed: int
) -> float:
    """Return the largest loss found in the box around the center by climbing.

    Args:
        gradient: Gradient of the loss; it is left at the center.
        center_loss: Loss at the center.
        radius: The box is radius * (abs(w) + 1) wide to either side of each weight w.
        iterations: Number of L-BFGS-B iterations.
        seed: Seed of the random point where the climb begins, because a minimum has no uphill
            direction.

    Returns:
        Largest loss found, a lower bound; the center's loss if nothing higher is found.

    Source: Keskar et al. 2017, arXiv:1609.04836, Metric 2.1 with A = I, and section 2.2.2.
    """
    center = {
        name: tensor.detach().double().cpu().numpy() for name, tensor in gradient.parameters.items()
    }
    start = np.concatenate([values.ravel() for values in center.values()])
    reach = radius * (np.abs(start) + 1)
    highest = center_loss

    def falling(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal highest
        gradient.move_to(_parted(point, center))
        loss, slope = gradient.here()
        if not np.isfinite(loss):
            return np.inf, np.zeros_like(point)
        highest = max(highest, loss)
        return -loss, -np.concatenate([values.ravel() for values in slope.values()])

    draw = np.random.default_rng(seed).uniform(-1, 1, len(start))
    minimize(
        falling,
        start + reach * draw,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(start - reach, start + reach),
        options={"maxiter": iterations, "maxcor": CORRECTIONS, "ftol": 0.0, "gtol": 0.0},
    )
    gradient.move_to(center)
    return float(highest)


def _parted(point: np.ndarray, center: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    ends = np.cumsum([values.size for values in center.values()])[:-1]
    parts = np.split(point, ends)
    return {
        name: part.reshape(center[name].shape) for name, part in zip(center, parts, strict=True)
    }
