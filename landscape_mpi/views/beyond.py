"""Words for the values beyond the ends of the colours, or beyond a cut: how many, and how far."""

from __future__ import annotations

import numpy as np

from landscape_mpi.views.number_text import number_text
from landscape_mpi.views.panel import Panel

BEYOND = 1e-9  # of the end of the colours: closer values are rounding


def words_beyond(panel: Panel, *, short: bool = False) -> list[str]:
    """Return which share of the points lies beyond the colours or the cut, and how far values go.

    An infinite value lies beyond; NaN does not count.

    Args:
        panel: The quantity that is drawn.
        short: Leave out the words "of the plane is" or "of the line is".

    Returns:
        A sentence for each side that has such points.
    """
    ends = _ends_of(panel)
    if ends is None:
        return []
    values = panel.values[panel.computed & ~np.isnan(panel.values)]
    finite = values[np.isfinite(values)]
    low, high = ends
    is_cut = panel.standing is not None and not panel.standing.lid
    place = "" if short else f" of the {'line' if panel.surface.is_line else 'plane'} is"
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
            share = f"{_percent(is_beyond)} %{place} {word} {number_text(end)}{unit}{reach}"
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


def _percent(is_beyond: np.ndarray) -> str:
    """Return the share of true entries in percent, 0 or 100 only if that is exact."""
    percent = 100.0 * float(is_beyond.mean())
    if 99.0 < percent < 100.0:
        return "over 99"
    return f"{percent:.0f}" if percent >= 1 else f"{percent:.1g}"
