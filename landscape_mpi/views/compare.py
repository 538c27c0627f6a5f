"""Several surfaces in a grid: the same ranges, levels and colours, one colour bar, one legend.

So a difference between two pictures is a difference between the networks, as in figure 1 of the
paper (Li et al. 2018, arXiv:1712.09913): with and without skip connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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
from landscape_mpi.views.areas import edges_of
from landscape_mpi.views.beyond import words_beyond
from landscape_mpi.views.canvas import Canvas, plain, scaled, sides_of, title_of
from landscape_mpi.views.choice import ONLY_IF_NAMED, check_quantity
from landscape_mpi.views.default_scale import scales_of
from landscape_mpi.views.grid import (
    Heads,
    columns_of,
    draw_legend,
    fit_heads,
    make_grid,
    set_heads,
)
from landscape_mpi.views.levels import USUAL, Scale, ScaleRequest
from landscape_mpi.views.line import MEASURES, draw_line_on, measure_of, share_heights
from landscape_mpi.views.panel import Panel, make_panel
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.pictures import Picture, join_pictures, panels_for
from landscape_mpi.views.shaded import SIDES as SPACE_SIDES
from landscape_mpi.views.space import Space

MOST = 12
SHARES = (1.0, 1.0, 0.66)  # of the usual sides, for 1, 2 and 3 columns
FAR = 100.0  # ratio of the sizes of two planes beyond which common axes would hide the smaller
APART = "one range would flatten some surfaces, so they have different ranges"
APART_LINES = "one axis would flatten some lines, so they have different axes"
APART_AXES = "planes differ in size by more than a factor of 100, so each picture has its own axes"
IN_SPACE: dict[str, Any] = {
    "bar_gap": 0.65,
    "bar_share": 0.6,
    "projection": "3d",
    "between": 0.7,
}
UNBROKEN = 1e3  # inches of a title line; the title is folded later
LINE_SIDES = (4.0, 3.0)  # inches
BORDER: dict[str, Any] = {"color": "0.4", "linewidth": 0.8, "linestyle": (0, (2, 2))}

WORTH_A_BORDER = 0.03  # share of a range; half a cell of a heat map is smaller


def check_comparable(surfaces: Sequence[Surface]) -> None:
    """Check that surfaces can stand side by side.

    Raises:
        InputError: If there is one or too many, or if they are of different kinds.
    """
    if not 2 <= len(surfaces) <= MOST:
        raise InputError(
            f"--compare draws 2 to {MOST} surface files side by side, but {len(surfaces)} "
            + (
                "is named. Name more files, or leave out --compare."
                if len(surfaces) == 1
                else "are named. Name fewer files, or leave out --compare."
            )
        )
    for surface in surfaces:
        if surface.is_curve or surface.has_pairs:
            raise InputError(
                f"{surface.path}: --compare: this file holds lines between solutions and already "
                "compares them. Plot it by itself."
            )
    first = surfaces[0]
    for other in surfaces[1:]:
        if other.is_line != first.is_line:
            plane, line = (other, first) if first.is_line else (first, other)
            raise InputError(
                f"--compare: {plane.path} is a plane and {line.path} a line, so they have no "
                "common axes. Compare planes with planes."
            )


def make_shared_panels(
    surfaces: Sequence[Surface],
    quantities: list[str] | None,
    asked: ScaleRequest = USUAL,
    *,
    option: str = "--compare",
) -> list[list[Panel]]:
    """Prepare the requested quantities, or, if None, all that the surfaces have in common.

    Args:
        surfaces: The surfaces.
        quantities: Names, and sums of names.
        asked: The requested scale.
        option: The option that requested it, for messages.

    Returns:
        For each quantity the panels of all surfaces, with the scales that they share: see
        default_scale.scales_of.

    Raises:
        InputError: If a surface lacks a quantity, or they have none in common.
    """
    names = quantities or [name for name in surfaces[0].values if _is_shared(surfaces, name)]
    if not names:
        held = "; ".join(f"{surface.path} has {', '.join(surface.values)}" for surface in surfaces)
        raise InputError(
            f"{option}: the files have no quantity in common: {held}. Name files that share a "
            "quantity."
        )
    if surfaces[0].is_line:  # a line has no levels
        asked = replace(asked, levels=None)
    several = quantities is None or len(names) > 1
    choose_scales = partial(scales_of, asked=asked, gives_way=several)
    return [_panels_of(surfaces, name, choose_scales, option) for name in names]


def plan_comparison(
    rows: list[list[Panel]],
    *,
    kinds: list[str],
    out_dir: Path | None = None,
    suffix: str = "png",
    smooth: int = 1,
    space: Space | None = None,
    heading: str | None = None,
) -> list[Picture]:
    """Return the pictures that compare surfaces: one per quantity and kind, or one of all lines.

    Args:
        rows: The panels of all surfaces, a row for each quantity.
        kinds: Kinds of pictures, keys of registry.PICTURES.
        out_dir: Folder of the pictures; None for that of the first surface.
        suffix: Suffix of the files.
        smooth: Cells for each one computed, along an axis.
        space: View in three dimensions; None for the usual one.
        heading: Title of each picture.

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
                f"--smooth {smooth} applies to planes, but {surfaces[0].path} is a line. Leave it "
                "out."
            )
        together = [row for row in rows if measure_of(row[0].name) in MEASURES]
        alone = [row for row in rows if measure_of(row[0].name) not in MEASURES]
        draw = partial(draw_lines, heading=heading)
        pictures = [Picture(named("line"), partial(draw, together))] if together else []
        return pictures + [
            Picture(named(f"{row[0].name}_line"), partial(draw, [row])) for row in alone
        ]
    return [
        join_pictures(row, kind, named(f"{row[0].name}_{kind}"), heading=heading)
        or Picture(
            named(f"{row[0].name}_{kind}"),
            partial(draw_grid, panels_for(row, kind, smooth, space), kind, heading=heading),
        )
        for row in rows
        for kind in kinds
    ]


def draw_grid(
    panels: list[Panel],
    kind: str,
    *,
    limits: np.ndarray | None = None,
    heading: str | None = None,
) -> Figure:
    """Draw one quantity of one or several surfaces, in rows of at most three.

    Args:
        panels: The quantity of each surface.
        kind: One of registry.PICTURES.
        limits: Ranges of the axes, float64 [2, 2]; None for the ranges that hold all surfaces.
        heading: Title of the figure.
    """
    n, picture = len(panels), find_kind(kind)
    to_edges = picture.reaches_edges
    own = [shared_limits([panel.surface], to_edges=to_edges) for panel in panels]
    is_far = limits is None and _are_far_apart(own)
    if limits is None:
        limits = shared_limits([panel.surface for panel in panels], to_edges=to_edges)
    in_space = picture.is_in_space
    flat_sides = scaled(LINE_SIDES) if is_far else sides_of(*np.ptp(limits, axis=1))
    usual = scaled(SPACE_SIDES) if in_space else flat_sides
    sides = _share_of(usual, n)
    heads = _heads_of(panels, sides[0])
    is_apart = have_own_scales(panels)
    look: dict[str, Any] = IN_SPACE if in_space else {}
    place: dict[str, Any] = {
        "limits": own if is_far else limits,
        "heads": heads,
        "heading": heading,
        "has_own_bars": is_apart,
    }
    grid = make_grid(sides, n, **place, **look)
    for panel, canvas in zip(panels, grid, strict=True):
        picture.draw_on(panel, canvas)
        if not in_space:
            _draw_border(canvas, panel.surface, to_edges=to_edges)
    set_heads(grid, heads)
    notes = [APART] if is_apart else []
    draw_legend(grid, [*notes, *([APART_AXES] if is_far else [])])
    return grid[0].figure


def draw_lines(rows: list[list[Panel]], *, heading: str | None = None) -> Figure:
    """Draw lines side by side on axes with the same ranges, a row for each quantity."""
    surfaces = [panel.surface for panel in rows[0]]
    n = len(surfaces)
    usual = scaled(LINE_SIDES)
    sides = _share_of(usual, n)[0], max(_share_of(usual, n)[1], 0.7 * usual[1])
    heads = replace(_heads_of(rows[0], sides[0]), words=[""] * n)  # the legend says how far
    limits = shared_limits(surfaces, to_edges=False)
    grid = make_grid(sides, n, limits=limits, heads=heads, heading=heading)
    ends = [replace(canvas, is_last=_ends_row(k, n)) for k, canvas in enumerate(grid)]
    heights = [
        draw_line_on([panels[k] for panels in rows], canvas) for k, canvas in enumerate(ends)
    ]
    apart = [row for row in rows if have_own_scales(row)]
    ranges: dict[str, list[tuple[Any, ...]]] = {}
    for row in apart:  # of training and test there is one axis
        known = ranges.get(measure_of(row[0].name), [()] * n)
        own = [(*old, _range_of(panel)) for old, panel in zip(known, row, strict=True)]
        ranges[measure_of(row[0].name)] = own
    share_heights(heights, ranges)
    set_heads(grid, heads)
    names = ", ".join(row[0].name for row in apart).replace("_", " ")
    draw_legend(grid, [f"{names}: {APART_LINES}"] if apart else [])
    return grid[0].figure


def _are_far_apart(limits: Sequence[np.ndarray]) -> bool:
    """Say whether common axes would hide the smallest of some planes, each float64 [2, 2]."""
    spans = np.array([np.ptp(each, axis=1) for each in limits])
    return bool((spans.max(axis=0) > FAR * spans.min(axis=0)).any())


def have_own_scales(panels: Sequence[Panel]) -> bool:
    """Say whether some of the panels have another range than the others."""
    return len({_range_of(panel) for panel in panels if panel.scale is not None}) > 1


def _range_of(panel: Panel) -> tuple[Any, ...]:
    scale = panel.scale
    return () if scale is None else (scale.low, scale.high, scale.kind, scale.clipped)


def _share_of(sides: tuple[float, float], n: int) -> tuple[float, float]:
    share = SHARES[columns_of(n) - 1]
    return share * sides[0], share * sides[1]


def _ends_row(k: int, n: int) -> bool:
    return (k + 1) % columns_of(n) == 0 or k == n - 1


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
    choose_scales: Callable[..., list[Scale | None]],
    option: str,
) -> list[Panel]:
    summed = [with_sum(surface, name) for surface in surfaces]
    for surface in summed:
        check_quantity(surface, name)
    units = [surface.units[name] for surface in summed]
    if len(set(units)) > 1:
        raise InputError(
            f"{option}: {name} has the units {' and '.join(dict.fromkeys(units))}, but one colour "
            "scale cannot show both. Draw the files separately."
        )
    where = f"{', '.join(str(surface.path) for surface in summed)}: {name}"
    scales = choose_scales(summed, name, where=where)
    return [
        make_panel(surface, name, scale=scale)
        for surface, scale in zip(summed, scales, strict=True)
    ]


def _draw_border(canvas: Canvas, surface: Surface, *, to_edges: bool) -> None:
    """Draw the border of the data, if it lies inside the axes."""
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


def _heads_of(panels: Sequence[Panel], inches: float) -> Heads:
    """Return the text over each picture of this width, in inches: its title, and values beyond."""
    words = ["\n".join(words_beyond(panel, short=True)) for panel in panels]
    return fit_heads(_titles_of(panels), words if len(panels) > 1 else [""], inches)


def _titles_of(panels: Sequence[Panel]) -> list[str]:
    """Return titles, with the names of the files if the titles do not tell the surfaces apart."""
    titles = [title_of(panel.surface, panel.n_computed, UNBROKEN) for panel in panels]
    if len(set(titles)) == len(titles):
        return titles
    names = [
        panel.surface.label or name
        for panel, name in zip(
            panels, short_names(panel.surface.path for panel in panels), strict=True
        )
    ]
    found = []
    for title, panel, name in zip(titles, panels, names, strict=True):
        first, _, rest = title.partition("\n")
        known = plain(panel.surface.label or panel.surface.path.stem)
        about = rest if first == known else title  # the network is unknown
        found.append("\n".join(filter(None, [plain(name), about])))
    return found
