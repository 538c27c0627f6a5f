"""Dots at the computed points of a flat picture, if other points were interpolated."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape_mpi.views.panel import Panel

COLOR = "0.1"
SPACING = 0.3  # width of a dot, as a share of the distance between points
SMALLEST, LARGEST = 0.45, 1.6  # typographic points


def draw_computed(axes: Axes, panel: Panel) -> list[Artist]:
    """Draw a dot at each computed point, if others are interpolated; return its legend entry.

    Args:
        axes: Axes of a flat picture.
        panel: The quantity that is drawn.
    """
    interpolation = panel.surface.interpolation
    if interpolation is None:
        return []
    alpha, beta = interpolation.computed_places().T
    inches = axes.get_window_extent().width / axes.figure.dpi
    wide = np.clip(72 * SPACING * inches / interpolation.points.shape[0], SMALLEST, LARGEST)
    axes.scatter(alpha, beta, s=wide**2, c=COLOR, linewidths=0, zorder=2.5, rasterized=True)
    entry = Line2D([], [], linestyle="none", marker="o", markersize=LARGEST, color=COLOR)
    entry.set_label("computed")
    return [entry]
