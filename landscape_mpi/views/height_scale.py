"""The scale of heights in three dimensions: its ends, and the round values that label it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.views.heights import Heights
from landscape_mpi.views.levels import Scale, make_scale

ABOUT = 4  # levels that label a bar or an axis


@dataclass(frozen=True)
class HeightScale(Scale):
    """The scale of heights: a Scale that adds a number to values before their logarithm."""

    floor: float = 0.0

    def height(self, values: np.ndarray) -> np.ndarray:
        """Return the heights at which values are drawn."""
        return np.log10(values + self.floor) if self.log else super().height(values)

    def value(self, heights: np.ndarray) -> np.ndarray:
        """Return the values that are drawn at these heights."""
        raised = super().value(heights)
        return raised - self.floor if self.log else raised


def scale_of(heights: Heights, values: np.ndarray) -> HeightScale:
    """Return the scale of heights: its ends and the round values that label it.

    Args:
        heights: The heights, with their ends.
        values: Finite values of all surfaces that stand together, float64 [n].
    """
    shown = np.clip(values, heights.low, heights.high)
    floor = heights.floor
    # Losses below the floor are as good as zero: the scale begins there, for any two networks.
    low = 0.0 if floor and shown.min() < floor else None
    marked = np.maximum(shown, floor) if floor else shown
    kind = heights.kind if not floor or marked.max() > floor else "linear"
    found = make_scale(marked, where="", kind=kind, levels=ABOUT)
    assert found is not None
    levels = found.levels
    if low is not None:
        levels = np.array([low, floor, *levels]) if marked.max() > floor else found.levels
    if heights.high is not None and found.high == heights.high:
        levels = np.array([*levels, heights.high])  # where the surface is cut
    return HeightScale(
        heights.kind,
        found.low if low is None else low,
        found.high,
        levels,
        found.bands,
        int((values <= -floor).sum()) if heights.kind == "log" else 0,
        heights.threshold,
        floor=floor,
    )


def levels_on(
    heights: Heights, values: np.ndarray, levels: int | list[float], *, where: str
) -> Scale | None:
    """Return a scale with the levels that are drawn as lines on a surface, without those on a lid.

    Args:
        heights: Heights of the surface, with their ends.
        values: The quantity at its points, float64 [n].
        levels: About how many levels, or the levels themselves.
        where: File and quantity, for messages.

    Raises:
        InputError: If no given level lies in the range.
    """
    shown = np.clip(values[np.isfinite(values)], heights.low, heights.high)
    kind = "log" if heights.kind == "log" and (shown > 0).any() else None
    found = make_scale(shown, where=where, kind=kind, levels=levels, option="--contours")
    if found is None:
        return None
    ends = [-np.inf if heights.low is None else heights.low]
    ends.append(np.inf if heights.high is None else heights.high)
    inside = found.levels[(found.levels > ends[0]) & (found.levels < ends[1])]
    return HeightScale(
        heights.kind,
        found.low,
        found.high,
        inside,
        found.bands,
        threshold=heights.threshold,
        floor=heights.floor,
    )
