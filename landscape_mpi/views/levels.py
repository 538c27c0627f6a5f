"""The scale of a picture: linear or logarithmic, its range, and its contour levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from matplotlib.ticker import MaxNLocator

from landscape_mpi.errors import InputError

LOG_FROM_RATIO = 30.0  # linear levels leave a basin this deep empty
DEFAULT_LEVELS = 12
CONSTANT_WITHIN = 1e-12  # of the largest magnitude: below it, differences are rounding

# Mantissas of rising density; the sparsest is one level per several decades.
MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


@dataclass(frozen=True)
class Scale:
    """What colours and levels a quantity is drawn with."""

    log: bool
    low: float  # smallest value drawn
    high: float  # largest value drawn
    levels: np.ndarray  # float64 [n], rising, inside (low, high); empty if constant
    bands: np.ndarray  # float64 [n + 2], the levels and an end on either side
    n_floored: int  # zero or negative values, drawn at low on a log scale

    @property
    def is_constant(self) -> bool:
        """Say whether all values are equal, within rounding."""
        return len(self.levels) == 0

    def height(self, values: np.ndarray) -> np.ndarray:
        """Return the values as they are drawn: log10 of them on a log scale."""
        return np.log10(values) if self.log else values


def make_scale(
    values: np.ndarray,
    *,
    where: str,
    log: bool | None = None,
    levels: int | list[float] = DEFAULT_LEVELS,
) -> Scale | None:
    """Choose the scale for values, or None if not one of them is finite.

    Args:
        values: The quantity; what is not finite is left out of the choice.
        where: File and quantity, for messages.
        log: Logarithmic or linear; None chooses from the values.
        levels: About how many levels, or the levels themselves.

    Raises:
        InputError: If a log scale has no positive value, or no given level is in the range.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    log = suits_log(finite) if log is None else log
    shown = finite[finite > 0] if log else finite
    if shown.size == 0:
        raise InputError(
            f"{where}: --log needs positive values; the largest is {finite.max():g}. "
            "Draw it with --linear."
        )
    low, high = float(shown.min()), float(shown.max())
    inner, bands = _levels_between(low, high, log=log, levels=levels, where=where)
    return Scale(log, low, high, inner, bands, n_floored=finite.size - shown.size)


def suits_log(finite: np.ndarray) -> bool:
    """Say whether the values ask for a log scale: all positive, and spread widely."""
    low, high = finite.min(), finite.max()
    return bool(low > 0 and high / LOG_FROM_RATIO > low)


def format_levels(levels: np.ndarray) -> list[str]:
    """Return labels for the levels, with as few digits as tell them apart."""
    if len(levels) == 1:
        return [_format_alone(float(levels[0]))]
    for digits in range(1, 17):
        texts = [f"{level:.{digits}g}" for level in levels]
        if all(_agrees(text, level, levels) for text, level in zip(texts, levels, strict=True)):
            break
    magnitudes = np.abs(levels[levels != 0])
    powers = bool(np.any((magnitudes < 1e-4) | (magnitudes >= 1e6)))
    return [_as_power(text) if powers else _as_decimal(float(text)) for text in texts]


def _agrees(text: str, level: float, levels: np.ndarray) -> bool:
    return abs(float(text) - level) <= 0.02 * float(np.diff(levels).min())


def _format_alone(level: float) -> str:
    text = f"{level:.6g}"
    return _as_power(text) if "e" in text else text


def _as_decimal(value: float) -> str:
    return np.format_float_positional(value, trim="-")


def _as_power(text: str) -> str:
    """Return a number as mantissa times a power of ten, in mathtext."""
    mantissa, exponent = f"{Decimal(text).normalize():e}".split("e")
    if int(exponent) == 0 or mantissa == "0":
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    if mantissa in {"1", "-1"}:
        return f"${mantissa[:-1]}{power}$"
    return rf"${mantissa}\times {power}$"


def _levels_between(
    low: float, high: float, *, log: bool, levels: int | list[float], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels inside (low, high), and the bands they and the ends bound."""
    if isinstance(levels, list):
        inner = _given_inside(low, high, levels, where)
        return inner, np.array([low, *inner, high]) if len(inner) else _around(low)
    if high - low <= CONSTANT_WITHIN * max(abs(low), abs(high)):
        return np.empty(0), _around(low)
    ticks = _log_ticks(low, high, levels) if log else _linear_ticks(low, high, levels)
    # A tick within rounding of an end is that end, not a level.
    rounding = 1e-9 * (high - low)
    from_low = low * (1 + 1e-9) if log else low + rounding
    inner = ticks[(ticks > from_low) & (ticks < high - rounding)]
    if len(inner) == 0:
        inner = np.array([math.sqrt(low) * math.sqrt(high) if log else low / 2 + high / 2])
    bottom = min([low, *ticks[ticks <= from_low][-1:]])
    top = max([high, *ticks[ticks >= high - rounding][:1]])
    return inner, np.array([bottom, *inner, top])


def _given_inside(low: float, high: float, levels: list[float], where: str) -> np.ndarray:
    inner = np.array([level for level in levels if low < level < high])
    if len(inner) == 0 and low < high:
        given = ", ".join(f"{level:g}" for level in levels)
        raise InputError(
            f"{where}: no level of --levels {given} lies in its range, {low:g} to {high:g}, so "
            "the picture would be empty. Give levels inside it, a number of levels, or name one "
            "--quantity."
        )
    return inner


def _around(value: float) -> np.ndarray:
    margin = 0.1 * abs(value) or 1.0
    return np.array([value - margin, value + margin])


def _linear_ticks(low: float, high: float, n: int) -> np.ndarray:
    return np.asarray(MaxNLocator(n + 1, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))


def _log_ticks(low: float, high: float, n: int) -> np.ndarray:
    """Return about n round values spaced evenly in the logarithm, reaching past both ends."""
    decades = math.log10(high) - math.log10(low)
    if decades * len(MANTISSAS[-1]) < n / 2:  # less than about a decade
        linear = _linear_ticks(low, high, n)
        return linear[linear > 0]
    fitting = [mantissas for mantissas in MANTISSAS if decades * len(mantissas) <= 1.25 * n]
    mantissas = fitting[-1] if fitting else (1.0,)
    stride = 1 if fitting else math.ceil(decades / n)
    first = stride * (math.floor(math.log10(low)) // stride)
    exponents = range(first, math.ceil(math.log10(high)) + stride + 1, stride)
    # Read from text: 10.0**250 is not the nearest number to 1e250.
    return np.array([float(f"{m}e{k}") for k in exponents for m in mantissas if k < 308])
