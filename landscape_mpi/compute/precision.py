"""Choose the type of a surface's matrix products by trying types on points of the surface.

The error of a type depends on the network and on the place: rounding shows most where the loss is
near zero or the weights are far out. Its speed depends on the machine, since some only emulate it.
So both are measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.errors import InputError

# Relative; two ways to compute in one type may differ by this much.
SAME_LOSS = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 2e-2}
WORTH_CHANGING = 1.05  # a type is chosen if it is faster than fp32 by at least this factor


@dataclass(frozen=True)
class Trial:
    """Hold the results of one type at some points, compared with fp32."""

    precision: str
    deviation: float  # largest relative deviation of the loss; infinite if the type fails
    speed: float  # points per time, relative to fp32
    n_finite: int = 0  # number of compared points, where the loss in fp32 is finite
    problem: str | None = None  # reason why it cannot compute this network
    last: float = math.nan  # loss at the last of the points


def check_available(precision: str, device: Device) -> None:
    """Check that a device supports a type.

    Args:
        precision: One of evaluation.PRECISIONS, or ``auto``.
        device: Device of this rank.

    Raises:
        InputError: If it does not.
    """
    if precision == "tf32" and precision not in device.precisions():
        here = "the CPU" if device.is_host else device.describe()
        raise InputError(
            "--precision tf32 needs an NVIDIA GPU, Ampere or newer, but this run computes on "
            f"{here}. Pass fp32 or bf16, or run on such a GPU."
        )


def try_precisions(
    make_plane: Callable[[str], PointLosses],
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
) -> list[Trial]:
    """Evaluate the same points in every type.

    Args:
        make_plane: Function that returns a plane that computes in a type.
        names: Types other than fp32.
        points: Alpha and beta of each point; the last one is timed.

    Returns:
        One trial for each type, fp32 first.

    Raises:
        OutOfMemoryError: If a batch does not fit, whatever the type.
    """
    expected, fp32_seconds = _losses_and_seconds(make_plane("fp32"), points)
    n_finite = int(np.isfinite(expected).sum())
    trials = [Trial("fp32", 0.0, 1.0, n_finite, last=float(expected[-1]))]
    for name in names:
        try:
            losses, seconds = _losses_and_seconds(make_plane(name), points)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError) as problem:  # an operation that lacks this type
            words = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            trials.append(Trial(name, math.inf, 0.0, n_finite, words))
        else:
            speed = fp32_seconds / seconds
            last, far = float(losses[-1]), deviation(losses, expected)
            trials.append(Trial(name, far, speed, n_finite, last=last))
    return trials


def _losses_and_seconds(
    plane: PointLosses, points: Sequence[tuple[float, float]]
) -> tuple[np.ndarray, float]:
    """Return the loss of the first split at every point, nats, and the time of a point, s."""
    losses = np.array([plane.evaluate(*point)[0] for point in points])
    return losses, plane.shortest_seconds(*points[-1])


def deviation(losses: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest relative difference of losses.

    Args:
        losses: Losses in a type, float64 [n].
        expected: Losses in fp32, float64 [n].

    Returns:
        Largest difference, relative to the expected value of its point. If some expected values are
        0 or below, it is relative to the largest magnitude of all, because a loss that crosses 0
        has no scale. It is infinite if one of the two is finite and the other is not, and NaN if
        none is finite.
    """
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(losses)):
        return math.inf
    if not finite.any():
        return math.nan
    difference, scale = np.abs(losses - expected)[finite], expected[finite]
    if scale.min() <= 0:
        scale = np.abs(scale).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0, 0.0, difference / scale)
    return float(relative.max())


def fastest(trials: Sequence[Trial], *, tolerance: float) -> Trial:
    """Return the fastest type within the tolerance; fp32, unless another is clearly faster.

    Args:
        trials: Trials of every type, fp32 first.
        tolerance: Largest deviation, relative.
    """
    good = [trial for trial in trials[1:] if trial.deviation <= tolerance]
    best = max(good, key=lambda trial: trial.speed, default=trials[0])
    return best if best.speed >= WORTH_CHANGING else trials[0]
