"""Ticks of axes in space that leave the corner nearest to the eye free.

There the texts of two axes meet, and would touch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

NEAR = 0.12  # share of a side


class CornerFreeLocator(MaxNLocator):
    """Round ticks, none of them near the front corner, from wherever the box is seen."""

    def __init__(self, axes: Axes3D, turn: float, most: int) -> None:
        """Choose the ticks of one axis of the plane.

        Args:
            axes: With the direction that they are seen from.
            turn: Of this axis against that of alpha, degrees: 0 or 90.
            most: Number of intervals.
        """
        super().__init__(most, steps=[1, 2, 5, 10])
        self._axes = axes
        self._turn = turn

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks from vmin to vmax; those near the corner too if one alone is left."""
        low, high = sorted((vmin, vmax))
        slack = 1e-9 * (high - low)
        ticks = np.asarray(super().tick_values(low, high))
        ticks = ticks[(ticks >= low - slack) & (ticks <= high + slack)]
        faces_us = np.cos(np.radians(self._axes.azim - self._turn)) > 0
        corner = vmax if faces_us else vmin
        free = ticks[np.abs(ticks - corner) > NEAR * (high - low)]
        return free if len(free) > 1 else ticks
