"""A surface in numbers, and whether it looks right, in words: needs neither MPI nor torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store import sharpness
from landscape_mpi.store.curve import CURVE
from landscape_mpi.store.lines import SOLUTIONS
from landscape_mpi.store.reader import Surface, check_computed, read_surface
from landscape_mpi.store.sharpness import Width

RADII = (0.1, 0.5, 1.0)  # of the boxes of epsilon-sharpness
RISE = 0.1  # nat above the center, of a level set
LOWER = 1e-3  # share of the center's loss by which another point must be lower to be told
FEW_STEPS = 4  # a basin narrower than this shows nothing but its walls
BASINS = 3  # a good range is about so many basins wide
CHANCE = 50.0  # percent of error above which a plateau is one of guessing
PLATEAU = 2.0  # percent: errors so close to the largest belong to it
STATISTICS = {
    "fixed": "the center's running statistics everywhere; far from it they do not fit the weights, "
    "which raises the loss (--batch-norm reestimate measures them anew)",
    "move": "running statistics that move along with the weights; they are right at both ends",
    "reestimate": "running statistics measured anew at every point",
}
DESERT = 0.5  # share of the points on the plateau that is too much


def say_summary(path: Path) -> int:
    """Print the numbers of a surface file. Local.

    Returns:
        Exit status 0.
    """
    surface = read_surface(path)
    _check_surface(surface)
    print("\n".join(describe(surface)))
    return 0


def _check_surface(surface: Surface) -> None:
    """Check that there is a minimum in the middle to speak of.

    Raises:
        InputError: If the file is of lines between solutions.
    """
    if CURVE in surface.attributes or SOLUTIONS in surface.attributes:
        raise InputError(
            f"--summary: {surface.path} holds the losses on lines from one solution to another, "
            f"not around one. The command that wrote it, run again, tells their rise; "
            f"landscape_mpi.plot draws it."
        )


def describe(surface: Surface) -> list[str]:
    """Return a surface in numbers, line by line.

    Args:
        surface: As it was read, complete or not.

    Raises:
        InputError: If none of its points is computed.
    """
    check_computed(surface)
    known = surface.attributes
    about = f"{known['model']} on {known['data']}, " if {"model", "data"} <= set(known) else ""
    lines = [f"{surface.path}: {about}{surface.shape[0]} x {surface.shape[1]} points"]
    lines += _angle(surface)
    losses = [name for name in surface.values if name.endswith("_loss")]
    if surface.has_repeats:
        return lines[:1] + [_repeats(surface, name) for name in losses]
    for name in losses:
        lines += [name, *(f"  {line}" for line in _numbers(surface, surface.values[name]))]
    if losses:
        lines += ["does it look right?", *(f"  {line}" for line in _checks(surface, losses[0]))]
    return lines


def _angle(surface: Surface) -> Iterator[str]:
    """Say how far from orthogonal the two directions are.

    Source: Li et al. 2018, arXiv:1712.09913, section 7.1: sqrt(2 / (pi n)) is expected of two
    random ones.
    """
    cosine, n = (surface.about_directions.get(name, math.nan) for name in ("cosine", "n_moved"))
    if math.isfinite(cosine) and n > 0:
        expected = math.sqrt(2 / (math.pi * n))
        yield (
            f"cosine of the two directions: {cosine:.2g}; of random ones among {n:,} weights "
            f"about {expected:.2g} either way"
        )


def _repeats(surface: Surface, name: str) -> str:
    """Say how much lines along several random directions differ."""
    center, loss = surface.center, surface.values[name]
    whole = np.isfinite(loss).all(axis=0)
    if center is None or not whole.any():
        return f"{name}: no line is complete and has the point (0)"
    level = float(loss[center[0], whole][0]) + RISE
    widths = [sharpness.width(surface.alpha, line, center[0], level) for line in loss[:, whole].T]
    totals = sorted(width.total for width in widths if math.isfinite(width.total))
    if len(totals) < len(widths):
        return f"{name}: up to {RISE:g} more reaches beyond the grid; --x is narrow"
    ends = f"{totals[0]:.3g} to {totals[-1]:.3g}"
    return f"{name}: along {len(totals)} directions the width up to {RISE:g} more is {ends}"


def _numbers(surface: Surface, loss: np.ndarray) -> Iterator[str]:
    alpha, beta, center = surface.alpha, surface.beta, surface.center
    finite = loss[np.isfinite(loss)]
    if finite.size == 0:
        yield "not finite at any point"
        return
    yield f"smallest {finite.min():.6g} at {_place(surface, loss)}, largest {finite.max():.6g}"
    if center is not None and np.isfinite(loss[center]):
        yield from _numbers_at_center(surface, loss, center)
    share = sharpness.non_convex_share(alpha, beta, loss)
    if share is not None:
        height = sharpness.convex_height(alpha, beta, loss)
        lowest = "" if height is None else f", the lowest of them at {height:.4g}"
        yield f"not convex at {share:.0%} of the inner points{lowest}"
    if surface.is_line:
        axis = alpha if surface.shape[1] == 1 else beta
        rise = sharpness.barrier(axis, loss.ravel())
        if rise is not None:
            yield f"barrier from 0 to 1: {rise:.4g} nat above the straight line between the losses"


def _numbers_at_center(
    surface: Surface, loss: np.ndarray, center: tuple[int, int]
) -> Iterator[str]:
    value = float(loss[center])
    yield f"at the center {value:.6g}"
    boxes = [
        (radius, sharpness.epsilon_sharpness(surface.alpha, surface.beta, loss, value, radius))
        for radius in RADII
    ]
    told = [f"{found:.3g} % within {radius:g}" for radius, found in boxes if found is not None]
    if told:
        yield f"sharpness in the plane (Keskar et al. 2017): {', '.join(told)}"
    for level, words in ((2 * value, "up to twice that"), (value + RISE, f"up to {RISE:g} more")):
        found = _widths(surface, loss, center, level)
        told = [f"{_distance(w)} along {axis}" for axis, w in found.items()]
        yield f"width {words}: {', '.join(told)}"
    fit = sharpness.fit_quadratic(surface.alpha, surface.beta, loss, center)
    if fit is not None:
        curvatures = " and ".join(f"{value:.4g}" for value in fit.eigenvalues)
        yield (
            f"curvature {curvatures} nat per unit squared, of a quadratic through the points "
            f"around it, which misses them by {fit.residual:.2g} nat"
        )


def _widths(
    surface: Surface, loss: np.ndarray, center: tuple[int, int], level: float
) -> dict[str, Width]:
    lines = {
        "alpha": (surface.alpha, loss[:, center[1]], center[0]),
        "beta": (surface.beta, loss[center[0], :], center[1]),
    }
    return {
        name: sharpness.width(axis, line, place, level)
        for name, (axis, line, place) in lines.items()
        if len(axis) > 1
    }


def _distance(width: Width) -> str:
    if math.isfinite(width.total):
        return f"{width.total:.3g}"
    inside = [side for side in (width.below, width.above) if math.isfinite(side)]
    return (
        f"{inside[0]:.3g} to one side, the other beyond the grid" if inside else "beyond the grid"
    )


def _checks(surface: Surface, name: str) -> Iterator[str]:
    loss = surface.values[name]
    n_left = int((~surface.done_of[name]).sum())
    if n_left:
        yield f"{n_left:,} of {surface.n_points:,} points are not computed yet"
    yield from _check_finite(surface, loss, surface.done_of[name])
    center = surface.center
    if center is None:
        yield "the grid has no point at (0, 0): whether the center is right cannot be seen"
    elif np.isfinite(loss[center]):
        yield _check_minimum(surface, loss, center)
        yield from _check_range(surface, loss, center)
    elif surface.done_of[name][center]:
        yield "the loss at the center is no finite number: wrong weights or wrong data"
    error = surface.values.get(name.replace("loss", "error"))
    if error is not None:
        yield from _check_plateau(error)
    yield from _statistics(surface)


def _statistics(surface: Surface) -> Iterator[str]:
    """Say which running statistics batch-norm had, where the network has any."""
    known = surface.attributes
    if not re.search(r"\b[1-9]\d* batch-norms", str(known.get("preparation", ""))):
        return
    words = STATISTICS.get(str(known.get("batch_norm")))
    if words is not None:
        yield f"batch-norm: {words}"


def _check_finite(surface: Surface, loss: np.ndarray, done: np.ndarray) -> Iterator[str]:
    broken = done & ~np.isfinite(loss)
    if broken.any():
        rows, columns = np.nonzero(broken)
        nearest = np.hypot(surface.alpha[rows], surface.beta[columns]).min()
        yield (
            f"not finite at {broken.sum():,} points, the nearest {nearest:.3g} from the center: "
            f"the network overflows there; a smaller range shows what lies before"
        )


def _check_minimum(surface: Surface, loss: np.ndarray, center: tuple[int, int]) -> str:
    value, lowest = float(loss[center]), float(np.nanmin(loss))
    if lowest >= value - LOWER * abs(value):
        return "the center is the minimum of the grid, as it should be"
    return (
        f"the center is not the minimum: {_place(surface, loss)} is lower by {value - lowest:.3g}. "
        f"Training ended on a slope (early stopping, weight decay), or weights, data or "
        f"normalisation are not those of training: compare the center's loss with its log"
    )


def _check_range(surface: Surface, loss: np.ndarray, center: tuple[int, int]) -> Iterator[str]:
    level = max(2 * float(loss[center]), float(loss[center]) + RISE)
    axes = {"alpha": ("--x", surface.alpha), "beta": ("--y", surface.beta)}
    for name, found in _widths(surface, loss, center, level).items():
        option, axis = axes[name]
        step = float(np.abs(np.diff(axis)).mean())
        if not math.isfinite(found.below) and not math.isfinite(found.above):
            reach = 2 * float(np.abs(axis).max())
            yield (
                f"{option} is narrow: along {name} the loss rises nowhere above {level:.3g}; "
                f"try {option}={-reach:g}:{reach:g}:{len(axis)}"
            )
        elif found.total < FEW_STEPS * step:
            reach = float(f"{BASINS * found.total / 2:.1g}")
            yield (
                f"{option} is wide: along {name} the basin below {level:.3g} is "
                f"{found.total / step:.1f} steps across; try {option}={-reach:g}:{reach:g}:"
                f"{len(axis)}"
            )


def _check_plateau(error: np.ndarray) -> Iterator[str]:
    finite = error[np.isfinite(error)]
    if finite.size == 0 or finite.max() < CHANCE:
        return
    share = float(np.mean(finite > finite.max() - PLATEAU))
    if share > DESERT:
        yield (
            f"saturated: at {share:.0%} of the points the error is about {finite.max():.0f} %, "
            f"that of guessing; a smaller range shows more of the basin"
        )


def _place(surface: Surface, loss: np.ndarray) -> str:
    row, column = np.unravel_index(np.nanargmin(loss), loss.shape)
    return f"({surface.alpha[row]:.4g}, {surface.beta[column]:.4g})"
