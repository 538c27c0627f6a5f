"""A surface in numbers, with warnings if it does not look right. Needs neither MPI nor torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.store import sharpness
from landscape_mpi.store.curve import CURVE
from landscape_mpi.store.lines import SOLUTIONS
from landscape_mpi.store.reader import Surface, check_computed, read_surface
from landscape_mpi.store.schema import N_CLASSES, PRECISION_WARNING
from landscape_mpi.store.sharpness import Width
from landscape_mpi.views import ring_table
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.views.number_text import coordinate_text, rounded_text

RADII = (0.1, 0.5, 1.0)  # sizes of the boxes of epsilon-sharpness
RISE = 0.1  # heights of level sets above the center, for losses in nat
PART = 10  # for other losses: the level is at 1 / PART of the way to the median loss
LOWER = 1e-3  # a point is mentioned if it is lower than the center by this share of its loss
FEW_STEPS = 4  # a narrower basin shows only its walls
BASINS = 3  # a good range is about this many basins wide
CHANCE = 50.0  # percent: a larger error counts as guessing, if the classes are unknown
OF_CHANCE = 15.0  # percentage points below guessing that still count: classes differ in size
PLATEAU = 2.0  # percent: errors so close to the largest belong to it
STATISTICS = {
    "fixed": "the center's running statistics everywhere; far from it they do not fit the weights, "
    "which raises the loss (--batch-norm reestimate measures them again)",
    "move": "running statistics that move along with the weights; they are right at both ends",
    "reestimate": "running statistics measured again at every point",
}
DESERT = 0.5  # too large a share of the points on the plateau


def say_summary(path: Path) -> int:
    """Print the numbers of a surface file. Local.

    Returns:
        Exit status 0.
    """
    print(summary_of(read_surface(path)))
    return 0


def summary_of(surface: Surface) -> str:
    """Return a surface in numbers, in the words of --summary."""
    _check_surface(surface)
    return "\n".join(describe(surface))


def _check_surface(surface: Surface) -> None:
    """Check that a surface has a center with a minimum.

    Raises:
        InputError: If the file holds lines between solutions.
    """
    if CURVE in surface.attributes or SOLUTIONS in surface.attributes:
        raise InputError(
            f"--summary: {surface.path} holds the losses on lines from one solution to another, "
            "not around one. Run the command that wrote it again to print their rise, or draw the "
            f"file: {typed('plot')} {surface.path}"
        )


def describe(surface: Surface) -> list[str]:
    """Return a surface in numbers, line by line.

    Args:
        surface: The surface as it was read, complete or not.

    Raises:
        InputError: If none of its points is computed.
    """
    check_computed(surface)
    known = surface.attributes
    about = f"{known['model']} on {known['data']}, " if {"model", "data"} <= set(known) else ""
    size = f"{surface.shape[0]} x {surface.shape[1]} points" if surface.n_points > 1 else "1 point"
    lines = [f"{surface.path}: {about}{size}"]
    lines += _angle(surface)
    if warning := known.get(PRECISION_WARNING):
        lines.append(f"precision: {warning}")
    losses = [name for name in surface.values if name.endswith("_loss")]
    if surface.has_repeats:
        return lines[:1] + [_repeats(surface, name) for name in losses]
    for name in losses:
        lines += [name, *(f"  {line}" for line in _numbers(surface, name))]
    if losses:
        lines += ["does it look right?", *(f"  {line}" for line in _checks(surface, losses[0]))]
    return lines


def _angle(surface: Surface) -> Iterator[str]:
    """Say how far from orthogonal the two directions are.

    An older file has no random_cosine, so nothing is said about random directions.
    """
    known = surface.about_directions
    cosine, of_random = (known.get(name, math.nan) for name in ("cosine", "random_cosine"))
    if math.isfinite(cosine):
        beside = (
            "; for random directions with entries of these sizes it is typically about -{0:.2g} or "
            "{0:.2g}"
        )
        yield (
            f"cosine of the two directions: {cosine:.2g}"
            f"{beside.format(of_random) if math.isfinite(of_random) else ''}"
        )


def _repeats(surface: Surface, name: str) -> str:
    """Say how much lines along several random directions differ."""
    center, loss = surface.center, surface.values[name]
    whole = np.isfinite(loss).all(axis=0)
    if center is None or not whole.any():
        return f"{name}: no line is complete and has the point (0)"
    value = float(loss[center[0], whole][0])
    level = value + RISE if _is_in_nat(surface, name) else _part_of_the_way(loss[:, whole], value)
    if level <= value:
        return f"{name}: no width: the loss at the center is above the median loss of the lines"
    rise = rounded_text(level - value, 3)
    widths = [sharpness.width(surface.alpha, line, center[0], level) for line in loss[:, whole].T]
    totals = sorted(width.total for width in widths if math.isfinite(width.total))
    if len(totals) < len(widths):
        return f"{name}: the loss does not rise by {rise} within the grid; pass a wider --x"
    ends = f"{totals[0]:.3g} to {totals[-1]:.3g}"
    return f"{name}: along {len(totals)} directions the width up to {rise} more is {ends}"


def _is_in_nat(surface: Surface, name: str) -> bool:
    return surface.units[name] == "nat"


def _unit(surface: Surface, name: str) -> str:
    """Return the unit of a loss to write after a number; empty if it has none."""
    unit = surface.units[name]
    return "" if unit in {"1", ""} else f" {unit}"


def _numbers(surface: Surface, name: str) -> Iterator[str]:
    alpha, beta, center, loss = surface.alpha, surface.beta, surface.center, surface.values[name]
    unit = _unit(surface, name)
    finite = loss[np.isfinite(loss)]
    if finite.size == 0:
        yield "not finite at any point"
        return
    if finite.size == 1:
        only = "the only one with a finite loss" if surface.n_points > 1 else "the only point"
        yield f"{rounded_text(finite[0], 6)}{unit} at {_place(surface, loss)}, {only}"
        return
    low, high = (rounded_text(end, 6) for end in (finite.min(), finite.max()))
    yield f"smallest {low} at {_place(surface, loss)}, largest {high}"
    if center is not None and np.isfinite(loss[center]):
        yield from _numbers_at_center(surface, name, center)
        yield from _rings(surface, name)
    share = sharpness.non_convex_share(alpha, beta, loss)
    if share is not None:
        height = sharpness.convex_height(alpha, beta, loss)
        lowest = "" if height is None else f", the lowest of them at {rounded_text(height, 4)}"
        yield f"not convex at {100 * share:.0f} % of the inner points{lowest}"
    if surface.is_line:
        axis = alpha if surface.shape[1] == 1 else beta
        rise = sharpness.barrier(axis, loss.ravel())
        if rise is not None:
            above = "above the straight line between the losses"
            yield f"barrier from 0 to 1: {rounded_text(rise, 4)}{unit} {above}"


def _numbers_at_center(surface: Surface, name: str, center: tuple[int, int]) -> Iterator[str]:
    loss, unit = surface.values[name], _unit(surface, name)
    value = float(loss[center])
    yield f"at the center {rounded_text(value, 6)}"
    yield from _sharpness_in_boxes(surface, loss, value, unit)
    levels = _levels(loss, value, is_in_nat=_is_in_nat(surface, name))
    if not levels:
        yield "no width: the loss at the center is above the median loss of the plane"
    for level, words in levels:
        found = _widths(surface, loss, center, level)
        told = [f"{_distance(w)} along {axis}" for axis, w in found.items()]
        yield f"width {words}: {', '.join(told)}"
    fit = sharpness.fit_quadratic(surface.alpha, surface.beta, loss, center)
    if fit is not None:
        curvatures = " and ".join(rounded_text(value, 4) for value in fit.eigenvalues)
        yield (
            f"curvature {curvatures}{unit} per unit squared; the fitted quadratic misses the "
            f"points around the center by {rounded_text(fit.residual, 2)}{unit}"
        )


def _rings(surface: Surface, name: str) -> Iterator[str]:
    """Say at which distance the median over the directions of a plane reaches guessing."""
    if not surface.is_line and guessing_loss(surface, name) is not None:
        yield ring_table.describe(ring_table.measure_rings(surface, name))


def _sharpness_in_boxes(
    surface: Surface, loss: np.ndarray, value: float, unit: str
) -> Iterator[str]:
    """Say how far the loss rises in boxes, in percent, or in its own unit if it is below 0."""
    measure, what = sharpness.box_rise, "largest rise in the plane"
    if value >= 0:
        measure, what = sharpness.epsilon_sharpness, "sharpness in the plane (Keskar et al. 2017)"
        unit = " %"
    boxes = [
        (radius, measure(surface.alpha, surface.beta, loss, value, radius)) for radius in RADII
    ]
    told = [
        f"{rounded_text(found, 3)}{unit} within {radius:g}"
        for radius, found in boxes
        if found is not None
    ]
    if told:
        yield f"{what}: {', '.join(told)}"


def _levels(loss: np.ndarray, value: float, *, is_in_nat: bool) -> list[tuple[float, str]]:
    """Return the levels for which widths are stated, with words that describe them.

    Args:
        loss: Loss of the surface, float64 [n_alpha, n_beta].
        value: Loss at the center, finite.
        is_in_nat: Whether its unit is nat. In another unit, no fixed rise suits all losses.

    Returns:
        Only levels above the loss of the center, since widths are measured from there.
    """
    level = _part_of_the_way(loss, value)
    words = f"up to {rounded_text(level, 4)}, a tenth of the way from the center to the median loss"
    if _goes_below_0(loss):
        why = "this loss goes below 0, so twice its value has no meaning"
        levels = [(level, f"{words} ({why})")]
    elif is_in_nat:
        levels = [(2 * value, "up to twice that"), (value + RISE, f"up to {RISE:g} more")]
    else:
        levels = [(2 * value, "up to twice that"), (level, words)]
    return [(end, words) for end, words in levels if end > value or (end == value == 0)]


def _goes_below_0(loss: np.ndarray) -> bool:
    return bool((loss[np.isfinite(loss)] < 0).any())


def _part_of_the_way(loss: np.ndarray, value: float) -> float:
    return value + float(np.median(loss[np.isfinite(loss)]) - value) / PART


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
    if surface.interpolation is not None:
        yield surface.interpolation.words
        yield surface.interpolation.check_words
    if surface.sampling is not None:
        yield surface.sampling.words
    yield from _check_finite(surface, loss, surface.done_of[name])
    center = surface.center
    if center is None:
        yield "the grid has no point at (0, 0), so the center cannot be checked"
    elif np.isfinite(loss[center]) and np.isfinite(loss).sum() == 1:
        yield _advice_for_one_point(surface)
    elif np.isfinite(loss[center]):
        yield _check_minimum(surface, loss, center)
        yield from _check_range(surface, name, center)
    elif surface.done_of[name][center]:
        yield "the loss at the center is not finite: wrong weights or wrong data"
    error = name.replace("loss", "error")
    if surface.units.get(error) == "percent":
        yield from _check_plateau(surface.values[error], surface.attributes.get(N_CLASSES))
    yield from _statistics(surface)


def _statistics(surface: Surface) -> Iterator[str]:
    """Say which running statistics batch-norm had, if the network has any."""
    known = surface.attributes
    there = re.search(r"\b[1-9]\d* batch-norm", str(known.get("preparation", "")))
    if not there and not known.get("running_statistics"):
        return
    words = STATISTICS.get(str(known.get("batch_norm")))
    if words is not None and "problem" in known:
        words = words.partition(" (--batch-norm")[0]
    if words is not None:
        yield f"batch-norm: {words}"


def _check_finite(surface: Surface, loss: np.ndarray, done: np.ndarray) -> Iterator[str]:
    broken = done & ~np.isfinite(loss)
    if broken.any():
        rows, columns = np.nonzero(broken)
        nearest = np.hypot(surface.alpha[rows], surface.beta[columns]).min()
        yield (
            f"not finite at {broken.sum():,} points, the nearest {nearest:.3g} from the center: "
            "the network overflows there; use a smaller range"
        )


def _advice_for_one_point(surface: Surface) -> str:
    words = "a single point shows no shape; compare its loss with the log of the training"
    line = "; try --x=-1:1:51 and a new --out for a line" if surface.n_points == 1 else ""
    return words + line


def _check_minimum(surface: Surface, loss: np.ndarray, center: tuple[int, int]) -> str:
    value, lowest = float(loss[center]), float(np.nanmin(loss))
    if lowest >= value - LOWER * abs(value):
        return "the center is the minimum of the grid, as it should be"
    depth = rounded_text(value - lowest, 3)
    return (
        f"the center is not the minimum: {_place(surface, loss)} is lower by {depth}. "
        f"Training ended on a slope (early stopping, weight decay), or weights, data or "
        f"normalisation are not those of training: compare the center's loss with its log"
    )


def _check_range(surface: Surface, name: str, center: tuple[int, int]) -> Iterator[str]:
    loss = surface.values[name]
    value = float(loss[center])
    is_in_nat = _is_in_nat(surface, name) and not _goes_below_0(loss)
    level = value + RISE if is_in_nat else _part_of_the_way(loss, value)
    if not _goes_below_0(loss):
        level = max(2 * value, level)
    if level < value:
        return
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
            reach, n, what = float(f"{BASINS * found.total / 2:.1g}"), len(axis), "is wide"
            if reach >= np.abs(axis).max():  # a narrower range would show no more
                reach, what = float(np.abs(axis).max()), "has few points"
                n = 2 * math.ceil(reach * FEW_STEPS / found.total) + 1
            yield (
                f"{option} {what}: along {name} the basin below {level:.3g} is "
                f"{found.total / step:.1f} steps across; try {option}={-reach:g}:{reach:g}:{n}"
            )


def _check_plateau(error: np.ndarray, n_classes: int | None) -> Iterator[str]:
    """Say so if much of the plane has the error of guessing, which is 90 % for 10 classes."""
    finite = error[np.isfinite(error)]
    least = CHANCE
    if n_classes is not None and n_classes >= 2:
        least = 100.0 * (1 - 1 / n_classes) - OF_CHANCE
    if finite.size == 0 or finite.max() < least:
        return
    share = float(np.mean(finite > finite.max() - PLATEAU))
    if share > DESERT:
        yield (
            f"saturated: at {100 * share:.0f} % of the points the error is about "
            f"{finite.max():.0f} %, "
            f"that of guessing; a smaller range shows more of the basin"
        )


def _place(surface: Surface, loss: np.ndarray) -> str:
    row, column = np.unravel_index(np.nanargmin(loss), loss.shape)
    alpha = coordinate_text(surface.alpha, int(row))
    return f"({alpha}, {coordinate_text(surface.beta, int(column))})"
