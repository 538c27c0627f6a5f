"""The scale of a quantity, chosen here for all pictures, films and pages.

The colours of a cross-entropy go from 0 to a multiple of guessing: it is the same for any two
surfaces of one task, and the extremes of a plane are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.areas import areas_of, share_of
from landscape_mpi.views.common_heights import Common, find_common
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.views.heights import Heights, end_at, log_start_of, start_of
from landscape_mpi.views.levels import (
    NO_ENDS,
    USUAL,
    Ends,
    Scale,
    ScaleRequest,
    body_of,
    choose_threshold,
    give_way,
    kind_of_each,
    make_scale,
)

GUESSES = 10.0 / math.log(10.0)  # colours end at this multiple of guessing: 10 nat for 10 classes
LEAST_BELOW = 0.3  # of the plane: if less lies below that end, the scale is logarithmic
FIRST_LEVELS = (0.1, 0.5, 1.0)  # nat; those below the first round level are used
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MOST_LEVELS = 10
FEW_LINES = 3  # levels between the values: with fewer, others are added
FURTHER_LINES = 8
FEW_COLORS = 0.1  # of that end: lower values would all have one colour


@dataclass(frozen=True)
class DefaultScale:
    """The way in which the values of a quantity are drawn."""

    kind: str  # kind of the colours in flat pictures, one of levels.SCALES
    threshold: float  # magnitude from which on a symmetric log scale is logarithmic
    top: float | None = None  # where colours from 0 end; None: both ends are the values'
    levels: tuple[float, ...] = ()  # contour lines; none: round values between the ends


def scales_of(
    surfaces: Sequence[Surface],
    name: str,
    asked: ScaleRequest = USUAL,
    *,
    where: str,
    gives_way: bool = False,
) -> list[Scale | None]:
    """Return the scale of each surface; those that share one have the same object.

    All share it if its ends are given or come from the task. Otherwise find_common decides, as it
    does for heights: a surface that would flatten the others has a scale of its own, of their kind.

    Args:
        surfaces: The surfaces as read; all have the quantity.
        name: Name of the quantity.
        asked: The requested scale.
        where: Files and quantity, for messages.
        gives_way: Whether the request is for several quantities; see scale_of.

    Returns:
        A scale for each surface, None if no value is finite.
    """
    whole = scale_of(surfaces, name, asked, where=where, gives_way=gives_way)
    if whole is None or whole.clipped is not None or asked.has_levels:
        return [whole] * len(surfaces)
    each = [_values_of(surface, name) for surface in surfaces]
    start = _start_of(surfaces, name, whole.kind)
    alone = _common_colors(each, Heights(whole.kind, 0.0, start, threshold=whole.threshold)).alone
    if not any(alone):
        return [whole] * len(surfaces)
    choose = partial(
        scale_of,
        name=name,
        asked=ScaleRequest(whole.kind, asked.levels),
        where=where,
        threshold=whole.threshold,
        notes=whole.notes,
    )
    sharing = [surface for surface, is_alone in zip(surfaces, alone, strict=True) if not is_alone]
    is_drawn = whole.kind != "log" or any((_values_of(s, name) > 0).any() for s in sharing)
    shared = choose(sharing) if sharing and is_drawn else whole
    return [
        choose([surface]) if is_alone else shared
        for surface, is_alone in zip(surfaces, alone, strict=True)
    ]


def _common_colors(each: Sequence[np.ndarray], heights: Heights) -> Common:
    """Find the common part of the colours of surfaces, which are their heights on a scale."""
    return find_common([np.maximum(heights.of(v), heights.ends[0]) for v in each], heights.kind)


def _start_of(surfaces: Sequence[Surface], name: str, kind: str) -> float | None:
    """Return the value below which few points would take much of the colours, or None."""
    each = [_values_of(surface, name) for surface in surfaces]
    if kind != "log":
        return start_of(each)
    # The axis of a line has room for its lowest points.
    return None if any(surface.is_line for surface in surfaces) else log_start_of(each)


def scale_of(
    surfaces: Sequence[Surface],
    name: str,
    asked: ScaleRequest = USUAL,
    *,
    where: str,
    gives_way: bool = False,
    threshold: float | None = None,
    notes: Sequence[str] = (),
) -> Scale | None:
    """Return the scale that surfaces share for a quantity, or None if no value is finite.

    Args:
        surfaces: The surfaces as read; all have the quantity.
        name: Name of the quantity.
        asked: The requested scale.
        where: Files and quantity, for messages.
        gives_way: Whether the request is for several quantities. Then an option that does not suit
            this one is replaced, and the notes of the scale say so; otherwise it is refused.
        threshold: Magnitude from which on a symmetric log scale is logarithmic; None for the usual.
        notes: Notes of the scale, beside those on options that were replaced.

    Raises:
        InputError: If the options do not suit the values.
    """
    each = [_values_of(surface, name) for surface in surfaces]
    values = np.concatenate(each)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    if gives_way:
        asked, notes = give_way(finite, asked)
    kind, ends = asked.kind, asked.ends
    lines: tuple[float, ...] = ()
    is_ours = kind is None and not asked.has_levels and ends == NO_ENDS
    usual = default_scale(surfaces, name)
    threshold = threshold or usual.threshold
    if kind is None:
        kind, ends, lines = _fill_in(usual, asked)
    leaves_few = False
    if not lines and not asked.has_levels:
        heights = Heights(kind, 0.0, _start_of(surfaces, name, kind), threshold=threshold)
        given, ends = ends, _end_at_outliers(each, heights, ends)
        leaves_few = kind == "log" and ends[0] != given[0]
    scale = make_scale(
        values,
        where=where,
        kind=kind,
        levels=asked.levels,
        ends=ends,
        usual=lines,
        threshold=threshold,
    )
    if scale is not None and is_ours and scale.clipped is not None:
        scale = _with_some_lines(scale, finite, where)
    return scale and replace(scale, leaves_few=leaves_few, notes=tuple(notes))


def _values_of(surface: Surface, name: str) -> np.ndarray:
    return surface.values[name][surface.done_of[name]]


def _end_at_outliers(each: Sequence[np.ndarray], heights: Heights, ends: Ends) -> Ends:
    """Return ends, with others where outliers would flatten the rest, if they are not given."""
    low, high = ends
    common = _common_colors(each, heights)
    if any(common.alone):
        return ends
    start, end = heights.low, end_at(common.end, heights).high
    if low is None and start is not None and (high is None or start < high):
        low = start
    if high is None and end is not None and (low is None or low < end):
        high = end
    return low, high


def _fill_in(usual: DefaultScale, asked: ScaleRequest) -> tuple[str, Ends, tuple[float, ...]]:
    """Return kind, ends and lines, from the usual scale where the request leaves them open."""
    low, high = asked.ends
    if usual.top is None:
        has_0 = any(end is not None and end <= 0 for end in asked.ends)
        return ("linear" if usual.kind == "log" and has_0 else usual.kind), asked.ends, ()
    if asked.has_levels:
        return usual.kind, asked.ends, ()
    low = 0.0 if low is None else low
    if high is None and low < usual.top:
        high = usual.top
    lines = levels_to(high) if high is not None and low == 0 else []
    return usual.kind, (low if high is not None else asked.ends[0], high), tuple(lines)


def _with_some_lines(scale: Scale, finite: np.ndarray, where: str) -> Scale:
    """Return the scale with further lines if few of its lines lie between the values."""
    inside = (scale.levels > scale.low) & (scale.levels < scale.high)
    own = make_scale(finite, where=where, levels=FURTHER_LINES)
    if inside.sum() >= FEW_LINES or scale.is_constant or own is None:
        return scale
    levels = [round_to(level, 9) for level in (*scale.levels, *own.levels)]
    return replace(scale, levels=np.unique(levels))


def default_scale(surfaces: Sequence[Surface], name: str) -> DefaultScale:
    """Return the usual scale of a quantity for all surfaces that have it.

    Args:
        surfaces: The surfaces as read; some may lack the quantity.
        name: Name of the quantity.
    """
    known = [surface for surface in surfaces if name in surface.values]
    computed = [_values_of(surface, name) for surface in known]
    finite = [values[np.isfinite(values)] for values in computed]
    finite = [values for values in finite if values.size]
    if not finite:
        return DefaultScale("linear", threshold=1.0)
    pooled = np.concatenate(finite)
    own = DefaultScale(kind_of_each(finite), choose_threshold(body_of(finite)))
    guesses = [guessing_loss(surface, name) for surface in known]
    if None in guesses or pooled.min() < 0:
        return own
    top = round_to(GUESSES * max(guess for guess in guesses if guess is not None))
    if pooled.max() < FEW_COLORS * top:
        return own
    begun = [surface for surface in known if surface.done_of[name].any()]
    if np.mean([_share_below(surface, name, top) for surface in begun]) < LEAST_BELOW:
        return replace(own, kind="log")
    return DefaultScale("linear", own.threshold, top, tuple(levels_to(top)))


def _share_below(surface: Surface, name: str, top: float) -> float:
    """Return which share of the computed plane has values up to a top, by area."""
    done = surface.done_of[name]
    return share_of(surface.values[name][done] <= top, areas_of(surface)[done])


def levels_to(top: float) -> list[float]:
    """Return round levels up to top: the first ones, and then multiples of one step."""
    rough = top / MOST_LEVELS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in STEPS if size * power >= 0.999 * rough)
    multiples = [round_to(k * step, 6) for k in range(1, math.floor(1.001 * top / step) + 1)]
    return [level for level in FIRST_LEVELS if level < 0.999 * step] + multiples


def round_to(value: float, digits: int = 2) -> float:
    """Round a value to a number of significant digits."""
    return float(f"{value:.{digits}g}")
