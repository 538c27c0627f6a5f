"""The box that a surface in three dimensions fills, and the surface as a terrain in it."""

from __future__ import annotations

import numpy as np

from landscape_mpi.views.camera import Basin, basin_of
from landscape_mpi.views.canvas import EQUAL_UP_TO, norm_of
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.views.levels import Scale
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.visibility import Terrain, make_terrain

RELIEF = 0.6  # height of the box, as a share of its longer side


def floor_and_top(scale: Scale | None) -> tuple[float, float]:
    """Return the heights of the floor and of the top of the box."""
    if scale is None:
        return 0.0, 1.0
    norm = norm_of(scale)
    assert norm.vmin is not None
    assert norm.vmax is not None
    return norm.vmin, norm.vmax


def ranges_of(panel: Panel) -> np.ndarray:
    """Return the ranges of the axes of a surface, float64 [2, 2]."""
    pair = panel.surface.alpha, panel.surface.beta
    return np.array([[axis.min(), axis.max()] for axis in pair])


def sides_of_box(limits: np.ndarray) -> np.ndarray:
    """Return the sides of the box, float64 [3]: to scale if its axes are comparable."""
    width, depth = np.ptp(limits, axis=1)
    if max(width / depth, depth / width) > EQUAL_UP_TO:
        width = depth = 1.0
    return np.array([width, depth, RELIEF * max(width, depth)]) / max(width, depth)


def visible_heights(panel: Panel) -> np.ndarray:
    """Return the heights that are drawn, float64 [n_alpha, n_beta]: NaN where nothing is drawn."""
    heights = np.where(panel.finite, panel.heights, np.nan)
    if panel.standing is None:
        return heights
    low, high = panel.standing.cut_at
    if panel.standing.lid:
        return np.clip(heights, low, high)
    return np.where((heights >= low) & (heights <= high), heights, np.nan)


def terrain_of(panel: Panel, limits: np.ndarray) -> Terrain:
    """Return a surface in its box, and the ranges of the axes, float64 [2, 2]."""
    box = sides_of_box(limits)
    floor, top = floor_and_top(panel.scale)
    heights = (visible_heights(panel) - floor) / (top - floor) * box[2]
    sides = box[:2] * np.ptp(ranges_of(panel), axis=1) / np.ptp(limits, axis=1)
    return make_terrain(panel.surface.alpha, panel.surface.beta, heights, sides)


def basin_in(panel: Panel, limits: np.ndarray) -> Basin:
    """Return the part of a surface below the loss of guessing, or its lower half."""
    terrain = terrain_of(panel, limits)
    guess = guessing_loss(panel.surface, panel.name)
    if guess is None or panel.scale is None:
        return basin_of(terrain, None)
    floor, top = floor_and_top(panel.scale)
    lowest = np.nanmin(visible_heights(panel))
    level = (float(panel.scale.height(np.array([guess]))[0]) - lowest) / (top - floor)
    return basin_of(terrain, level * sides_of_box(limits)[2])
