"""The scale of a picture: its kind, its range, and its contour levels.

A scale is linear, logarithmic, or symmetric logarithmic: linear up to its threshold on both sides
of zero, and logarithmic beyond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import numpy as np
from matplotlib.ticker import MaxNLocator

from landscape_mpi.errors import InputError

SCALES = ("linear", "log", "symlog")
LOG_FROM_RATIO = 30.0  # linear levels leave a basin this deep empty
SYMLOG_FROM_RATIO = 300.0  # the same, for the ratio of the largest magnitude to the middle one
SYMLOG_DECADES = 6  # largest number on each side: smaller values are drawn linearly
DEFAULT_LEVELS = 12
OUTLIER = 1e6  # times the magnitude that nine tenths of the values do not exceed
DIVERGED = 18  # decades above the median magnitude: larger values are outliers, however many
CONSTANT_WITHIN = 1e-12  # of the largest magnitude: smaller differences are rounding

# Mantissas of rising density; the sparsest gives one level per several decades.
MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


Ticks = Callable[[float, float, int], np.ndarray]  # of low, high, and about how many
Ends = tuple[float | None, float | None]  # ends of the colours; None for those of the values
NO_ENDS: Ends = (None, None)


@dataclass(frozen=True)
class ScaleRequest:
    """The requested parts of a scale; the usual ones replace those that are left open."""

    kind: str | None = None  # one of SCALES
    levels: int | list[float] | None = None  # about how many, or the levels themselves
    ends: Ends = NO_ENDS  # of the colours

    @property
    def has_levels(self) -> bool:
        """Say whether the levels themselves are given, not only their number."""
        return isinstance(self.levels, list)


USUAL = ScaleRequest()
# A note on the scale of one of several quantities.
OVER_ALL = "drawn over its whole range, because --range does not suit its values"


@dataclass(frozen=True)
class Scale:
    """The colours and levels of a quantity."""

    kind: str  # one of SCALES
    low: float  # smallest value that is drawn
    high: float  # largest value that is drawn
    levels: np.ndarray  # float64 [n], rising; inside (low, high) unless they are given
    bands: np.ndarray  # float64 [n + 2], the levels and an end on either side
    n_floored: int = 0  # zero or negative values, drawn at low on a log scale
    threshold: float = 1.0  # magnitude from which on a symmetric log scale is logarithmic
    clipped: tuple[float, float] | None = None  # ends of the colours; None: low and high
    leaves_few: bool = False  # whether our choice of clipped leaves out the few lowest values
    notes: tuple[str, ...] = ()  # options that do not suit the values, in words

    @property
    def is_constant(self) -> bool:
        """Say whether all values are equal, within rounding."""
        return is_constant(self.low, self.high)

    @property
    def log(self) -> bool:
        """Say whether the scale is logarithmic."""
        return self.kind == "log"

    def height(self, values: np.ndarray) -> np.ndarray:
        """Return the heights at which values are drawn: their log10 on a log scale."""
        if self.kind == "symlog":
            return to_symlog(values, self.threshold)
        return np.log10(values) if self.log else values

    def value(self, heights: np.ndarray) -> np.ndarray:
        """Return the values that are drawn at these heights."""
        if self.kind == "symlog":
            return from_symlog(heights, self.threshold)
        return np.power(10.0, heights) if self.log else heights


def make_scale(
    values: np.ndarray,
    *,
    where: str,
    kind: str | None = None,
    levels: int | list[float] | None = None,
    ends: Ends = NO_ENDS,
    usual: Sequence[float] = (),
    threshold: float | None = None,
    option: str = "--levels",
) -> Scale | None:
    """Choose the scale for values; return None if none is finite.

    The colours end at the given ends, or else at the first and the last given level.

    Args:
        values: The quantity; only finite values count.
        where: File and quantity, for messages.
        kind: One of SCALES; None chooses from the values.
        levels: About how many levels, or the levels themselves; None for DEFAULT_LEVELS.
        ends: Ends of the colours.
        usual: Rising levels to use if none are given; empty for round values between the ends.
        threshold: Magnitude from which on a symmetric log scale is logarithmic; None chooses from
            the values.
        option: The option that gives the levels, for messages.

    Raises:
        InputError: If a log scale has no positive value, no given level is in the range of the
            values, or the ends lie beyond them.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    kind = kind or choose_kind(finite)
    shown = finite[finite > 0] if kind == "log" else finite
    if shown.size == 0:
        raise InputError(
            f"{where}: --log needs positive values; the largest is {finite.max():g}. "
            "Draw it with --linear or --symlog."
        )
    low, high = float(shown.min()), float(shown.max())
    if kind != "symlog":
        threshold = 1.0
    elif threshold is None:
        threshold = choose_threshold(shown)
    bare = Scale(kind, low, high, np.empty(0), _around(low), finite.size - shown.size, threshold)
    if isinstance(levels, list) and not _has_inside(shown, levels):
        given = ", ".join(f"{level:g}" for level in levels)
        raise InputError(
            f"{where}: no level of {option} {given} lies in its range, {low:g} to {high:g}, so "
            "the picture would be empty. Pass levels inside it, a number of levels, or name one "
            "--quantity."
        )
    clipped = _clipped(bare, levels, _checked_ends(bare, ends, where))
    return _with_levels(replace(bare, clipped=clipped), levels, ends, usual)


def _checked_ends(scale: Scale, ends: Ends, where: str) -> Ends:
    """Return the ends, after checking that the scale can show some value between them.

    Raises:
        InputError: If it cannot.
    """
    low, high = ends
    asked = ":".join("" if end is None else f"{end:g}" for end in ends)
    if scale.log and any(end is not None and end <= 0 for end in ends):
        raise InputError(
            f"{where}: --range {asked} reaches {min(e for e in ends if e is not None):g}, but a "
            "logarithmic scale has only values above 0. Pass ends above 0, or --linear."
        )
    if (low is not None and high is None and low >= scale.high) or (
        high is not None and low is None and high <= scale.low
    ):
        raise InputError(
            f"{where}: --range {asked} contains none of its values, {scale.low:g} to "
            f"{scale.high:g}. Pass both ends, or one inside them."
        )
    return ends


def _clipped(
    scale: Scale, levels: int | list[float] | None, ends: Ends
) -> tuple[float, float] | None:
    """Return the ends of the colours: as given, or else the first and the last given level."""
    outer: Ends = NO_ENDS
    if isinstance(levels, list):
        given = _drawable(scale, levels)
        outer = (given[0], given[-1]) if len(given) > 1 else NO_ENDS
    low, high = (end if end is not None else far for end, far in zip(ends, outer, strict=True))
    if low is None and high is None:
        return None
    clipped = scale.low if low is None else low, scale.high if high is None else high
    return clipped if clipped[0] < clipped[1] else None


def _with_levels(
    scale: Scale, levels: int | list[float] | None, ends: Ends, usual: Sequence[float]
) -> Scale:
    """Return the scale with its levels and bands."""
    if isinstance(levels, list) or (levels is None and usual):
        inner = np.array(_drawable(scale, levels if isinstance(levels, list) else usual))
        outer = [min(scale.low, inner[0]), *inner, max(scale.high, inner[-1])]
        return replace(scale, levels=inner, bands=np.unique(outer))
    low, high = scale.clipped or (scale.low, scale.high)
    between = replace(scale, low=low, high=high)
    inner, bands = _levels_between(between, _ticks_of(between), levels or DEFAULT_LEVELS)
    # A line marks each given end of the colours.
    given = [end for end in ends if end is not None and scale.clipped and end in scale.clipped]
    return replace(scale, levels=np.union1d(inner, given), bands=bands)


def _drawable(scale: Scale, levels: Sequence[float]) -> list[float]:
    return [level for level in levels if level > 0 or not scale.log]


def give_way(finite: np.ndarray, asked: ScaleRequest) -> tuple[ScaleRequest, list[str]]:
    """Replace the options for several quantities that do not suit the values of one of them.

    A symmetric scale replaces a log scale, levels of our choice replace given ones, and the
    range of the values replaces a given range.

    Args:
        finite: The finite values.
        asked: The requested scale.

    Returns:
        The scale to request for these values, and notes about the options that were replaced.
    """
    kind, levels, ends = asked.kind, asked.levels, asked.ends
    notes: list[str] = []
    if kind == "log" and finite.max() <= 0:
        kind = "symlog"
        notes.append("drawn with --symlog, because --log needs positive values")
    if isinstance(levels, list) and not _has_inside(finite, levels):
        levels = None
        notes.append("drawn with other levels, because none of --levels is in its range")
    low, high = ends
    below_0 = kind == "log" and any(end is not None and end <= 0 for end in ends)
    if (
        below_0
        or (low is not None and low >= finite.max())
        or (high is not None and high <= finite.min())
    ):
        ends = NO_ENDS
        notes.append(OVER_ALL)
    return ScaleRequest(kind, levels, ends), notes


def _has_inside(finite: np.ndarray, levels: list[float]) -> bool:
    low, high = finite.min(), finite.max()
    return low == high or any(low < level < high for level in levels)


def is_constant(low: float, high: float) -> bool:
    """Say whether the ends of values are equal, within rounding."""
    return bool(high - low <= CONSTANT_WITHIN * max(abs(low), abs(high)))


def bands_within(scale: Scale) -> np.ndarray:
    """Return the rising ends of the bands that have colours of their own, float64 [n]."""
    if scale.clipped is None:
        return scale.bands
    low, high = scale.clipped
    return np.array([low, *(level for level in scale.levels if low < level < high), high])


def without_clipping(scale: Scale) -> Scale:
    """Return a scale over all its values, with levels of our choice if colours were clipped."""
    if scale.clipped is None:
        return scale
    return _with_levels(replace(scale, clipped=None), None, NO_ENDS, ())


def choose_kind(finite: np.ndarray) -> str:
    """Choose the kind of scale for values, one of SCALES."""
    if suits_log(finite):
        return "log"
    return "symlog" if suits_symlog(finite) else "linear"


def suits_log(finite: np.ndarray) -> bool:
    """Say whether a log scale suits the values: all positive, and widely spread."""
    low, high = finite.min(), finite.max()
    return bool(low > 0 and high / LOG_FROM_RATIO > low)


def suits_symlog(finite: np.ndarray) -> bool:
    """Say whether a symmetric log scale suits the values: not all positive, and widely spread."""
    magnitudes = np.abs(finite[finite != 0])
    if finite.min() > 0 or magnitudes.size == 0:
        return False
    return bool(magnitudes.max() / SYMLOG_FROM_RATIO > np.median(magnitudes))


def kind_of_each(each: Sequence[np.ndarray]) -> str:
    """Return a kind of scale that some surface asks for and that suits all of them.

    Args:
        each: One quantity of each surface; only finite values count, outliers do not.
    """
    finite = [values[np.isfinite(values)] for values in each]
    bodies = [without_outliers(values) for values in finite if values.size]
    if any(map(suits_log, bodies)):
        return "log" if min(values.min() for values in bodies) > 0 else "linear"
    return "symlog" if any(map(suits_symlog, bodies)) else "linear"


def without_outliers(finite: np.ndarray) -> np.ndarray:
    """Return values without those so far from 0 that all others would have one colour.

    Values of a loss that overflows, to 1e36 for example, are outliers on less than half of a plane.
    """
    middle, usual = map(float, np.quantile(np.abs(finite), [0.5, 0.9]))
    if usual == 0:
        return finite
    limit = OUTLIER * usual if middle == 0 else min(OUTLIER * usual, 10.0**DIVERGED * middle)
    return finite[np.abs(finite) <= limit]


def body_of(each: Sequence[np.ndarray]) -> np.ndarray:
    """Return the finite values of several surfaces without the outliers of each, float64 [n]."""
    finite = [values[np.isfinite(values)] for values in each]
    bodies = [without_outliers(values) for values in finite if values.size]
    return np.concatenate([np.empty(0), *bodies])


def choose_threshold(finite: np.ndarray) -> float:
    """Return the magnitude from which on a symmetric log scale of these values is logarithmic.

    The threshold is a power of ten that a tenth of the values do not reach, and at most
    SYMLOG_DECADES below the largest.
    """
    magnitudes = np.abs(finite[finite != 0])
    if magnitudes.size == 0:
        return 1.0
    small = math.floor(math.log10(float(np.quantile(magnitudes, 0.1))))
    large = math.ceil(math.log10(float(magnitudes.max())))
    # Read from text: 10.0**250 is not the nearest number to 1e250.
    return float(f"1e{max(small, large - SYMLOG_DECADES, -300)}")


def to_symlog(values: np.ndarray, threshold: float) -> np.ndarray:
    """Return v / threshold up to the threshold, 1 + log10 of that beyond, with the sign of v."""
    scaled = np.abs(values) / threshold
    return np.sign(values) * np.where(scaled > 1, 1 + np.log10(np.maximum(scaled, 1)), scaled)


def from_symlog(heights: np.ndarray, threshold: float) -> np.ndarray:
    """Return the values for heights from to_symlog."""
    far = np.abs(heights)
    beyond = np.power(10.0, np.maximum(far, 1) - 1)
    return np.sign(heights) * threshold * np.where(far > 1, beyond, far)


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
    """Return a number as a mantissa times a power of ten, in mathtext."""
    mantissa, exponent = f"{Decimal(text).normalize():e}".split("e")
    if int(exponent) == 0 or mantissa == "0":
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    if mantissa in {"1", "-1"}:
        return f"${mantissa[:-1]}{power}$"
    return rf"${mantissa}\times {power}$"


def _levels_between(scale: Scale, ticks_of: Ticks, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels inside the ends of a scale, and the bands between levels and ends."""
    low, high = scale.low, scale.high
    if scale.is_constant:
        return np.empty(0), _around(low)
    ticks = ticks_of(low, high, levels)
    # A tick within rounding of an end is that end, not a level.
    rounding = 1e-9 * (high - low)
    from_low = low * (1 + 1e-9) if scale.log else low + rounding
    inner = ticks[(ticks > from_low) & (ticks < high - rounding)]
    if len(inner) == 0:
        inner = np.array([math.sqrt(low) * math.sqrt(high) if scale.log else low / 2 + high / 2])
    bottom = min([low, *ticks[ticks <= from_low][-1:]])
    top = max([high, *ticks[ticks >= high - rounding][:1]])
    return inner, np.array([bottom, *inner, top])


def _ticks_of(scale: Scale) -> Ticks:
    """Return a function that chooses the round values of a scale."""
    if scale.kind == "symlog":
        return partial(_symlog_ticks, threshold=scale.threshold)
    return _log_ticks if scale.log else _linear_ticks


def _around(value: float) -> np.ndarray:
    margin = 0.1 * abs(value) or 1.0
    return np.array([value - margin, value + margin])


def _linear_ticks(low: float, high: float, n: int) -> np.ndarray:
    return np.asarray(MaxNLocator(n + 1, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))


def _log_ticks(low: float, high: float, n: int) -> np.ndarray:
    """Return about n round values, evenly spaced in the logarithm, from below low to above high."""
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


def _symlog_ticks(low: float, high: float, n: int, *, threshold: float) -> np.ndarray:
    """Return about n ticks: zero, and round values beyond the threshold on both sides."""
    ends = to_symlog(np.array([low, high]), threshold)
    if max(abs(low), abs(high)) <= threshold:
        return _linear_ticks(low, high, n)
    beyond = [max(float(end), 1.0) - 1.0 for end in (-ends[0], ends[1])]
    decades = sum(beyond)
    share = max(1, round(n * max(beyond) / decades) - 1)
    far = _log_ticks(threshold, max(abs(low), abs(high)), share)
    far = far[far >= threshold * (1 - 1e-9)]
    sides = [-far[::-1]] * (low < 0) + [np.zeros(1)] + [far] * (high > 0)
    return np.concatenate(sides)
