"""The heights of a surface in three dimensions, for meshes, pictures and films.

The height of a loss in nat is log10(loss + 0.1 nat). A plain logarithm would draw a minimum of
0.001 nat as a needle two decades deep; without a logarithm one peak of 100 nat flattens the rest.
For a quantity in another unit whose flat picture is logarithmic, the number added depends on its
values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store.loss_offset import IN_NAT, offset_below
from landscape_mpi.views.common_heights import find_common
from landscape_mpi.views.levels import (
    NO_ENDS,
    Ends,
    body_of,
    choose_threshold,
    from_symlog,
    kind_of_each,
    suits_symlog,
    to_symlog,
)

NAT = "nat"
PERCENT = "percent"  # a share ends at 100: its surface needs no logarithm
# A log scale leaves out its lowest points, at most FEW of all, if they take more than MUCH of its
# decades, and more than LEAST_DECADES.
FEW, MUCH, LEAST_DECADES = 0.01, 1 / 3, 2.0


@dataclass(frozen=True)
class Heights:
    """The map from the values of a quantity to heights."""

    kind: str = "linear"  # linear, log or symlog
    floor: float = 0.0  # added to a value before its logarithm
    low: float | None = None  # the surface is cut off below this value
    high: float | None = None  # the surface is cut off above this value
    threshold: float = 1.0  # magnitude from which on symlog is logarithmic

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the heights of values, NaN where a value has none."""
        if self.kind == "symlog":
            return to_symlog(values, self.threshold)
        if self.kind == "linear":
            return np.where(np.isfinite(values), values, np.nan)
        moved = values + self.floor
        there = np.isfinite(moved) & (moved > 0)
        return np.log10(moved, where=there, out=np.full(np.shape(values), np.nan))

    def values(self, heights: np.ndarray) -> np.ndarray:
        """Return the values that have these heights."""
        if self.kind == "symlog":
            return from_symlog(heights, self.threshold)
        return heights if self.kind == "linear" else np.power(10.0, heights) - self.floor

    @property
    def ends(self) -> tuple[float, float]:
        """Return the heights at which the surface is cut off; infinite for no cut."""
        low = -np.inf if self.low is None else float(self._at(self.low, -np.inf))
        return low, np.inf if self.high is None else float(self._at(self.high, np.inf))

    def _at(self, value: float, otherwise: float) -> float:
        height = float(self.of(np.array([value]))[0])
        return height if np.isfinite(height) else otherwise

    def word(self, quantity: str, unit: str = "1") -> str:
        """Return the height as a formula, such as ``log10(train_loss + 0.1 nat)``."""
        if self.kind == "linear":
            return quantity
        unit = "" if unit == "1" else f" {unit}"
        return f"{self.kind.replace('log', 'log10')}({quantity}{self._offset(unit)})"

    def _offset(self, unit: str) -> str:
        return f" + {self.floor:g}{unit}" if self.floor else ""


LINEAR = Heights()


def choose_heights(
    values: Sequence[np.ndarray],
    unit: str,
    *,
    kind: str | None = None,
    ends: Ends = NO_ENDS,
) -> Heights:
    """Choose one map to heights for all surfaces that stand together.

    Without an upper end, heights end where an outlier would flatten the rest: see find_common.

    Args:
        values: One quantity of each surface, in any shape; only finite values count.
        unit: Unit of the quantity.
        kind: linear, log or symlog. None chooses log10(loss + 0.1 nat) for values in nat without
            negative ones, if some are above 0.1; log10(value + a power of ten) for values in other
            units, except percent, whose flat picture is logarithmic; symlog for widely spread
            values that are not all positive; otherwise linear.
        ends: Values below and above which surfaces are cut off.
    """
    heights = choose_kind(values, unit, kind, ends)
    common = find_common([_from_start(array, heights) for array in values], heights.kind)
    return heights if any(common.alone) else end_at(common.end, heights)


def choose_each(
    values: Sequence[np.ndarray],
    unit: str,
    *,
    kind: str | None = None,
    ends: Ends = NO_ENDS,
) -> list[Heights]:
    """Choose heights for surfaces that stand together, and others for those too far from the rest.

    Args:
        values: As for choose_heights.
        unit: Unit of the quantity.
        kind: As for choose_heights.
        ends: Values below and above which surfaces are cut off. An upper one is for all surfaces.

    Returns:
        The heights of each surface; those with a common scale have the same object.
    """
    heights = choose_kind(values, unit, kind, ends)
    if heights.high is not None:
        return [heights] * len(values)
    common = find_common([_from_start(array, heights) for array in values], heights.kind)
    shared = end_at(common.end, heights)
    return [
        _end_alone(array, heights) if is_alone else shared
        for array, is_alone in zip(values, common.alone, strict=True)
    ]


def _end_alone(values: np.ndarray, heights: Heights) -> Heights:
    """Return heights of the same kind for one surface alone, another object than these."""
    own = [_from_start(values, heights)]
    return end_at(find_common(own, heights.kind).end, replace(heights))


def _from_start(values: np.ndarray, heights: Heights) -> np.ndarray:
    return np.maximum(heights.of(values), heights.ends[0])


def choose_kind(
    values: Sequence[np.ndarray], unit: str, kind: str | None = None, ends: Ends = NO_ENDS
) -> Heights:
    """Choose heights for surfaces that stand together, without an upper end of our choice.

    Args:
        values: As for choose_heights, like all others.
        unit: Unit of the quantity.
        kind: linear, log or symlog; None chooses from unit and values.
        ends: Values below and above which surfaces are cut off.
    """
    low, high = ends
    finite = np.concatenate([array[np.isfinite(array)].ravel() for array in values])
    if kind is None and unit == NAT and finite.size and finite.min() >= 0 and finite.max() > IN_NAT:
        return Heights("log", IN_NAT, low, high)
    if kind is None:
        body = body_of(values)
        is_positive = finite.size > 0 and finite.min() > 0
        if unit != PERCENT and is_positive and kind_of_each(values) == "log":
            floor = offset_below(body)
            return Heights("log", floor if body.min() < floor else 0.0, low, high)
        kind = "symlog" if body.size and suits_symlog(body) else "linear"
    if kind == "log" and finite.size and finite.max() <= 0:
        kind = "symlog"
    threshold = choose_threshold(body_of(values)) if kind == "symlog" else 1.0
    if low is None and kind != "log":
        low = start_of(values)
    return Heights(kind, 0.0, low, high, threshold)


def start_of(values: Sequence[np.ndarray]) -> float | None:
    """Return the value below which outliers would flatten the rest, None without such outliers.

    Args:
        values: One quantity of each surface, in any shape; only finite values count.
    """
    finite = [array[np.isfinite(array)] for array in values]
    lowest = min((array.min() for array in finite if array.size), default=0.0)
    body = body_of(values)
    return -_rounded_up(-float(body.min())) if body.size and body.min() > lowest else None


def log_start_of(values: Sequence[np.ndarray]) -> float | None:
    """Return the value below which few points take much of a log scale; None if none do.

    It is a power of ten. In each surface at most one point in a hundred lies below it, or a single
    point of a small surface.

    Args:
        values: One quantity of each surface, in any shape; only finite positive values count.
    """
    positive = [array[np.isfinite(array) & (array > 0)] for array in values]
    positive = [array for array in positive if array.size]
    if not positive:
        return None
    lowest, highest = (
        math.log10(end([end(array) for array in positive])) for end in (np.min, np.max)
    )
    start = math.floor(math.log10(min(_above_few(array) for array in positive)))
    is_much = start - lowest > max(MUCH * (highest - lowest), LEAST_DECADES)
    return float(f"1e{start}") if is_much else None


def _above_few(values: np.ndarray) -> float:
    rank = min(max(int(FEW * values.size), 1), values.size - 1)
    return float(np.partition(values, rank)[rank])


def _rounded_up(value: float) -> float:
    """Return a value of two digits that is as large or larger."""
    step = 10.0 ** (math.floor(math.log10(abs(value) or 1.0)) - 1)
    return float(f"{step * math.ceil(value / step - 1e-9):.6g}")


def end_at(end: float | None, heights: Heights) -> Heights:
    """Return heights that end at a height, rounded up to a value of two digits.

    Args:
        end: The height; None for heights as they are.
        heights: The heights; an upper end that they have remains.
    """
    if end is None or heights.high is not None:
        return heights
    return replace(heights, high=_rounded_up(float(heights.values(np.array([end]))[0])))


def check_ends(heights: Heights, values: np.ndarray, where: str) -> None:
    """Check that some of a surface lies within --range.

    Args:
        heights: The heights, with their ends.
        values: The quantity, float64, with at least one finite value.
        where: File and quantity, for the message.

    Raises:
        InputError: If all values lie beyond one end.
    """
    finite = values[np.isfinite(values)]
    below = heights.high is not None and heights.high <= finite.min()
    above = heights.low is not None and heights.low >= finite.max()
    if below or above:
        low, high = ("" if end is None else f"{end:g}" for end in (heights.low, heights.high))
        raise InputError(
            f"{where}: --range {low}:{high} leaves nothing of the surface, whose values go from "
            f"{finite.min():g} to {finite.max():g}. Pass a range that overlaps with these."
        )
