"""Words for the values beyond the ends of the colours, or beyond a cut: how many, and how far.

The share is one of area: points of an unevenly spaced grid stand for cells of different sizes.
"""

from __future__ import annotations

import numpy as np

from landscape_mpi.views.areas import areas_of, share_of
from landscape_mpi.views.number_text import number_text
from landscape_mpi.views.panel import Panel

BEYOND = 1e-9  # of the end of the colours: closer values are rounding


def words_beyond(panel: Panel, *, short: bool = False) -> list[str]:
    """Return which share of the plane lies beyond the colours or the cut, and how far values go.

    An infinite value lies beyond; NaN does not count.

    Args:
        panel: The quantity that is drawn.
        short: Leave out the words "of the plane is", "of the line is" or "of what is computed is".

    Returns:
        A sentence for each side that has such points.
    """
    ends = _ends_of(panel)
    if ends is None:
        return []
    is_known = panel.computed & ~np.isnan(panel.values)
    values, areas = panel.values[is_known], areas_of(panel.surface)[is_known]
    finite = values[np.isfinite(values)]
    low, high = ends
    is_cut = panel.standing is not None and not panel.standing.lid
    place = "" if short else f" of {_whole(panel)} is"
    unit = {"1": "", "": "", "percent": " %"}.get(
        (name := panel.surface.units[panel.name]), f" {name}"
    )
    found = []
    for end, word, far, is_beyond in (
        (high, "above", "up to", values > high + BEYOND * abs(high)),
        (low, "below", "down to", values < low - BEYOND * abs(low)),
    ):
        if is_beyond.any():
            extreme = finite.max(initial=-np.inf) if word == "above" else finite.min(initial=np.inf)
            reaches = extreme > end if word == "above" else extreme < end
            reach = f", {far} {number_text(float(extreme))}" if reaches else ""
            percent = _percent(share_of(is_beyond, areas))
            share = f"{percent} %{place} {word} {number_text(end)}{unit}{reach}"
            found.append(f"{share}{': ' if short else ', and '}cut off" if is_cut else share)
    return found


def _ends_of(panel: Panel) -> tuple[float, float] | None:
    """Return the values at which colours end, or, in three dimensions, the surface."""
    if panel.scale is None:
        return None
    if panel.standing is None:
        return panel.scale.clipped
    low, high = (
        end if np.isinf(end) else float(panel.scale.value(np.array([end]))[0])
        for end in panel.standing.cut_at
    )
    return low, high


def _whole(panel: Panel) -> str:
    if not panel.computed.all():
        return "what is computed"
    return "the line" if panel.surface.is_line else "the plane"


def _percent(share: float) -> str:
    """Return a share in percent, 0 or 100 only if that is exact."""
    percent = 100.0 * share
    if 99.0 < percent < 100.0:
        return "over 99"
    return f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"
