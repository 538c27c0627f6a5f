"""The scale on which a quantity is drawn where nobody names one, the same for a whole page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.views.levels import choose_threshold, suits_log, suits_symlog

GUESSES = 10.0 / math.log(10.0)  # colours end at that many times guessing: 10 nat for 10 classes
LEAST_BELOW = 0.3  # of the plane: where less lies below that end, the scale is logarithmic
ADDED = 0.1  # nat: heights in space are log10(loss + ADDED), so that a loss of 0 has one
FIRST_LEVELS = (0.1, 0.5, 1.0)  # nat, as far as they lie below the first round one
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MOST_LEVELS = 10


@dataclass(frozen=True)
class DefaultScale:
    """How the values of a quantity are drawn."""

    kind: str  # of the colours in flat pictures, one of levels.SCALES
    threshold: float  # magnitude from which on a symmetric log scale is logarithmic
    top: float | None = None  # where colours end that begin at 0; None: both ends are the values'
    levels: tuple[float, ...] = ()  # of the contour lines; none: round values between the ends
    added: float | None = None  # heights in space are log10(value + added); None: as the colours


def default_scale(surfaces: Sequence[Surface], name: str) -> DefaultScale:
    """Return the scale of a quantity for all surfaces that have it.

    A cross-entropy has colours from 0 to a multiple of guessing, since that is the same for any two
    surfaces of one task, and the extremes of a plane are not.

    Args:
        surfaces: As read; some may lack the quantity.
        name: Of the quantity.
    """
    known = [surface for surface in surfaces if name in surface.values]
    computed = [surface.values[name][surface.done_of[name]] for surface in known]
    finite = [values[np.isfinite(values)] for values in computed]
    finite = [values for values in finite if values.size]
    if not finite:
        return DefaultScale("linear", threshold=1.0)
    pooled = np.concatenate(finite)
    own = DefaultScale(_kind_of(finite), choose_threshold(pooled))
    guesses = [guessing_loss(surface, name) for surface in known]
    if None in guesses or pooled.min() < 0:
        return own
    top = round_to(GUESSES * max(guess for guess in guesses if guess is not None))
    if np.mean([np.mean(values <= top) for values in computed]) < LEAST_BELOW:
        return DefaultScale("log", own.threshold, added=ADDED)
    return DefaultScale("linear", own.threshold, top, tuple(levels_to(top)), ADDED)


def levels_to(top: float) -> list[float]:
    """Return round levels up to top: the first ones, and then multiples of one step."""
    rough = top / MOST_LEVELS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in STEPS if size * power >= 0.999 * rough)
    multiples = [round_to(k * step, 6) for k in range(1, math.floor(1.001 * top / step) + 1)]
    return [level for level in FIRST_LEVELS if level < 0.999 * step] + multiples


def round_to(value: float, digits: int = 2) -> float:
    """Return a value with so many significant digits."""
    return float(f"{value:.{digits}g}")


def _kind_of(each: Sequence[np.ndarray]) -> str:
    """Return the kind of scale that any surface asks for and all can be drawn on."""
    if any(map(suits_log, each)):
        return "log" if min(values.min() for values in each) > 0 else "linear"
    return "symlog" if any(map(suits_symlog, each)) else "linear"
