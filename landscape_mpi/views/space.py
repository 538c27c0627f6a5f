"""Surfaces in three dimensions: their heights, their cuts and their camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.views.box import basin_in, ranges_of
from landscape_mpi.views.camera import Camera, choose_camera
from landscape_mpi.views.heights import NO_ENDS, Heights, check_ends, choose_heights
from landscape_mpi.views.levels import Scale, make_scale
from landscape_mpi.views.panel import Panel, Standing

ABOUT = 4  # levels that label a bar or an axis


@dataclass(frozen=True)
class Space:
    """The options of surfaces in three dimensions."""

    kind: str | None = None  # kind of heights: linear, log or symlog; None chooses from the values
    ends: tuple[float | None, float | None] = NO_ENDS  # values below and above which they are cut
    camera: Camera | None = None  # None chooses from the surfaces
    lid: bool = False  # whether parts beyond an end are drawn flat instead of left out


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


def stand_up(panels: Sequence[Panel], space: Space) -> list[Panel]:
    """Return panels with their heights in three dimensions, one scale and one camera for all.

    Args:
        panels: One quantity of one or several planes.
        space: The options.

    Raises:
        InputError: If all values of a surface lie beyond --range.
    """
    shown = [panel for panel in panels if panel.scale is not None]
    if not shown:
        return list(panels)
    values = [panel.values[panel.finite] for panel in shown]
    unit = shown[0].surface.units[shown[0].name]
    heights = choose_heights(values, unit, kind=space.kind, ends=space.ends)
    for panel, own in zip(shown, values, strict=True):
        check_ends(heights, own, f"{panel.surface.path}: {panel.name}")
    scale = scale_of(heights, np.concatenate(values))
    standing = Standing(heights.ends, space.lid)
    raised = [replace(_raise_panel(panel, scale, heights), standing=standing) for panel in panels]
    standing = replace(standing, camera=space.camera or camera_for(raised))
    return [replace(panel, standing=standing) for panel in raised]


def camera_for(panels: Sequence[Panel]) -> Camera:
    """Return the camera that sees most of the basins of surfaces that stand together."""
    shown = [panel for panel in panels if panel.scale is not None]
    return choose_camera([basin_in(panel, ranges_of(panel)) for panel in shown])


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
    found = make_scale(shown, where=where, kind=kind, levels=levels)
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


def _raise_panel(panel: Panel, scale: HeightScale, heights: Heights) -> Panel:
    if panel.scale is None:
        return panel
    values = panel.values
    if heights.kind == "log":  # a note says that values without a logarithm are raised
        values = np.where(values > -heights.floor, values, scale.low)
    drawn = np.where(panel.finite, heights.of(values), np.nan)
    return replace(panel, scale=scale, heights=drawn)
