"""The picture of a line: losses and errors on two axes, or a single other quantity."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.areas import edges_of
from landscape_mpi.views.beyond import words_beyond
from landscape_mpi.views.canvas import (
    HOLE,
    TICK_HEIGHT,
    Canvas,
    add_legend,
    count_points,
    floor_notes,
    label_of,
    label_with_room,
    make_canvas,
    plain,
    round_ticks,
    scaled,
    thin_out,
    title_of,
    unit_of,
)
from landscape_mpi.views.coordinate_ticks import CoordinateFormatter
from landscape_mpi.views.levels import Scale, format_levels, make_scale
from landscape_mpi.views.page import current_page
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.solution_marks import draw_marks_on_line

SIDES = (5.0, 3.2)  # inches
MARGIN = 0.05  # share of the range of values, above and below
MARKED_UP_TO = 60  # points: the markers of more would merge into a band
# Colour, marker and its size; an open square stays visible where a loss lies on an error.
MEASURES = {"loss": ("#1f4e8c", "o", 3.0), "error": ("#b5451b", "s", 4.5)}
OTHER = ("0.2", "o", 3.0)
SPLITS = {"train": "-", "test": "--"}


def draw_line(panels: list[Panel]) -> Figure:
    """Draw quantities of one line: losses and errors on two axes, or a single other quantity."""
    canvas = make_canvas(*scaled(SIDES))
    draw_line_on(panels, canvas)
    return canvas.figure


def draw_line_on(panels: list[Panel], canvas: Canvas) -> dict[str, Axes]:
    """Draw quantities of one line on a canvas; return the axes of each measure."""
    surface = panels[0].surface
    left = canvas.axes
    left.set_title(title_of(surface, max(panel.n_computed for panel in panels)))
    groups = list(group_by_measure(panels).items())
    entries: list[Artist] = []
    all_axes = _axes_for(left, len(groups))
    for (measure, group), axes in zip(groups, all_axes, strict=True):
        entries += _draw_group(axes, measure, group, canvas.sides[1])
    entries += _frame_line(left, surface, canvas)
    entries += draw_marks_on_line(left, panels[0])
    entries += shade_holes(left, panels)
    entries += [note for panel in panels for note in floor_notes(panel)]
    entries += _words_beyond(panels)
    add_legend(canvas, entries)
    for axes, has_label in zip(all_axes, (canvas.is_first, canvas.is_last), strict=False):
        if not has_label:
            axes.set_ylabel("")
            axes.tick_params(axis="y", labelleft=False, labelright=False)
    return {measure: axes for (measure, _), axes in zip(groups, all_axes, strict=True)}


def share_heights(row: list[dict[str, Axes]], apart: Mapping[str, Sequence[Hashable]]) -> None:
    """Give the axes of each measure in a row of lines the range that holds all of them.

    Args:
        row: The axes of each line, by measure.
        apart: Of measures whose lines do not all share a range: the range of each line. Lines
            with the same one share it.
    """
    for measure in row[0]:
        groups = apart.get(measure, [None] * len(row))
        for group in set(groups):
            sharing = [axes[measure] for axes, own in zip(row, groups, strict=True) if own == group]
            ends = np.array([axes.get_ylim() for axes in sharing])
            for axes in sharing:
                axes.set_ylim(ends[:, 0].min(), ends[:, 1].max())


def measure_of(name: str) -> str:
    """Return loss or error for the quantities of a split, the name itself for any other."""
    split, _, measure = name.partition("_")
    return measure if split in SPLITS and measure in MEASURES else name


def split_of(name: str) -> str:
    """Return the split of a quantity; empty for a quantity without one."""
    split = name.partition("_")[0]
    return split if split in SPLITS else ""


def without_split(name: str) -> str:
    """Return the name of a quantity without its split: loss, error, or a metric."""
    return name.removeprefix(f"{split_of(name)}_") if split_of(name) else name


def group_over_splits(panels: list[Panel]) -> dict[str, list[Panel]]:
    """Return the panels of each quantity in their given order, training set first."""
    groups: dict[str, list[Panel]] = {}
    for panel in panels:
        groups.setdefault(without_split(panel.name), []).append(panel)
    order = ["", *SPLITS]
    return {
        name: sorted(group, key=lambda panel: order.index(split_of(panel.name)))
        for name, group in groups.items()
    }


def label_over_splits(measure: str, panels: list[Panel], inches: float) -> str:
    """Return the label of an axis of one quantity, with the split only if there is a single one.

    Args:
        measure: Name from group_over_splits.
        panels: The panels of the splits.
        inches: Length of a line.
    """
    surface, name = panels[0].surface, panels[0].name
    if measure in MEASURES or len(panels) > 1:
        return plain(measure.replace("_", " ") + unit_of(surface, name))
    return label_of(surface, name, inches)


def group_by_measure(panels: list[Panel]) -> dict[str, list[Panel]]:
    """Return the panels of each measure, in their given order."""
    groups: dict[str, list[Panel]] = {}
    for panel in panels:
        groups.setdefault(measure_of(panel.name), []).append(panel)
    return groups


def _axes_for(left: Axes, n_groups: int) -> list[Axes]:
    return [left, *(left.twinx() for _ in range(n_groups - 1))]


def _draw_group(axes: Axes, measure: str, panels: list[Panel], inches: float) -> list[Artist]:
    """Draw the panels of one measure on an axis of this height; return their legend entries."""
    color, marker, size = MEASURES.get(measure, OTHER)
    entries: list[Artist] = []
    for panel in panels:
        _, position = coordinate_of(panel.surface)
        look: dict[str, Any] = {
            "color": color,
            "linestyle": SPLITS.get(panel.name.partition("_")[0], "-"),
        }
        label = plain(panel.surface.long_names[panel.name])
        if panel.surface.has_repeats:
            entries += _draw_repeats(axes, panel, look, label=label)
            continue
        computed = panel.computed.ravel()
        entries += axes.plot(
            position[computed],
            shown_values(panel).ravel()[computed],
            marker=marker if computed.sum() <= MARKED_UP_TO else "",
            markersize=size,
            markerfacecolor="none" if marker == "s" else color,
            linewidth=1.4,
            label=label,
            **look,
        )
    first = panels[0].surface, panels[0].name
    alone = measure not in MEASURES
    label = label_of(*first, SIDES[1]) if alone else plain(measure + unit_of(*first))
    axes.set_ylabel(label, color=color)
    axes.tick_params(axis="y", colors=color)
    scale_axis(axes, panels, inches)
    _end_axis(axes, panels)
    return entries


def _end_axis(axes: Axes, panels: list[Panel]) -> None:
    """End the vertical axis at the common end of the colours, if values lie beyond it."""
    scales = [panel.scale for panel in panels if panel.scale is not None]
    ends = [scale.clipped for scale in scales if scale.clipped is not None]
    if not ends or len(ends) < len(scales):
        return
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    least, most = min(s.low for s in scales), max(s.high for s in scales)
    shown = scales[0].height(np.array([max(low, least), min(high, most)]))
    if not shown[0] < shown[1]:
        shown = scales[0].height(np.array([low, high]))
    margin = MARGIN * (shown[1] - shown[0]) * np.array([least >= low, most <= high])
    bottom, top = scales[0].value(shown + margin * np.array([-1, 1]))
    axes.set_ylim(float(bottom), float(top))


def _words_beyond(panels: list[Panel]) -> list[Artist]:
    """Return legend entries for the values beyond the end of the axis."""
    entries: list[Artist] = []
    for panel in panels:
        name = f"{panel.name.replace('_', ' ')}: " if len(panels) > 1 else ""
        for words in words_beyond(panel):
            entries.append(Line2D([], [], linestyle="none", label=plain(f"{name}{words}")))
    return entries


def _draw_repeats(axes: Axes, panel: Panel, look: dict[str, Any], *, label: str) -> list[Artist]:
    """Draw a thin line along each direction; return the legend entry of all of them."""
    position, shown = panel.surface.alpha, shown_values(panel)
    drawn: list[Artist] = []
    for number in range(shown.shape[1]):
        there = panel.computed[:, number]
        drawn += axes.plot(position[there], shown[there, number], linewidth=0.7, alpha=0.8, **look)
    drawn[0].set_label(f"{label}, {len(drawn)} directions")
    return drawn[:1]


def shown_values(panel: Panel) -> np.ndarray:
    """Return the values, NaN if not finite, raised to the smallest of a log scale."""
    values = np.where(panel.finite, panel.values, np.nan)
    return np.maximum(values, panel.scale.low) if panel.scale and panel.scale.log else values


def scale_axis(axes: Axes, panels: list[Panel], inches: float) -> None:
    """Give the vertical axis the kind of scale of all panels, or a linear one if they differ.

    Args:
        axes: Axes whose vertical axis is scaled.
        panels: Quantities that are drawn against it.
        inches: Height of the axis, which limits the number of labels.
    """
    scales = [panel.scale for panel in panels if panel.scale is not None]
    if not scales:
        axes.set_yticks([])
    elif len({scale.kind for scale in scales}) == 1 and scales[0].kind != "linear":
        ends = np.array([end for scale in scales for end in (scale.low, scale.high)])
        common = make_scale(ends, where=panels[0].name, kind=scales[0].kind)
        assert common is not None
        least = min(scale.threshold for scale in scales)
        set_scale(axes, replace(common, threshold=least), inches)


def set_scale(axes: Axes, scale: Scale, inches: float) -> None:
    """Give the vertical axis a logarithmic scale, or a symmetric one.

    Args:
        axes: Axes whose vertical axis is scaled.
        scale: A scale that is not linear.
        inches: Height of the axis, which limits the number of labels.
    """
    if scale.log:
        axes.set_yscale("log")
    else:
        axes.set_yscale("function", functions=(scale.height, scale.value))
    most = max(3, int(inches / (TICK_HEIGHT * current_page().letters)))
    ticks = thin_out(scale.bands, most, decades=scale.log)
    axes.yaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, labels=format_levels(ticks))


def coordinate_of(surface: Surface) -> tuple[str, np.ndarray]:
    """Return the name and the coordinates of the axis along which the line runs."""
    along_alpha = len(surface.beta) == 1 or surface.has_repeats
    return ("alpha", surface.alpha) if along_alpha else ("beta", surface.beta)


def _frame_line(axes: Axes, surface: Surface, canvas: Canvas) -> list[Artist]:
    """Label the axis of the line; mark its center, unless other marks do, and return the entry."""
    name, position = coordinate_of(surface)
    axes.xaxis.set_major_locator(round_ticks(canvas.sides[0], 7))
    axes.xaxis.set_major_formatter(CoordinateFormatter(canvas.sides[0]))
    if canvas.is_lowest:
        axes.set_xlabel(label_with_room(canvas, surface, name, canvas.sides[0]))
    else:
        axes.tick_params(axis="x", labelbottom=False)
    if canvas.limits is not None:
        low, high = canvas.limits[0 if name == "alpha" else 1]
        axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    across = surface.beta if name == "alpha" else surface.alpha
    if surface.marks or across[0] != 0 or not position.min() <= 0 <= position.max():
        return []
    look: dict[str, Any] = {"color": "0.5", "linewidth": 0.8, "linestyle": ":"}
    axes.axvline(0.0, zorder=0, **look)
    return [Line2D([], [], label=rf"center, $\{name}$ = 0", **look)]


def shade_holes(axes: Axes, panels: list[Panel]) -> list[Artist]:
    """Hatch the points where a quantity is not finite; return the legend entry."""
    bad = np.any([panel.computed & ~panel.finite for panel in panels], axis=0)
    bad = bad.any(axis=1) if panels[0].surface.has_repeats else bad.ravel()
    return hatch_places(axes, coordinate_of(panels[0].surface)[1], bad)


def hatch_places(axes: Axes, position: np.ndarray, bad: np.ndarray) -> list[Artist]:
    """Hatch places of an axis; return the legend entry, if there are any.

    Args:
        axes: Axes to draw on.
        position: Coordinates of the places, float64 [n].
        bad: True where some value is not finite, bool [n].
    """
    if not bad.any():
        return []
    borders = edges_of(position)
    for k in np.flatnonzero(bad):
        axes.axvspan(borders[k], borders[k + 1], zorder=0, **HOLE)
    return [Patch(label=f"not finite: {count_points(int(bad.sum()))}", **HOLE)]
