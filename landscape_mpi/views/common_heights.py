"""The heights that surfaces share where they stand together, so that no outlier flattens the rest.

One corner of 261,246 nat would press five surfaces of 300 nat into the lower half of their boxes.
So the shared heights end where those of the other surfaces end, and the few points above are cut
off. A surface that has nothing in common with the others keeps heights of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.views.levels import DIVERGED, without_outliers

# Times the span of the surface whose top is the middle one. A wider surface is cut, if KEPT of it
# remains.
FLATTENS, FLATTENS_LINEAR = 1.6, 10.0
APART, APART_LINEAR = 4.0, 100.0  # wider than this and not to be cut: heights of its own
KEPT = 0.85  # at least this share of the points of a surface is not cut for others
WORTH = 0.8  # and at most this share of the common height: less would hide more than it shows
LEAST_SPAN = 1.0  # decade: surfaces flatter than this are not the measure of the others
# Even a single surface is cut above BODY times the span of the lowest MOST_OF_BODY of its points,
# but never within LEAST_BODY decades of its lowest point. Above DIVERGED decades, the span of the
# lowest half of its points counts instead.
BODY, LEAST_BODY, MOST_OF_BODY = 2.0, 4.0, 0.75


@dataclass(frozen=True)
class Common:
    """The common part of the heights of several surfaces."""

    end: float | None  # height above which all are cut off; None for no cut
    alone: tuple[bool, ...]  # by surface: whether it has heights of its own


@dataclass(frozen=True)
class _Span:
    """The heights of one surface."""

    low: float
    high: float  # end of its body
    most: float  # KEPT of its points are not higher
    top: float  # of its highest point

    @property
    def size(self) -> float:
        return self.high - self.low

    def beside(self, other: _Span, floor: float, high: float) -> float:
        """Return the span from a floor that holds another surface too, and this up to a height."""
        return max(high, other.high) - min(floor, self.low, other.low)


def find_common(heights: Sequence[np.ndarray], kind: str) -> Common:
    """Find the end of the heights that surfaces share, and the surfaces that share none.

    Args:
        heights: Heights of each surface, in any shape; only finite ones count.
        kind: Kind of the heights: linear, log or symlog.
    """
    is_linear = kind == "linear"
    spans = [_span_of(each[np.isfinite(each)], is_linear) for each in heights]
    known = sorted((s for s in spans if s is not None and s.size > 0), key=lambda s: s.high)
    if not known:
        return Common(None, tuple(False for _ in spans))
    middle = known[(len(known) - 1) // 2]
    unit = middle.size if is_linear else max(middle.size, LEAST_SPAN)
    limits = (FLATTENS_LINEAR, APART_LINEAR) if is_linear else (FLATTENS, APART)
    # Logarithms of losses have a common floor; other heights may have outliers below.
    floor = min(span.low for span in known) if kind == "log" else math.inf
    widest = unit * limits[0], unit * limits[1]
    ends = [None if span is None else _end_beside(span, middle, floor, *widest) for span in spans]
    sharing = [
        (span, end) for span, end in zip(spans, ends, strict=True) if span and end is not None
    ]
    alone = tuple(span is not None and end is None for span, end in zip(spans, ends, strict=True))
    if not sharing:  # far apart from one another
        return Common(None, alone)
    end = max(end for _, end in sharing)
    return Common(end if any(span.top > end for span, _ in sharing) else None, alone)


def _end_beside(
    span: _Span, middle: _Span, floor: float, flattens: float, apart: float
) -> float | None:
    """Return the height up to which a surface should be seen beside the middle one.

    Returns:
        None if it would flatten the other even if it were cut.
    """
    if span.beside(middle, floor, span.high) <= flattens:
        return span.high
    cut = span.beside(middle, floor, span.most)
    if cut <= min(flattens, WORTH * span.beside(middle, floor, span.top)):
        return span.most
    return span.high if span.beside(middle, floor, span.high) <= apart else None


def _span_of(finite: np.ndarray, is_linear: bool) -> _Span | None:
    if not finite.size:
        return None
    shares = [0.0, 0.5, MOST_OF_BODY, KEPT, 1.0]
    low, half, body, most, top = map(float, np.quantile(finite, shares))
    if is_linear:
        high = float(without_outliers(finite).max())
    else:
        fence = max(BODY * (body - low), LEAST_BODY)
        fence = low + min(fence, max(BODY * (half - low), DIVERGED))
        high = top if top <= fence else float(finite[finite <= fence].max())
    return _Span(low, high, min(most, high), top)
