"""One quantity of one surface, prepared for all kinds of pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.store.schema import HESSIAN, RATIO
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.coarse import on_its_own_grid, thinned
from landscape_mpi.views.default_scale import scale_of
from landscape_mpi.views.levels import USUAL, Scale, ScaleRequest
from landscape_mpi.views.mesh_faces import Cells, connect
from landscape_mpi.views.number_text import coordinate_text, text_to

if TYPE_CHECKING:
    from landscape_mpi.views.topology import Topology


@dataclass(frozen=True)
class Standing:
    """The heights and the camera of a surface in three dimensions."""

    cut_at: tuple[float, float]  # heights below and above which it is cut, or infinite
    lid: bool = False  # whether it is drawn flat there instead
    camera: Camera | None = None


@dataclass(frozen=True)
class Panel:
    """A quantity ready to be drawn."""

    surface: Surface
    name: str
    values: np.ndarray  # float64 [n_alpha, n_beta], NaN where not computed
    heights: np.ndarray  # float64 [n_alpha, n_beta], as drawn: log10 on a log scale
    computed: np.ndarray  # bool [n_alpha, n_beta]
    finite: np.ndarray  # bool [n_alpha, n_beta], computed and finite
    cells: Cells
    scale: Scale | None  # None if no value is finite
    smoothed: int = 1  # cells drawn for each one computed, along an axis
    thinned_from: tuple[int, int] | None = None  # points of the grid, if not all are drawn
    critical: Topology | None = None  # minima, saddles and maxima to mark
    standing: Standing | None = None  # None for a flat picture

    @property
    def n_computed(self) -> int:
        """Return the number of computed points."""
        return int(self.computed.sum())

    @property
    def n_not_finite(self) -> int:
        """Return the number of computed points whose value is NaN or infinite."""
        return self.n_computed - int(self.finite.sum())


def make_panel(
    surface: Surface,
    name: str,
    asked: ScaleRequest = USUAL,
    *,
    scale: Scale | None = None,
    is_one_of_several: bool = False,
) -> Panel:
    """Prepare a quantity of a surface for pictures.

    Args:
        surface: The surface.
        name: Name of the quantity.
        asked: The requested scale.
        scale: A scale that other surfaces share; None chooses one here.
        is_one_of_several: Whether the request is for several quantities; see
            default_scale.scale_of.
    """
    surface = on_its_own_grid(surface, name)
    if name in HESSIAN or name == RATIO.name:  # computed at each of its points
        surface = replace(surface, interpolation=None)
    computed = surface.done_of[name]
    values = np.where(computed, surface.values[name], np.nan)
    where = f"{surface.path}: {name}"
    finite = np.isfinite(values)
    if scale is None:
        scale = scale_of([surface], name, asked, where=where, gives_way=is_one_of_several)
    elif not finite.any():
        scale = None
    elif scale.log:
        scale = replace(scale, n_floored=int((values[finite] <= 0).sum()))
    cells = connect(computed, finite)
    return Panel(surface, name, values, _heights(values, scale), computed, finite, cells, scale)


def thin_panel(panel: Panel, most: int) -> Panel:
    """Return a complete panel with at most so many points along an axis, both ends among them.

    Args:
        panel: The quantity; one with points that are not computed is returned as it is.
        most: Largest number of points along an axis, 2 or more.
    """
    surface = thinned(panel.surface, most)
    if surface is panel.surface or not panel.computed.all():
        return panel
    few = make_panel(surface, panel.name, scale=panel.scale)
    return replace(few, critical=panel.critical, thinned_from=panel.surface.shape)


def _heights(values: np.ndarray, scale: Scale | None) -> np.ndarray:
    if scale is None:
        return values
    if not scale.log:
        return scale.height(values)
    # Zero and negative values are drawn as the smallest positive one, and the legend says so.
    return scale.height(np.maximum(values, scale.low))


def summarize(panel: Panel) -> str:
    """Return one line: the range and its points, the value at the center, the missing points."""
    surface = panel.surface
    raw = np.where(panel.finite, panel.values, np.nan)
    parts = [f"{panel.n_computed} of {surface.n_points} points"]
    if panel.scale is not None:
        parts.append(f"min {_at(surface, raw, int(np.nanargmin(raw)))}")
        parts.append(f"max {_at(surface, raw, int(np.nanargmax(raw)))}")
        parts.append(f"center {_at_center(panel)}")
    if panel.n_not_finite:
        parts.append(f"not finite: {panel.n_not_finite}")
    if panel.scale is not None and panel.scale.n_floored:
        parts.append(f"zero or negative, drawn as {panel.scale.low:.4g}: {panel.scale.n_floored}")
    if panel.scale is not None:
        parts += panel.scale.notes
    return f"{panel.name}: {'; '.join(parts)}"


def _at(surface: Surface, values: np.ndarray, flat: int) -> str:
    i, j = np.unravel_index(flat, values.shape)
    place = f"({coordinate_text(surface.alpha, int(i))}, {coordinate_text(surface.beta, int(j))})"
    return f"{text_to(float(values[i, j]), _height(values))} at {place}"


def _height(values: np.ndarray) -> float:
    """Return the difference between the largest and the smallest value; at least one is finite."""
    return float(np.nanmax(values) - np.nanmin(values))


def _at_center(panel: Panel) -> str:
    center = panel.surface.center
    if center is None:
        return "is not a grid point"
    if not panel.computed[center]:
        return "is not computed"
    raw = np.where(panel.finite, panel.values, np.nan)
    return text_to(float(panel.values[center]), _height(raw))
