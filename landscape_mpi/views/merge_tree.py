"""The merge tree of a surface beside its persistence diagram.

The tree has a vertical line for each minimum, from its value up to that of the saddle where its
pool meets a deeper one and ends. The diagram shows each pair by the values where it begins and
ends; pairs farther from the diagonal are more persistent. A minimum that never ends reaches up to
the highest point of the surface. If that would squeeze the rest, both pictures end a little above
the highest other point.

Sources: Edelsbrunner & Harer 2010, "Computational Topology", chapter VII; Carr, Snoeyink, Axen
2003, "Computing contour trees in all dimensions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from landscape_mpi.views.canvas import (
    TICK_HEIGHT,
    TITLE_CHARACTER,
    label_of,
    scaled,
    thin_out,
    title_of,
    wrap,
)
from landscape_mpi.views.critical import MAXIMUM, MINIMUM, SADDLE, area_of
from landscape_mpi.views.levels import Scale, format_levels, make_scale
from landscape_mpi.views.number_text import number_text
from landscape_mpi.views.topology import NONE, Topology

SIDE, TREE_WIDTH = 3.6, 4.6  # inches
MOST_BRANCHES = 60
NUMBERED = 8  # largest number of minima, as in the table
FEW = 200  # a diagram with at most this many points has large ones
SQUEEZED = 0.75  # of the whole range: if the branches have less, the trunk is cut
MARGIN = 0.1  # of the range
BETWEEN_ENDS = 0.62  # of SIDE: share that the layout leaves for the axes without margins
MANY = 20  # with more branches, they are drawn thinner
TRUNK: dict[str, Any] = {"colors": "0.25", "linewidths": 1.1, "zorder": 1.0}
BRANCH: dict[str, Any] = {"colors": "0.45", "linewidths": 0.6, "zorder": 0.9}


def draw_topology(found: Sequence[Topology]) -> Figure:
    """Draw merge tree and persistence diagram of a surface; for several lines, only the diagram."""
    first = found[0]
    panel = first.panel
    n = 2 if len(found) == 1 else 1
    sides = (TREE_WIDTH + SIDE, SIDE + 0.5) if n == 2 else (SIDE + 1.4, SIDE + 0.9)
    figure = Figure(figsize=scaled(sides), layout="constrained")
    widths = [TREE_WIDTH, SIDE] if n == 2 else [SIDE]
    axes = figure.subplots(1, n, squeeze=False, width_ratios=widths)[0]
    scale = _scale_of(found)
    for part in axes:
        _frame(part, "y", scale)
        part.spines[["top", "right"]].set_visible(False)
    _frame(axes[-1], "x", scale)
    if n == 2:
        _draw_tree(axes[0], first)
    _draw_diagram(axes[-1], found)
    axes[0].set_ylabel(label_of(panel.surface, panel.name, SIDE))
    figure.suptitle(title_of(panel.surface, panel.n_computed), fontsize="medium")
    figure.legend(handles=_entries(found), loc="outside lower center", ncols=4, frameon=False)
    return figure


def order_leaves(into: np.ndarray, ends: np.ndarray) -> list[int]:
    """Return the branches of a tree from left to right, so that no two of their lines cross.

    Branches that end in the same one alternate between its two sides, the lowest end nearest to it.

    Args:
        into: The branch in which each one ends, NONE for a trunk, int64 [n].
        ends: The height at which it ends, float64 [n].
    """

    def arrange(branch: int) -> list[int]:
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        for k, child in enumerate(sorted(np.flatnonzero(into == branch), key=lambda c: ends[c])):
            sides[k % 2].append(arrange(int(child)))
        left, right = sides[1][::-1], sides[0]
        return [leaf for part in (*left, [branch], *right) for leaf in part]

    return [leaf for trunk in np.flatnonzero(into == NONE) for leaf in arrange(int(trunk))]


def _scale_of(found: Sequence[Topology]) -> Scale:
    """Return a scale over the values that are shown; it gives the ticks of the axes."""
    top = _highest_shown(found)
    values = np.concatenate(
        [t.panel.values[t.panel.finite & (t.panel.heights <= top)] for t in found]
    )
    kind = "log" if found[0].panel.scale is not None and found[0].panel.scale.log else "linear"
    scale = make_scale(values, where=found[0].panel.name, kind=kind)
    assert scale is not None
    return scale


def _highest_shown(found: Sequence[Topology]) -> float:
    """Return the largest height that is shown: where the last pools meet, or the highest point."""
    finite = np.concatenate([t.panel.heights[t.panel.finite] for t in found])
    meeting = np.concatenate(
        [
            t.panel.heights.ravel()[points]
            for t in found
            for points in (t.minima.saddle[t.minima.saddle != NONE], t.maxima.point)
        ]
    )
    lowest, highest = float(finite.min()), float(finite.max())
    last = float(meeting.max(initial=lowest))
    return last if 0 < last - lowest < SQUEEZED * (highest - lowest) else highest


def _frame(axes: Axes, name: str, scale: Scale) -> None:
    """Give the axis x or y the range of the scale in heights, and its values as ticks."""
    low, high = (float(height) for height in scale.height(np.array([scale.low, scale.high])))
    margin = MARGIN * (high - low) or 1.0
    axes.set(**{f"{name}lim": (low - margin, high + margin)})
    ticks = np.array([scale.low]) if scale.is_constant else scale.levels
    widest = max(len(text) for text in format_levels(ticks))
    needed = TICK_HEIGHT if name == "y" else TICK_HEIGHT + TITLE_CHARACTER * max(4, widest)
    room = BETWEEN_ENDS * SIDE / needed
    ticks = thin_out(ticks, max(2, int(room)))
    axis = axes.yaxis if name == "y" else axes.xaxis
    axis.set_major_locator(FixedLocator(list(scale.height(ticks))))
    axis.set_minor_locator(NullLocator())
    axis.set_ticklabels(format_levels(ticks))


def _draw_tree(axes: Axes, topology: Topology) -> None:
    heights = topology.panel.heights.ravel()
    minima = topology.minima.first(MOST_BRANCHES)
    into = topology.into[: len(minima)]
    bottoms, tops = heights[minima.point], heights[minima.point] + minima.persistence
    x = np.empty(len(minima))
    x[order_leaves(into, tops)] = np.arange(len(minima))
    ended = into != NONE
    limit = axes.get_ylim()[1]
    shown = np.minimum(tops, limit)
    stems = np.stack([np.stack([x, bottoms], axis=1), np.stack([x, shown], axis=1)], axis=1)
    arms = stems[ended, 1][:, None].repeat(2, axis=1)
    arms[:, 1, 0] = x[into[ended]]
    branch = BRANCH if len(minima) > MANY else TRUNK
    axes.add_collection(LineCollection([*stems[ended], *arms], **branch))
    axes.add_collection(LineCollection(list(stems[~ended]), **TRUNK))
    for trunk in x[tops > limit]:
        axes.plot(trunk, limit, marker="^", markersize=5.0, color="0.25", clip_on=False)
        _say_top(axes, topology, trunk)
    _draw_points(axes, topology, arms[:, 1, 0], tops[ended], minima.persistence[ended], SADDLE)
    _draw_points(axes, topology, x, bottoms, minima.persistence, MINIMUM)
    for k in range(min(NUMBERED, len(minima))):
        place: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, -13), "ha": "center"}
        axes.annotate(str(k + 1), (x[k], bottoms[k]), fontsize="x-small", **place)
    axes.set_box_aspect(SIDE / TREE_WIDTH)  # as tall as the diagram
    axes.set_xlim(-0.8, len(minima) - 0.2)
    axes.set_xticks([])
    n = len(topology.minima)
    words = f"the {len(minima)} most persistent of {n} minima" if n > len(minima) else "minima"
    axes.set_xlabel(wrap(f"{words}, each up to where it meets a deeper one", 0.9 * TREE_WIDTH))
    axes.set_title("merge tree", fontsize="small")


def _say_top(axes: Axes, topology: Topology, x: float) -> None:
    """Write the value to which a minimum at the upper edge of the axes continues."""
    highest = topology.panel.values[topology.panel.finite].max()
    low, high = axes.get_xlim()
    side, align = (4, "left") if x < (low + high) / 2 else (-4, "right")
    place: dict[str, Any] = {"textcoords": "offset points", "xytext": (side, 0)}
    words = f"up to {number_text(float(highest))}"
    axes.annotate(words, (x, axes.get_ylim()[1]), ha=align, va="top", fontsize="x-small", **place)


def _draw_points(
    axes: Axes,
    topology: Topology,
    x: np.ndarray,
    y: np.ndarray,
    persistence: np.ndarray,
    look: dict[str, Any],
) -> None:
    areas = area_of(persistence, topology.height, look["marker"])
    shape = {"marker": look["marker"], "color": look["color"], "edgecolors": look["edge"]}
    axes.scatter(x, y, s=areas, linewidths=0.6, clip_on=False, zorder=2.0, **shape)


def _draw_diagram(axes: Axes, found: Sequence[Topology]) -> None:
    size = 22.0 if sum(len(t.minima) + len(t.maxima) for t in found) <= FEW else 9.0
    limit = axes.get_ylim()[1]
    axes.axline((0.0, 0.0), slope=1.0, color="0.6", linewidth=0.8, zorder=0.5)
    for topology in found:
        heights = topology.panel.heights.ravel()
        minima, maxima = topology.minima, topology.maxima
        tops = heights[maxima.point]
        drawn = (
            (MAXIMUM, tops - maxima.persistence, tops),
            (MINIMUM, heights[minima.point], heights[minima.point] + minima.persistence),
        )
        for look, begins, ends in drawn:
            shape = {"marker": look["marker"], "color": look["color"], "edgecolors": look["edge"]}
            inside = ends <= limit
            place: dict[str, Any] = {"s": size, "linewidths": 0.5, "zorder": 2.0, "clip_on": False}
            axes.scatter(begins[inside], ends[inside], **place, **shape)
            beyond = begins[~inside]
            if len(beyond):
                axes.scatter(beyond, 0 * beyond + limit, **place, **(shape | {"marker": "^"}))
                _say_top(axes, topology, float(beyond[0]))
    axes.set_box_aspect(1.0)
    axes.set_xlabel("value where it begins")
    if len(found) == 1:
        axes.set_title("persistence diagram: value where it ends", fontsize="small")
    else:
        axes.set_title(f"persistence diagram of {len(found)} lines", fontsize="small")


def _entries(found: Sequence[Topology]) -> list[Artist]:
    between = "maximum" if found[0].is_line else "saddle"
    words = {
        f"minimum, up to its {between}": MINIMUM,
        f"{between} where two meet": SADDLE,
        "maximum, from its saddle": MAXIMUM,
    }
    if len(found) > 1 or not len(found[0].others):  # no tree, or a tree without branches
        del words[f"{between} where two meet"]
    if not any(len(topology.maxima) for topology in found):
        del words["maximum, from its saddle"]
    return [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=look["marker"],
            color=look["color"],
            markeredgecolor=look["edge"],
            markersize=5.5,
            markeredgewidth=0.6,
            label=label,
        )
        for label, look in words.items()
    ]
