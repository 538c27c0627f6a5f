"""Flat pictures of a plane: contour, filled contour, heat map.

On a log scale the contours are those of the logarithm: between points it is far closer to linear
than the values, which would push every line of a steep wall to its foot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.tri import Triangulation

from landscape_mpi.views.areas import edges_of
from landscape_mpi.views.beyond import words_beyond
from landscape_mpi.views.canvas import (
    HOLE,
    Canvas,
    add_color_bar,
    add_legend,
    bar_ticks,
    beyond_colors,
    color_map,
    count_points,
    frame_plane,
    is_comparable,
    line_colors,
    make_canvas,
    make_next_canvas,
    mark_center,
    norm_of,
    notes_of,
    sides_of,
    title_of,
)
from landscape_mpi.views.critical import critical_points, draw_critical
from landscape_mpi.views.interpolated import draw_computed
from landscape_mpi.views.labels import label_lines
from landscape_mpi.views.levels import Scale, bands_within, format_levels
from landscape_mpi.views.number_text import span_text
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.path import draw_paths, points_to_keep_free
from landscape_mpi.views.picture_kind import PictureKind
from landscape_mpi.views.solution_marks import draw_marks

DOT = 90.0  # points^2: larger than the star of the center, which may lie on top


def draw_contour_on(panel: Panel, canvas: Canvas | None, *, n_beside: int = 1) -> Canvas:
    """Draw labelled contour lines on a canvas, or on a new one if it is None."""
    canvas = start_plane(panel, panel.surface.alpha, panel.surface.beta, canvas, n_beside=n_beside)
    _draw_holes(canvas.axes, panel)
    lines, levels = None, np.empty(0)
    if panel.scale is not None:
        look: dict[str, Any] = {"norm": norm_of(panel.scale), "cmap": line_colors()}
        levels = _levels_inside(panel, panel.scale)
        if panel.scale.is_constant:
            _say(canvas.axes, f"the same everywhere: {panel.scale.low:.6g}")
        elif len(panel.cells.faces) and len(levels):
            lines = _contours(canvas.axes, panel, panel.scale.height(levels), False, **look)
        elif not len(levels):
            _say_no_level(canvas.axes, panel)
        _draw_loose(canvas.axes, panel, **look)
        add_color_bar(canvas, ScalarMappable(**look), panel, bar_ticks(panel.scale))
    finish_plane(canvas, panel)
    if lines is not None:
        free, marked = points_to_keep_free(panel.surface), critical_points(panel)
        label_lines(canvas, lines, format_levels(levels), free=free, marked=marked)
    return canvas


def draw_beside(first: Panel, second: Panel) -> Figure:
    """Draw the contour lines of one quantity, and the heat map of another beside them."""
    canvas = draw_contour_on(first, None, n_beside=2)
    return draw_heatmap_on(second, make_next_canvas(canvas, 2)).figure


def draw_filled_on(panel: Panel, canvas: Canvas | None) -> Canvas:
    """Draw filled contours on a canvas, or on a new one if it is None."""
    canvas = start_plane(panel, panel.surface.alpha, panel.surface.beta, canvas)
    _draw_holes(canvas.axes, panel)
    if panel.scale is not None:
        ends = bands_within(panel.scale)
        bands, beyond = panel.scale.height(ends), beyond_colors(panel.scale)
        look: dict[str, Any] = {"norm": Normalize(bands[0], bands[-1]), "cmap": color_map()}
        mappable, ticks = ScalarMappable(**look), bar_ticks(panel.scale)
        if len(panel.cells.faces):
            filled = _contours(canvas.axes, panel, bands, True, extend=beyond, **look)
            if not panel.scale.is_constant:
                mappable, ticks = filled, _round_ends(panel.scale)
                inside = panel.scale.height(_levels_inside(panel, panel.scale))
                if len(inside):
                    lines = {"colors": "0.15", "linewidths": 0.3, "linestyles": "solid"}
                    _contours(canvas.axes, panel, inside, False, **lines)
        _draw_loose(canvas.axes, panel, **look)
        add_color_bar(canvas, mappable, panel, ticks)
    finish_plane(canvas, panel)
    return canvas


def draw_heatmap_on(panel: Panel, canvas: Canvas | None) -> Canvas:
    """Draw one cell per point, not interpolated, on a canvas, or on a new one if it is None."""
    x, y = edges_of(panel.surface.alpha), edges_of(panel.surface.beta)
    canvas = start_plane(panel, x, y, canvas)
    _hatch(canvas.axes, _rectangles(x, y, panel.computed & ~panel.finite))
    if panel.scale is not None:
        shown = np.ma.masked_where(~panel.finite, panel.heights)
        image = canvas.axes.pcolormesh(
            x, y, shown.T, norm=norm_of(panel.scale), cmap=color_map(), rasterized=True
        )
        add_color_bar(canvas, image, panel, bar_ticks(panel.scale))
    missing = panel.surface.n_points - panel.n_computed
    label = f"not computed: {count_points(missing)}"
    gaps = [Patch(facecolor="white", edgecolor="0.6", label=label)]
    finish_plane(canvas, panel, gaps if missing else [])
    return canvas


def start_plane(
    panel: Panel, x: np.ndarray, y: np.ndarray, canvas: Canvas | None = None, n_beside: int = 1
) -> Canvas:
    """Return a canvas with the title, the axes and the labels of a flat picture.

    Args:
        panel: The quantity that is drawn.
        x: Coordinates along alpha; the picture reaches from the smallest to the largest.
        y: Coordinates along beta.
        canvas: A canvas of a row; None for a new one.
        n_beside: Number of pictures side by side for which its figure has room.
    """
    ends = np.array([[axis.min(), axis.max()] for axis in (x, y)])
    if canvas is not None and canvas.limits is not None:
        ends = canvas.limits
    sides = sides_of(*np.ptp(ends, axis=1))
    canvas = canvas or make_canvas(*sides, n_beside=n_beside)
    if canvas.is_given:
        canvas.axes.set_aspect("equal" if is_comparable(*np.ptp(ends, axis=1)) else "auto")
        canvas.axes.set_anchor("W")  # where a layout engine sees how much room the labels need
    canvas.axes.set_title(title_of(panel.surface, panel.n_computed))
    canvas.axes.set_xlim(*ends[0])
    canvas.axes.set_ylim(*ends[1])
    frame_plane(canvas, panel.surface, sides)
    return canvas


def finish_plane(canvas: Canvas, panel: Panel, notes: Sequence[Patch] = ()) -> None:
    """Add the marks of a flat picture: center, solutions, paths, critical points, legend.

    Args:
        canvas: The canvas from start_plane.
        panel: The quantity that was drawn.
        notes: Further entries of the legend.
    """
    critical = draw_critical(canvas.axes, panel)
    marks = draw_marks(canvas.axes, panel)
    center = [] if marks else mark_center(canvas.axes, panel.surface)
    computed = draw_computed(canvas.axes, panel)
    paths = draw_paths(canvas.axes, panel.surface, starred=bool(center))
    # A grid has these words over each picture.
    is_alone, is_short = canvas.collected is None, canvas.has_short_notes
    beyond = words_beyond(panel, short=is_short) if is_alone else []
    words = [Line2D([], [], linestyle="none", label=text) for text in beyond]
    told = [*notes_of(panel), *notes, *words]
    add_legend(canvas, [*marks, *center, *paths, *critical, *computed, *told])


def _points(panel: Panel) -> np.ndarray:
    """Return the coordinates of all points, float64 [n_points, 2]."""
    grid = np.meshgrid(panel.surface.alpha, panel.surface.beta, indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=1)


def _contours(
    axes: Axes, panel: Panel, heights: np.ndarray, filled: bool, **look: Any
) -> ContourSet:
    faces = panel.cells.faces
    if faces.shape[1] == 4:
        draw = axes.contourf if filled else axes.contour
        masked = np.ma.masked_where(~panel.finite, panel.heights)
        # corner_mask off: a quad with a hole is a hole, as in the mesh and the hatching.
        place = panel.surface.alpha, panel.surface.beta, masked.T
        return draw(*place, levels=heights, corner_mask=False, **look)
    draw_triangles = axes.tricontourf if filled else axes.tricontour
    x, y = _points(panel).T
    triangles = Triangulation(x, y, faces)
    return draw_triangles(triangles, panel.heights.ravel(), levels=heights, **look)


def _draw_loose(axes: Axes, panel: Panel, **look: Any) -> None:
    """Draw the points that are in no face as dots."""
    loose = panel.cells.loose
    if len(loose):
        x, y = _points(panel)[loose].T
        colors = panel.heights.ravel()[loose]
        axes.scatter(x, y, c=colors, s=DOT, edgecolors="0.3", clip_on=False, zorder=3, **look)


def _draw_holes(axes: Axes, panel: Panel) -> None:
    """Hatch the faces with a corner that is not finite."""
    points = _points(panel)
    _hatch(axes, points[panel.cells.holes])
    if len(panel.cells.loose_holes):
        x, y = points[panel.cells.loose_holes].T
        axes.scatter(x, y, s=DOT, marker="s", clip_on=False, zorder=3, **HOLE)


def _levels_inside(panel: Panel, scale: Scale) -> np.ndarray:
    """Return the levels that lie between the values of the panel: the others have no line."""
    finite = panel.values[panel.finite]
    return scale.levels[(scale.levels > finite.min()) & (scale.levels < finite.max())]


def _round_ends(scale: Scale) -> np.ndarray:
    """Return the ends of the bands, without those that are the value of a point, such as 0.137."""
    ends = bands_within(scale)
    is_round = np.array([float(f"{end:.2g}") == end for end in ends])
    return ends[is_round | np.isin(ends, scale.levels) | ~np.isin(ends, (scale.low, scale.high))]


def _say_no_level(axes: Axes, panel: Panel) -> None:
    finite = panel.values[panel.finite]
    _say(axes, f"between two levels: {span_text(finite)}")


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.03, text, transform=axes.transAxes, ha="center")  # paths are rarely there


def _hatch(axes: Axes, polygons: np.ndarray) -> None:
    if len(polygons):
        axes.add_collection(PolyCollection(list(polygons), zorder=0.5, **HOLE), autolim=False)


def _rectangles(x: np.ndarray, y: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the cells of the points that are true, float64 [n, 4, 2]."""
    i, j = np.nonzero(where)
    corners = (i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)
    return np.stack([np.stack([x[a], y[b]], axis=1) for a, b in corners], axis=1)


CONTOUR = PictureKind(draw_on=draw_contour_on, words="labelled lines of equal value")
FILLED = PictureKind(draw_on=draw_filled_on, words="colours between lines of equal value")
HEATMAP = PictureKind(
    draw_on=draw_heatmap_on,
    words="one cell for each point, nothing interpolated",
    is_smoothed=False,
    reaches_edges=True,
)
