"""Pictures of a surface in axes that the user has made, drawn by the code of all pictures.

The figure, its size and its style stay the user's: nothing here changes matplotlib's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.registry import PICTURES
from landscape_mpi.store.reader import Surface, check_computed
from landscape_mpi.views.barriers import draw_pairs_on
from landscape_mpi.views.beside_axes import room_beside, settle_layout, sides_in_the_end
from landscape_mpi.views.canvas import LONG_SIDE, Canvas
from landscape_mpi.views.critical import with_critical
from landscape_mpi.views.curve_profile import draw_curve_profile_on
from landscape_mpi.views.levels import SCALES, ScaleRequest
from landscape_mpi.views.line import MEASURES, draw_line_on, group_over_splits, measure_of
from landscape_mpi.views.page import COLUMNS, SCREEN, Page, on_page
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.pictures import make_panels, panels_for
from landscape_mpi.views.space import Space

LINE = "line"
BAR_IN_SPACE = 0.6  # of the height of axes in space
ROOM_FOR_BAR = 1.2  # inches beside the picture of axes in space: its bar with all words


@dataclass(frozen=True)
class Look:
    """The options of a picture."""

    kind: str | None = None  # one of registry.PICTURES, or line; None for contour of a plane
    quantity: str | Sequence[str] | None = None  # None for the first; for a line, None for all
    scale: str | None = None  # one of levels.SCALES; None for the usual one
    levels: int | Sequence[float] | None = None  # None for the usual ones
    smooth: int = 1  # cells drawn for each one computed, along an axis
    critical: float | None = None  # least persistence of the points that are marked
    path: bool = True  # whether to draw trajectories, or a curve
    colorbar: bool | None = None  # None: a bar if there is room
    legend: bool = True
    title: str | None = None  # None: network and data


def kind_of(surface: Surface, asked: str | None) -> str:
    """Return the kind of picture.

    Args:
        surface: The surface.
        asked: The requested kind, or None.

    Raises:
        unknown_name: If there is no such kind.
        InputError: If such a surface does not have this kind of picture.
    """
    kind = asked or (LINE if surface.is_line else "contour")
    if kind not in {*PICTURES, LINE}:
        raise unknown_name("plot", kind, [*PICTURES, LINE])
    if surface.is_line and kind != LINE:
        raise InputError(
            f"{surface.path}: plot({kind!r}) needs a plane, but this is a line. Pass 'line', or "
            "no kind."
        )
    if kind == LINE and not surface.is_line:
        kinds = ", ".join(PICTURES)
        raise InputError(
            f"{surface.path}: plot('line') needs a line, but this is a plane of "
            f"{surface.shape[0]} x {surface.shape[1]} points. Pass one of {kinds}."
        )
    return kind


def _is_in_space(kind: str) -> bool:
    return kind != LINE and find_kind(kind).is_in_space


def draw_in(axes: Axes, surface: Surface, look: Look) -> None:
    """Draw a picture of a surface into axes.

    Args:
        axes: Axes of any figure; in space for the kind ``surface``.
        surface: The surface as it was read, complete or not.
        look: Options of the picture.

    Raises:
        InputError: If the picture does not suit the surface or the axes.
    """
    check_computed(surface)
    kind = kind_of(surface, look.kind)
    _check_axes(axes, kind, surface)
    panels = _panels_of(surface, look)
    with on_page(page_in(axes)):
        canvas = _canvas_in(axes, kind, look)
        if kind == LINE:
            _draw_line(panels, canvas)
        else:
            space = Space(look.scale)
            (panel,) = panels_for([_marked(panels[0], look)], kind, look.smooth, space)
            find_kind(kind).draw_on(panel, canvas)
    if look.title is not None:
        axes.set_title(look.title)
    settle_layout(axes)


def page_in(axes: Axes) -> Page:
    """Return a page with the sizes of these axes and their letters, over the usual ones."""
    usual = SCREEN.style()
    sizes = {
        "axes.titlesize": rcParams["axes.titlesize"],
        "axes.labelsize": rcParams["axes.labelsize"],
    }
    letters = max(
        FontProperties(size=size).get_size_in_points() / usual[name] for name, size in sizes.items()
    )
    return Page(letters=letters, axes=sides_in_the_end(axes)[0] / LONG_SIDE)


def _canvas_in(axes: Axes, kind: str, look: Look) -> Canvas:
    figure = axes.get_figure(root=False)
    assert figure is not None
    width, height = sides_in_the_end(axes)
    share = BAR_IN_SPACE if _is_in_space(kind) else 1.0
    has_bar = look.colorbar
    if has_bar is None:  # the vertical axis of a surface replaces its bar
        has_bar = not _is_in_space(kind) or width > COLUMNS[1] or room_beside(axes) > ROOM_FOR_BAR
    return Canvas(
        figure,
        axes,
        None,
        share * height,
        is_last=has_bar or kind == LINE,
        is_given=True,
        has_legend=look.legend,
    )


def _check_axes(axes: Axes, kind: str, surface: Surface) -> None:
    in_space = axes.name == "3d"
    if _is_in_space(kind) and not in_space:
        raise InputError(
            f"{surface.path}: plot('surface') needs 3-D axes, but ax is flat. Make them with "
            "figure.add_subplot(projection='3d'), or subplot_kw={'projection': '3d'}."
        )
    if not _is_in_space(kind) and in_space:
        raise InputError(
            f"{surface.path}: plot({kind!r}) needs flat axes, but ax has projection='3d'. Make "
            "them without a projection, or pass 'surface'."
        )


def _panels_of(surface: Surface, look: Look) -> list[Panel]:
    if look.scale is not None and look.scale not in SCALES:
        raise unknown_name("plot: scale", look.scale, SCALES)
    if not look.path:
        surface = replace(surface, trajectories=None, curve=None)
    asked = [look.quantity] if isinstance(look.quantity, str) else look.quantity
    levels = look.levels
    if levels is not None and not isinstance(levels, int):
        levels = [float(level) for level in levels]
    names = None if asked is None else list(asked)
    if not surface.is_line and names is not None and len(names) != 1:
        raise InputError(
            f"{surface.path}: plot: a picture of a plane shows one quantity, but {len(names)} are "
            "named. Name one, and make axes for each."
        )
    scale = ScaleRequest(look.scale, levels)
    panels = make_panels(surface, names, scale)
    if asked is None:
        of_line = [panel for panel in panels if measure_of(panel.name) in MEASURES]
        panels = of_line if surface.is_line and of_line else panels[:1]
    # Nobody would read notes about replaced options here, so unsuitable options are refused.
    return [make_panels(panel.surface, [panel.name], scale)[0] for panel in panels]


def _marked(panel: Panel, look: Look) -> Panel:
    return panel if look.critical is None else with_critical(panel, look.critical)


def _draw_line(panels: list[Panel], canvas: Canvas) -> None:
    surface = panels[0].surface
    if surface.is_curve or surface.has_pairs:
        # One measure fits a pair of axes: the loss, unless something else is requested.
        group = next(iter(group_over_splits(panels).values()))
        (draw_curve_profile_on if surface.is_curve else draw_pairs_on)(group, canvas)
        return
    _check_together(panels)
    draw_line_on(panels, canvas)


def _check_together(panels: list[Panel]) -> None:
    measures = {measure_of(panel.name) for panel in panels}
    if len(measures) > 2:
        raise InputError(
            f"{panels[0].surface.path}: plot: {', '.join(sorted(measures))} are {len(measures)} "
            "measures, but axes have only two vertical scales. Name fewer, and make more axes."
        )
