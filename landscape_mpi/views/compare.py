"""Several surfaces side by side: the same ranges, levels and colours, one colour bar.

What differs between two such pictures differs between the networks, as in figure 1 of the paper
(Li et al. 2018, arXiv:1712.09913): with and without skip connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from landscape_mpi.errors import InputError
from landscape_mpi.short_names import joined_name, short_names
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.sums import with_sum
from landscape_mpi.views.canvas import Canvas, edges_of, make_row, plain, scaled, sides_of
from landscape_mpi.views.choice import ONLY_IF_NAMED, check_quantity
from landscape_mpi.views.default_scale import scale_of
from landscape_mpi.views.levels import NO_ENDS, Ends, Scale
from landscape_mpi.views.line import MEASURES, draw_line_on, measure_of, share_heights
from landscape_mpi.views.panel import Panel, make_panel
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.pictures import Picture, join_pictures, panel_for
from landscape_mpi.views.shaded import SIDES as SPACE_SIDES

MOST = 6  # in a row
SHARES = (1.0, 1.0, 0.8, 0.66, 0.55, 0.48)  # of the usual sides, for 1 surface and so on
LINE_SIDES = (4.0, 3.0)  # inches
BORDER: dict[str, Any] = {"color": "0.4", "linewidth": 0.8, "linestyle": (0, (2, 2))}

WORTH_A_BORDER = 0.03  # of a range; half a cell of a heat map is less


def check_comparable(surfaces: Sequence[Surface]) -> None:
    """Check that surfaces can stand in one row.

    Raises:
        InputError: If they are one or too many, or of different kinds.
    """
    if not 2 <= len(surfaces) <= MOST:
        raise InputError(
            f"--compare: is for 2 to {MOST} surface files side by side, and {len(surfaces)} "
            f"{'is' if len(surfaces) == 1 else 'are'} named. Name others beside it, or leave out "
            "--compare."
        )
    for surface in surfaces:
        if surface.is_curve or surface.has_pairs:
            raise InputError(
                f"{surface.path}: --compare: holds lines between solutions, and compares them "
                "already. Plot it by itself."
            )
    first = surfaces[0]
    for other in surfaces[1:]:
        if other.is_line != first.is_line:
            plane, line = (other, first) if first.is_line else (first, other)
            raise InputError(
                f"--compare: {plane.path} is a plane and {line.path} a line, which share no axes. "
                "Compare planes with planes."
            )


def make_shared_panels(
    surfaces: Sequence[Surface],
    quantities: list[str] | None,
    *,
    kind: str | None = None,
    levels: int | list[float] | None = None,
    ends: Ends = NO_ENDS,
    option: str = "--compare",
) -> list[list[Panel]]:
    """Prepare the quantities asked for, where None those that all surfaces have.

    Args:
        surfaces: The surfaces.
        quantities: Names, and sums of names.
        kind: Of scale, one of levels.SCALES; None for the usual one.
        levels: About how many levels, or the levels themselves; None for the usual ones.
        ends: Where colours end.
        option: What was asked, for messages.

    Returns:
        For each quantity the panels of all surfaces, whose scale is chosen from all their values.

    Raises:
        InputError: If a surface lacks a quantity, or they have none in common.
    """
    names = quantities or [name for name in surfaces[0].values if _is_shared(surfaces, name)]
    if not names:
        held = "; ".join(f"{surface.path} has {', '.join(surface.values)}" for surface in surfaces)
        raise InputError(f"{option}: the files have no quantity in common: {held}.")
    if surfaces[0].is_line:  # a line has no levels
        levels = None
    several = quantities is None or len(names) > 1
    choose_scale = partial(scale_of, kind=kind, levels=levels, ends=ends, gives_way=several)
    return [_panels_of(surfaces, name, choose_scale, option) for name in names]


def plan_comparison(
    rows: list[list[Panel]],
    *,
    kinds: list[str],
    out_dir: Path | None = None,
    suffix: str = "png",
    smooth: int = 1,
) -> list[Picture]:
    """Return the pictures that compare surfaces: per quantity and kind, or one of lines.

    Raises:
        InputError: If lines are to be smooth, or a surface with holes.
    """
    surfaces = [panel.surface for panel in rows[0]]
    joined = joined_name([surface.path for surface in surfaces])
    stem = (out_dir or surfaces[0].path.parent) / joined

    def named(what: str) -> Path:
        return stem.with_name(f"{joined}_{what}.{suffix}")

    if surfaces[0].is_line:
        if smooth > 1:
            raise InputError(
                f"--smooth {smooth}: is for planes, and {surfaces[0].path} is a line. Leave it out."
            )
        together = [row for row in rows if measure_of(row[0].name) in MEASURES]
        alone = [row for row in rows if measure_of(row[0].name) not in MEASURES]
        pictures = [Picture(named("line"), partial(draw_lines, together))] if together else []
        return pictures + [
            Picture(named(f"{row[0].name}_line"), partial(draw_lines, [row])) for row in alone
        ]
    return [
        join_pictures(row, kind, named(f"{row[0].name}_{kind}"))
        or Picture(
            named(f"{row[0].name}_{kind}"),
            partial(draw_row, [panel_for(panel, kind, smooth) for panel in row], kind),
        )
        for row in rows
        for kind in kinds
    ]


def draw_row(panels: list[Panel], kind: str, *, limits: np.ndarray | None = None) -> Figure:
    """Draw one quantity of one or several surfaces side by side.

    Args:
        panels: Of the surfaces.
        kind: One of registry.PICTURES.
        limits: Ranges of the axes, float64 [2, 2]; None for those that hold all surfaces.
    """
    n, picture = len(panels), find_kind(kind)
    to_edges = picture.reaches_edges
    if limits is None:
        limits = shared_limits([panel.surface for panel in panels], to_edges=to_edges)
    share = SHARES[n - 1]
    if picture.is_in_space:
        width, height = (share * side for side in scaled(SPACE_SIDES))
        place: dict[str, Any] = {"bar_gap": 0.65, "bar_share": 0.6, "projection": "3d"}
        row = make_row(width, height, n, limits=limits, between=0.7, **place)
    else:
        width, height = (share * side for side in sides_of(*np.ptp(limits, axis=1)))
        row = make_row(width, height, n, limits=limits)
    for panel, canvas in zip(panels, row, strict=True):
        picture.draw_on(panel, canvas)
        if not picture.is_in_space:
            _draw_border(canvas, panel.surface, to_edges=to_edges)
    _title(row, panels)
    return row[0].figure


def draw_lines(rows: list[list[Panel]]) -> Figure:
    """Draw lines side by side, on axes of the same ranges; rows are quantities."""
    surfaces = [panel.surface for panel in rows[0]]
    n = len(surfaces)
    share = SHARES[n - 1]
    width, height = scaled((share * LINE_SIDES[0], LINE_SIDES[1] * max(share, 0.7)))
    limits = shared_limits(surfaces, to_edges=False)
    row = make_row(width, height, n, limits=limits)
    heights = [draw_line_on([panels[k] for panels in rows], canvas) for k, canvas in enumerate(row)]
    share_heights(heights)
    _title(row, rows[0])
    return row[0].figure


def shared_limits(surfaces: Sequence[Surface], *, to_edges: bool) -> np.ndarray:
    """Return the ranges that hold all surfaces, float64 [2, 2]: of alpha and of beta.

    Args:
        surfaces: The surfaces.
        to_edges: Whether cells reach half a spacing beyond the points.
    """
    axes = [(surface.alpha, surface.beta) for surface in surfaces]
    if to_edges:
        axes = [(edges_of(alpha), edges_of(beta)) for alpha, beta in axes]
    return np.array(
        [[min(pair[k].min() for pair in axes), max(pair[k].max() for pair in axes)] for k in (0, 1)]
    )


def _is_shared(surfaces: Sequence[Surface], name: str) -> bool:
    return name not in ONLY_IF_NAMED and all(
        name in surface.values and surface.done_of[name].any() for surface in surfaces
    )


def _panels_of(
    surfaces: Sequence[Surface],
    name: str,
    choose_scale: Callable[..., Scale | None],
    option: str,
) -> list[Panel]:
    summed = [with_sum(surface, name) for surface in surfaces]
    for surface in summed:
        check_quantity(surface, name)
    units = [surface.units[name] for surface in summed]
    if len(set(units)) > 1:
        raise InputError(
            f"{option}: {name} has the units {' and '.join(dict.fromkeys(units))}, and one colour "
            "cannot stand for both."
        )
    where = f"{', '.join(str(surface.path) for surface in summed)}: {name}"
    scale = choose_scale(summed, name, where=where)
    return [make_panel(surface, name, scale=scale) for surface in summed]


def _draw_border(canvas: Canvas, surface: Surface, *, to_edges: bool) -> None:
    """Draw where the data end, if that is inside the axes."""
    own = shared_limits([surface], to_edges=to_edges)
    assert canvas.limits is not None
    away = np.abs(own - canvas.limits) / np.ptp(canvas.limits, axis=1, keepdims=True)
    if away.max() > WORTH_A_BORDER:
        (left, right), (low, high) = own
        size = right - left, high - low
        canvas.axes.add_patch(Rectangle((left, low), *size, fill=False, zorder=2.5, **BORDER))
        canvas.axes.text(
            (left + right) / 2,
            high,
            "nothing computed beyond",
            ha="center",
            va="bottom",
            fontsize="x-small",
            color="0.3",
        )


def _title(row: list[Canvas], panels: list[Panel]) -> None:
    """Add the names of the files where the titles do not tell the surfaces apart."""
    titles = [canvas.axes.get_title() for canvas in row]
    if len(set(titles)) == len(titles):
        return
    names = short_names(panel.surface.path for panel in panels)
    for canvas, title, panel, name in zip(row, titles, panels, names, strict=True):
        first, _, rest = title.partition("\n")
        about = rest if first == plain(panel.surface.path.stem) else title  # of no known network
        canvas.axes.set_title("\n".join(filter(None, [plain(name), about])))
