"""The ring: median of a quantity over the distance from the center, with its band.

The band reaches from the 5th to the 95th percentile of the directions. Several surfaces stand in
one pair of axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape_mpi.store.schema import PRECISION_WARNING
from landscape_mpi.views import ring_table
from landscape_mpi.views.canvas import (
    Canvas,
    add_legend,
    count_points,
    label_of,
    make_canvas,
    plain,
    round_ticks,
    scaled,
    short_label_of,
    title_of,
    wrap,
)
from landscape_mpi.views.coordinate_ticks import CoordinateFormatter
from landscape_mpi.views.curve_colors import look_of
from landscape_mpi.views.joint_picture import JointPicture, names_of
from landscape_mpi.views.levels import Scale, make_scale
from landscape_mpi.views.line import set_scale
from landscape_mpi.views.number_text import number_text
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.picture_kind import PictureKind
from landscape_mpi.views.ring_table import RingNumbers

SIDES = (4.4, 3.0)  # inches
SEEN_FROM = 0.25  # of the loss of guessing: if no value is as high, it would flatten the curves
SEEN_DECADES = 3.0  # if all values are so many times their own decades higher, the same
MARGIN = 0.04  # share of the range of values, above and below
BANDS = (0.25, 0.18, 0.12)  # opacity of one band, of two, and of more
FEW = 2  # with more surfaces, bands need edges
EDGE: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.6, "zorder": 1.1}
GUESSING: dict[str, Any] = {"color": "0.35", "linestyle": (0, (1, 2)), "linewidth": 1.0}
REACHED: dict[str, Any] = {
    "marker": "o",
    "markersize": 4.5,
    "markerfacecolor": "white",
    "zorder": 4.0,
}


def join_rings(panels: Sequence[Panel]) -> JointPicture:
    """Return the picture of one quantity of one or several planes, and its numbers."""
    found = [ring_table.measure_rings(panel.surface, panel.name) for panel in panels]
    words = [
        f"{numbers.surface.path}: {numbers.name}: {ring_table.describe(numbers)}"
        for numbers in found
    ]
    tables = {"": ring_table.list_circles(found), "_numbers": ring_table.list_numbers(found)}
    return JointPicture(partial(_draw_figure, panels, found), words, tables)


def draw_ring_on(panel: Panel, canvas: Canvas | None) -> Canvas:
    """Draw the ring of one surface on a canvas, or on a new one if it is None."""
    canvas = canvas or make_canvas(*scaled(SIDES))
    _draw_on(canvas, [panel], [ring_table.measure_rings(panel.surface, panel.name)])
    return canvas


def _draw_figure(panels: Sequence[Panel], found: Sequence[RingNumbers]) -> Figure:
    canvas = make_canvas(*scaled(SIDES))
    _draw_on(canvas, panels, found)
    figure: Figure = canvas.figure
    return figure


def _draw_on(canvas: Canvas, panels: Sequence[Panel], found: Sequence[RingNumbers]) -> None:
    axes, scale = canvas.axes, _scale_of(panels, found)
    if len(panels) == 1:
        axes.set_title(title_of(panels[0].surface, panels[0].n_computed))
    _frame(canvas, panels[0], found)
    if scale is None:
        why = dict.fromkeys(ring_table.why_nothing(numbers) for numbers in found)
        words = wrap("; ".join(why), 0.8 * canvas.sides[0])
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
        return
    drawn = np.concatenate([_drawn(numbers) for numbers in found])
    highest = float(drawn.max())
    is_cut = bool(drawn.min() < scale.low), highest > scale.high
    _set_values(axes, scale, canvas.sides[1], is_cut)
    entries = _draw_curves(axes, panels, found, scale)
    entries += _draw_guessing(axes, found, scale)
    above = f"beyond the axis: up to {number_text(highest)}{found[0].unit}"
    notes = [above] * (highest > scale.high) + _notes(panels, found)
    entries += [Line2D([], [], linestyle="none", label=text) for text in notes]
    add_legend(canvas, entries)


def _frame(canvas: Canvas, panel: Panel, found: Sequence[RingNumbers]) -> None:
    """Label the axes; the horizontal one reaches as far as the largest circle."""
    axes, (width, height) = canvas.axes, canvas.sides
    axes.spines[["top", "right"]].set_visible(False)
    around = {ring_table.name_center(numbers) for numbers in found}
    center = around.pop() if len(around) == 1 else "the center"
    axes.set_xlabel(wrap(f"distance from {center}", width))
    axes.set_xlim(0.0, max(numbers.rings.radius[-1] for numbers in found) or 1.0)
    axes.xaxis.set_major_locator(round_ticks(width))
    axes.xaxis.set_major_formatter(CoordinateFormatter(width))
    label = label_of(panel.surface, panel.name, height)
    axes.set_ylabel(short_label_of(panel) if "\n" in label else label)


def _scale_of(panels: Sequence[Panel], found: Sequence[RingNumbers]) -> Scale | None:
    """Return a scale of the panels' kind for the drawn values; None if there are none.

    The axis ends where the colours of the panels end, but has room for the few lowest values.
    """
    scales = [panel.scale for panel in panels if panel.scale is not None]
    values = np.concatenate([_drawn(numbers) for numbers in found])
    if not len(values):
        return None
    kinds = {scale.kind for scale in scales}
    kind = kinds.pop() if len(kinds) == 1 else "linear"
    seen = [
        level for numbers in found if (level := _seen_guessing(numbers, values, kind)) is not None
    ]
    values = np.append(values, seen)
    lowest = values.min()
    if all(scale.clipped is not None for scale in scales):
        lows, highs = zip(*(scale.clipped or () for scale in scales), strict=True)
        start = lowest if any(scale.leaves_few for scale in scales) else min(lows)
        values = np.clip(values, start, max(highs))
    if kind == "linear" and 0 < values.min() <= lowest:
        values = np.append(values, 0.0)
    positive = kind != "log" or (values > 0).any()
    return make_scale(values, where=panels[0].name, kind=kind if positive else "linear")


def _drawn(numbers: RingNumbers) -> np.ndarray:
    """Return the ends of the bands that are drawn, float64 [n]; empty if no circle has a band."""
    rings = numbers.rings
    if ring_table.why_nothing(numbers):
        return np.empty(0)
    return np.concatenate([rings.low[rings.is_known], rings.high[rings.is_known]])


def _seen_guessing(numbers: RingNumbers, values: np.ndarray, kind: str) -> float | None:
    """Return the loss of guessing, None if it is far from all drawn values of this scale."""
    level = numbers.guessing
    if level is None or values.max() <= SEEN_FROM * level:
        return None
    if kind != "log" or values.min() <= level:
        return level
    decades = max(1.0, math.log10(values.max()) - math.log10(values.min()))
    return level if math.log10(values.min() / level) <= SEEN_DECADES * decades else None


def _set_values(axes: Axes, scale: Scale, inches: float, is_cut: tuple[bool, bool]) -> None:
    """Give the vertical axis its kind of scale, its range and its ticks.

    Args:
        axes: Axes whose vertical axis is scaled.
        scale: Scale of the drawn values.
        inches: Height of the axis.
        is_cut: Whether bands continue below and above; then the axis ends with the scale.
    """
    if scale.kind == "linear":
        axes.yaxis.set_major_locator(round_ticks(1.6 * inches))
    else:
        set_scale(axes, scale, inches)
    if scale.is_constant:
        axes.set_ylim(*scale.bands[[0, -1]])
        return
    low, high = (float(height) for height in scale.height(np.array([scale.low, scale.high])))
    margin = MARGIN * (high - low)
    from_0 = scale.kind == "linear" and low == 0 < high
    below, above = (0.0 if cut else margin for cut in (is_cut[0] or from_0, is_cut[1]))
    ends = scale.value(np.array([low - below, high + above]))
    axes.set_ylim(float(ends[0]), float(ends[1]))


def _draw_curves(
    axes: Axes, panels: Sequence[Panel], found: Sequence[RingNumbers], scale: Scale
) -> list[Artist]:
    """Draw medians and bands; return the entries of the legend."""
    opacity = BANDS[min(len(found), len(BANDS)) - 1]
    names = [plain(name) for name in names_of([panel.surface for panel in panels])]
    least = scale.low if scale.log else -np.inf
    entries: list[Artist] = []
    for k, (panel, numbers) in enumerate(zip(panels, found, strict=True)):
        rings, look = numbers.rings, look_of(k)
        label = "median over the directions"
        if len(found) > 1:
            label = ", ".join([names[k], *_remarks(panel, numbers)])
        low, median, high = (
            np.maximum(values, least) for values in (rings.low, rings.median, rings.high)
        )
        axes.fill_between(
            rings.radius, low, high, color=look["color"], alpha=opacity, linewidth=0.0, zorder=1.0
        )
        if len(found) > FEW:
            for end in (low, high):
                axes.plot(rings.radius, end, **(EDGE | {"color": look["color"]}))
        entries += axes.plot(rings.radius, median, linewidth=1.6, label=label, **look)
    color = look_of(0)["color"] if len(found) == 1 else "0.4"
    words = "5 to 95 % of the directions"
    return [*entries, Patch(facecolor=color, alpha=opacity, linewidth=0.0, label=words)]


def _remarks(panel: Panel, numbers: RingNumbers) -> Iterator[str]:
    """Yield remarks for the title of a single surface: what is missing, and warnings."""
    surface = panel.surface
    if panel.n_computed < surface.n_points:
        yield f"{panel.n_computed} of {count_points(surface.n_points)}"
    if warning := str(surface.attributes.get(PRECISION_WARNING, "")):
        yield plain(warning.partition(":")[0])
    if ring_table.why_nothing(numbers):
        yield "without a circle"


def _draw_guessing(axes: Axes, found: Sequence[RingNumbers], scale: Scale) -> list[Artist]:
    """Draw the loss of guessing, and where medians reach it; return the entry of the legend."""
    entries: dict[float, Artist] = {}
    for k, numbers in enumerate(found):
        level = numbers.guessing
        if level is None or not scale.low <= level <= scale.high:
            continue
        axes.axhline(level, zorder=0.5, **GUESSING)
        if (reached := numbers.rings.reach(level)) > 0:  # at 0 the median may lie above the line
            axes.plot([reached], [level], color=look_of(k)["color"], clip_on=False, **REACHED)
        label = f"guessing: {level:.3g}{numbers.unit}"
        entries[level] = Line2D([], [], label=label, **GUESSING)
    return list(entries.values())


def _notes(panels: Sequence[Panel], found: Sequence[RingNumbers]) -> list[str]:
    """Return notes about points that the curves do not show."""
    notes = []
    if bad := sum(panel.n_not_finite for panel in panels):
        notes.append(f"not finite: {count_points(bad)}")
    if not all(numbers.rings.is_known.all() for numbers in found):
        notes.append("circles beside missing values are left out")
    return notes


RING = PictureKind(
    draw_on=draw_ring_on,
    words="median and 5 to 95 % band against the distance from the center; several files share one "
    "pair of axes",
    is_smoothed=False,
    join=join_rings,
)
