"""The mark of the center on a surface in three dimensions, seen from wherever the camera is.

matplotlib draws a mark over whatever lies in front of it. So if a rim hides the center, the mark
is a pin: it stands on the center, and only the part that rises above the rim is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpl_toolkits.mplot3d.art3d import Line3D  # type: ignore[import-untyped]

from landscape_mpi.views.box import floor_and_top, sides_of_box, terrain_of, visible_heights
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.canvas import CENTER
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.visibility import LEVEL_WITH, clearances

ABOVE_RIM = 0.03  # of the longest side: height over the rim where the drawn part begins
LENGTH = 0.12  # of the longest side: length of the drawn part
PIN: dict[str, Any] = {**CENTER, "color": "black", "linestyle": "-", "linewidth": 1.1}
PIN |= {"markerfacecolor": "white", "markevery": [-1]}


class CenterPin(Line3D):
    """A star at the center, or on a pin where the surface in front would hide it."""

    def __init__(self, panel: Panel, limits: np.ndarray) -> None:
        """Prepare the mark of a surface.

        Args:
            panel: The surface, with its center among the visible points.
            limits: Ranges of the axes, float64 [2, 2].
        """
        assert panel.surface.center is not None
        super().__init__([0.0], [0.0], [0.0], zorder=5, **PIN)
        heights = visible_heights(panel)
        self._terrain = terrain_of(panel, limits)
        floor, top = floor_and_top(panel.scale)
        self._unit = (top - floor) / float(sides_of_box(limits)[2])
        self._lowest = float(np.nanmin(heights))
        self._height = float(heights[panel.surface.center])
        axes = panel.surface.alpha, panel.surface.beta
        shares = np.array([-axis.min() / np.ptp(axis) for axis in axes])
        self._place = (shares * self._terrain.sides)[None]

    def draw(self, renderer: Any) -> None:
        """Draw the mark for the present camera of the axes."""
        feet = self.heights_from(Camera(self.axes.azim, self.axes.elev))
        self.set_data_3d(np.zeros(len(feet)), np.zeros(len(feet)), feet)
        super().draw(renderer)

    def heights_from(self, camera: Camera) -> np.ndarray:
        """Return the height of the mark, or of both ends of the drawn part of the pin."""
        needed = float(clearances(self._terrain, self._place, camera.towards)[0])
        if needed <= (self._height - self._lowest) / self._unit + LEVEL_WITH:
            return np.array([self._height])
        return self._lowest + self._unit * (needed + np.array([ABOVE_RIM, ABOVE_RIM + LENGTH]))
