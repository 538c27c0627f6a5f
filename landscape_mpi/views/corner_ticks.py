"""Ticks of axes in space that leave the corner nearest to the eye free.

There the labels of two axes meet, and would touch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

NEAR = 0.12  # share of a side that stays free


class CornerFreeLocator(MaxNLocator):
    """Round ticks away from the front corner, for every camera."""

    def __init__(self, axes: Axes3D, turn: float, most: int) -> None:
        """Choose the ticks of one axis of the plane.

        Args:
            axes: The axes, which know their camera.
            turn: Angle from the axis of alpha to this one, degrees: 0 or 90.
            most: Largest number of intervals.
        """
        super().__init__(most, steps=[1, 2, 5, 10])
        self._axes = axes
        self._turn = turn

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks from vmin to vmax; also those near the corner if only one is left."""
        low, high = sorted((vmin, vmax))
        slack = 1e-9 * (high - low)
        ticks = np.asarray(super().tick_values(low, high))
        ticks = ticks[(ticks >= low - slack) & (ticks <= high + slack)]
        faces_us = np.cos(np.radians(self._axes.azim - self._turn)) > 0
        corner = vmax if faces_us else vmin
        free = ticks[np.abs(ticks - corner) > NEAR * (high - low)]
        return free if len(free) > 1 else ticks
