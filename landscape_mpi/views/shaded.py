"""The shaded surface in three dimensions."""

from __future__ import annotations

from dataclasses import replace
from operator import is_not
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LightSource
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from landscape_mpi.views.beyond import words_beyond
from landscape_mpi.views.box import (
    floor_and_top,
    ranges_of,
    sides_of_box,
    visible_heights,
)
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.canvas import (
    HOLE,
    Canvas,
    add_color_bar,
    add_legend,
    are_apart,
    axis_label,
    bar_ticks,
    center_entry,
    color_map,
    make_canvas,
    norm_of,
    notes_of,
    plain,
    scaled,
    thin_out,
    title_of,
    unit_of,
)
from landscape_mpi.views.center_pin import CenterPin
from landscape_mpi.views.coordinate_ticks import CoordinateFormatter, longest_of
from landscape_mpi.views.corner_ticks import CornerFreeLocator
from landscape_mpi.views.cut import cut_between
from landscape_mpi.views.levels import Scale, format_levels, without_clipping
from landscape_mpi.views.page import current_page
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.path import draw_paths
from landscape_mpi.views.picture_kind import PictureKind
from landscape_mpi.views.points_on_surface import onto_surface
from landscape_mpi.views.space import camera_for

SIDES = (4.8, 4.2)  # inches
LIGHT = LightSource(azdeg=225, altdeg=50)
DARKEST = 0.5  # share of its colour that a face turned away from the light keeps
ZOOM, ZOOM_IN_GIVEN = 0.95, 0.85  # the second one keeps the labels roughly within the axes
TICK_SHARE = 0.09  # of the vertical axis, at least, between two of its labels
LABEL_INCHES = 3.0  # approximate length of the longer edge of the box


def draw_surface_on(panel: Panel, canvas: Canvas | None) -> Canvas:
    """Draw the values as a shaded surface over the plane; heights are log10 on a log scale.

    Args:
        panel: The quantity that is drawn.
        canvas: A canvas with a projection; None for a new one.
    """
    if canvas is None:
        canvas = make_canvas(*scaled(SIDES), bar_share=0.6, bar_gap=0.65, projection="3d")
        if current_page().is_narrow:  # the vertical axis replaces the bar
            canvas = replace(canvas, is_last=False)
    if panel.scale is not None and panel.standing is None:  # levels only clip flat pictures
        panel = replace(panel, scale=without_clipping(panel.scale))
    if canvas.is_given:
        canvas.axes.set_anchor("W")  # the label of the vertical axis stands to the right
    canvas.axes.computed_zorder = False  # floor, surface, center: in the order drawn
    canvas.axes.set_title(title_of(panel.surface, panel.n_computed))
    _frame_box(canvas, panel)
    _draw_holes(canvas.axes, panel)
    center: list[Artist] = []
    paths: list[Artist] = []
    if panel.scale is not None:
        _draw_faces(canvas, panel, panel.scale)
        center = _mark_center(canvas, panel)
        paths = _draw_paths(canvas.axes, panel, starred=bool(center))
        mappable = ScalarMappable(norm_of(panel.scale), color_map())
        add_color_bar(canvas, mappable, panel, bar_ticks(panel.scale))
    # A grid has these words over each picture.
    is_alone, is_short = panel.standing and canvas.collected is None, canvas.has_short_notes
    beyond = words_beyond(panel, short=is_short) if is_alone else []
    words = [Line2D([], [], linestyle="none", label=text) for text in beyond]
    add_legend(canvas, [*center, *paths, *notes_of(panel), *words])
    return canvas


def _limits(canvas: Canvas, panel: Panel) -> np.ndarray:
    """Return the ranges of the axes, float64 [2, 2]: those of a row, or the surface's own."""
    return ranges_of(panel) if canvas.limits is None else canvas.limits


def _frame_box(canvas: Canvas, panel: Panel) -> None:
    surface, axes = panel.surface, canvas.axes
    limits = _limits(canvas, panel)
    box = sides_of_box(limits)
    camera = camera_of(panel)
    axes.view_init(elev=camera.elevation, azim=camera.azimuth)
    axes.set_box_aspect(box, zoom=ZOOM_IN_GIVEN if canvas.is_given else ZOOM)
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.set_zlim(*floor_and_top(panel.scale))
    # Letters keep their size when the axes shrink, so fewer of them have room.
    room = min(1.0, canvas.sides[0] / SIDES[0] / current_page().letters)
    for axis, name, side, ends, turn in (
        (axes.xaxis, "alpha", box[0], limits[0], 0.0),
        (axes.yaxis, "beta", box[1], limits[1], 90.0),
    ):
        locator = CornerFreeLocator(axes, turn, max(2, int(4 * side * room)))
        formatter = CoordinateFormatter(LABEL_INCHES * side * room)
        axis.set_major_locator(locator)
        axis.set_major_formatter(formatter)
        # An axis in space centers the labels of its ticks at a fixed distance, whatever their
        # length.
        beyond = max(0, longest_of(formatter.format_ticks(locator.tick_values(*ends))) - 6)
        axis.set_tick_params(pad=3.5 + 1.5 * beyond)
        label = axis_label(surface, name, LABEL_INCHES * side) if room > 0.8 else rf"$\{name}$"
        axis.set_label_text(label)
        axis.labelpad = 7 + 3.5 * beyond
    _label_heights(axes, panel, room)


def _label_heights(axes: Axes3D, panel: Panel, room: float) -> None:
    axes.set_zticks([])
    longest = 0
    if panel.scale is not None:
        ticks = thin_out(bar_ticks(panel.scale), max(3, int(6 * room)))
        floor, top = floor_and_top(panel.scale)
        shares = (panel.scale.height(ticks) - floor) / (top - floor)
        ticks = ticks[are_apart(shares, TICK_SHARE / room)]
        texts = format_levels(ticks)
        axes.set_zticks(list(panel.scale.height(ticks)), labels=texts)
        longest = longest_of(texts)
    # An axis in space centers the labels of its ticks at a fixed distance, whatever their length.
    beyond = max(0, longest - 4)
    axes.zaxis.set_tick_params(pad=3.5 + 2.5 * beyond)
    unit = unit_of(panel.surface, panel.name) if current_page().is_narrow else ""
    label = panel.name.replace("_", " ") + unit
    axes.set_zlabel(plain(label), labelpad=4.0 + 5.0 * beyond)


def _points(panel: Panel) -> np.ndarray:
    """Return points with their heights, float64 [n_points, 3]."""
    grid = np.meshgrid(panel.surface.alpha, panel.surface.beta, indexing="ij")
    return np.stack([*grid, panel.heights], axis=2).reshape(-1, 3)


def _draw_faces(canvas: Canvas, panel: Panel, scale: Scale) -> None:
    axes, box = canvas.axes, sides_of_box(_limits(canvas, panel))
    points, norm = _points(panel), norm_of(scale)
    polygons = _polygons(panel, points)
    if len(polygons):
        colors = color_map()(norm(polygons[:, :, 2].mean(axis=1)))
        colors[:, :3] *= _brightness(polygons, box, floor_and_top(scale))[:, None]
        axes.add_collection3d(
            # Edges in the face's colour close the seams of antialiasing.
            _Faces(polygons, facecolors=colors, edgecolors=colors, linewidths=0.2)
        ).set_rasterized(True)
    loose = panel.cells.loose
    if len(loose):
        x, y, z = points[loose].T
        axes.scatter(x, y, z, s=90, c=z, norm=norm, cmap=color_map(), edgecolors="0.3")


class _Faces(Poly3DCollection):
    """Faces that are projected once for a camera: matplotlib would do it in each of its passes."""

    _projected: tuple[Any, ...] = ()  # of the last pass: projection, faces and colours
    _depth = 0.0

    def do_3d_projection(self) -> float:
        """Project the faces and sort them from back to front; return the nearest depth."""
        parts = self._faces, self._facecolor3d, self._edgecolor3d
        known, *others = self._projected or (None,)
        is_new = not np.array_equal(known, self.axes.M) or any(map(is_not, parts, others))
        if is_new:
            self._depth = super().do_3d_projection()
            self._projected = np.array(self.axes.M), *parts
        return self._depth


def _polygons(panel: Panel, points: np.ndarray) -> np.ndarray:
    """Return the corners of the faces that are drawn, float64 [n_faces, 3 or 4, 3]."""
    faces, standing = panel.cells.faces, panel.standing
    if standing is None or not len(faces):
        return np.asarray(points[faces])
    points, faces = cut_between(points, faces, *standing.cut_at, lid=standing.lid)
    return np.asarray(points[faces])


def _brightness(polygons: np.ndarray, box: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Return the share of its colour each face shows, float64 [n_faces], lit in the box."""
    plane = np.ptp(polygons[:, :, :2].reshape(-1, 2), axis=0)
    scaled = polygons * (box / np.array([*plane, ends[1] - ends[0]]))
    # Diagonals of a quad, sides of a triangle: both span the face counterclockwise.
    normals = np.cross(scaled[:, 2] - scaled[:, 0], scaled[:, -1] - scaled[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    lit = np.clip(normals @ LIGHT.direction, 0.0, 1.0)
    return DARKEST + (1.0 - DARKEST) * lit


def _draw_holes(axes: Axes3D, panel: Panel) -> None:
    """Show the points that are not finite on the floor of the box."""
    points = _points(panel)
    points[:, 2] = floor_and_top(panel.scale)[0]
    if len(panel.cells.holes):
        axes.add_collection3d(Poly3DCollection(points[panel.cells.holes], zorder=0, **HOLE))
    if len(panel.cells.loose_holes):
        x, y, z = points[panel.cells.loose_holes].T
        axes.scatter(x, y, z, s=90, marker="s", **HOLE)


def _draw_paths(axes: Axes3D, panel: Panel, *, starred: bool) -> list[Artist]:
    heights = visible_heights(panel)

    def to_axes(points: np.ndarray) -> tuple[np.ndarray, ...]:
        return (*points.T, onto_surface(panel.surface, heights)(points))

    return draw_paths(axes, panel.surface, starred=starred, to_axes=to_axes)


def camera_of(panel: Panel) -> Camera:
    """Return the camera of a surface: shared with others, or chosen for it alone."""
    given = None if panel.standing is None else panel.standing.camera
    return given or (Camera() if panel.scale is None else camera_for([panel]))


def _mark_center(canvas: Canvas, panel: Panel) -> list[Artist]:
    """Mark the center if it can be seen, otherwise by a pin that stands out of the surface."""
    center = panel.surface.center
    if center is None or not np.isfinite(visible_heights(panel)[center]):
        return []
    canvas.axes.add_line(CenterPin(panel, _limits(canvas, panel)))
    return [center_entry()]


SURFACE = PictureKind(
    draw_on=draw_surface_on, words="a shaded surface in three dimensions", is_in_space=True
)
