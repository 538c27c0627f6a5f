"""Surfaces in three dimensions: their heights, their cuts and their camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.views.box import basin_in, ranges_of
from landscape_mpi.views.camera import Camera, choose_camera
from landscape_mpi.views.height_scale import HeightScale, scale_of
from landscape_mpi.views.heights import Heights, check_ends, choose_each
from landscape_mpi.views.levels import NO_ENDS, OVER_ALL, Ends
from landscape_mpi.views.panel import Panel, Standing


@dataclass(frozen=True)
class Space:
    """The options of surfaces in three dimensions."""

    kind: str | None = None  # kind of heights: linear, log or symlog; None chooses from the values
    ends: Ends = NO_ENDS  # values below and above which they are cut
    camera: Camera | None = None  # None chooses from the surfaces
    lid: bool = False  # whether parts beyond an end are drawn flat instead of left out


def stand_up(panels: Sequence[Panel], space: Space) -> list[Panel]:
    """Return panels with their heights in three dimensions, one scale and one camera for all.

    A surface that would flatten the others is cut where they end, or has a scale of its own: see
    find_common.

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
    is_over_all = any(panel.scale and OVER_ALL in panel.scale.notes for panel in shown)
    ends = NO_ENDS if is_over_all else space.ends
    each = choose_each(values, unit, kind=space.kind, ends=ends)
    for panel, own, heights in zip(shown, values, each, strict=True):
        check_ends(heights, own, f"{panel.surface.path}: {panel.name}")
    chosen = iter(zip(each, _scales_of(each, values), strict=True))
    raised = [
        replace(panel, standing=Standing((-np.inf, np.inf)))
        if panel.scale is None
        else _raise_panel(panel, *next(chosen), lid=space.lid)
        for panel in panels
    ]
    camera = space.camera or camera_for(raised)
    return [replace(p, standing=replace(p.standing, camera=camera)) for p in raised if p.standing]


def _scales_of(each: Sequence[Heights], values: Sequence[np.ndarray]) -> list[HeightScale]:
    """Return the scale of each surface; those with the same heights have the same object."""
    found: dict[int, HeightScale] = {}
    for heights in each:
        if id(heights) not in found:
            together = [own for own, its in zip(values, each, strict=True) if its is heights]
            found[id(heights)] = scale_of(heights, np.concatenate(together))
    return [found[id(heights)] for heights in each]


def camera_for(panels: Sequence[Panel]) -> Camera:
    """Return the camera that sees most of the basins of surfaces that stand together."""
    shown = [panel for panel in panels if panel.scale is not None]
    return choose_camera([basin_in(panel, ranges_of(panel)) for panel in shown])


def _raise_panel(panel: Panel, heights: Heights, scale: HeightScale, *, lid: bool) -> Panel:
    values = panel.values
    if heights.kind == "log":  # a note says that values without a logarithm are raised
        values = np.where(values > -heights.floor, values, scale.low)
    drawn = np.where(panel.finite, heights.of(values), np.nan)
    return replace(panel, scale=scale, heights=drawn, standing=Standing(heights.ends, lid))
