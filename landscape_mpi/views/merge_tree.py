"""The merge tree of a surface beside its persistence diagram.

The tree: a vertical line for each minimum, from its value up to that of the saddle where its pool
meets a deeper one, and ends in it. The diagram: each pair by the values where it begins and ends;
the farther from the diagonal, the more persistent.

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

from landscape_mpi.views.canvas import TICK_HEIGHT, label_of, scaled, thin_out, title_of
from landscape_mpi.views.critical import MAXIMUM, MINIMUM, SADDLE, area_of
from landscape_mpi.views.levels import Scale, format_levels, make_scale
from landscape_mpi.views.topology import NONE, Topology

SIDE, TREE_WIDTH = 3.6, 4.6  # inches
MOST_BRANCHES = 60
NUMBERED = 8  # minima, as in the table
FEW = 200  # points of a diagram, up to which they are drawn large
TRUNK: dict[str, Any] = {"colors": "0.25", "linewidths": 1.1, "zorder": 1.0}


def draw_topology(found: Sequence[Topology]) -> Figure:
    """Draw merge tree and persistence diagram of a surface; of several lines, the diagram alone."""
    first = found[0]
    panel = first.panel
    n = 2 if len(found) == 1 else 1
    sides = (TREE_WIDTH + SIDE, SIDE + 0.9) if n == 2 else (SIDE + 1.4, SIDE + 0.9)
    figure = Figure(figsize=scaled(sides), layout="constrained")
    widths = [TREE_WIDTH, SIDE] if n == 2 else [SIDE]
    axes = figure.subplots(1, n, squeeze=False, width_ratios=widths)[0]
    scale = _scale_of(found)
    if n == 2:
        _draw_tree(axes[0], first)
    _draw_diagram(axes[-1], found)
    for part in axes:
        _frame(part, "y", scale)
        part.spines[["top", "right"]].set_visible(False)
    _frame(axes[-1], "x", scale)
    axes[0].set_ylabel(label_of(panel.surface, panel.name, SIDE))
    figure.suptitle(title_of(panel.surface, panel.n_computed), fontsize="medium")
    figure.legend(handles=_entries(found), loc="outside lower center", ncols=4, frameon=False)
    return figure


def order_leaves(into: np.ndarray, ends: np.ndarray) -> list[int]:
    """Return the branches of a tree from left to right, so that no two of their lines cross.

    Those that end in a branch stand on its two sides in turn, the lowest end next to it.

    Args:
        into: The branch each one ends in, NONE for a trunk, int64 [n].
        ends: The height where it does, float64 [n].
    """

    def arrange(branch: int) -> list[int]:
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        for k, child in enumerate(sorted(np.flatnonzero(into == branch), key=lambda c: ends[c])):
            sides[k % 2].append(arrange(int(child)))
        left, right = sides[1][::-1], sides[0]
        return [leaf for part in (*left, [branch], *right) for leaf in part]

    return [leaf for trunk in np.flatnonzero(into == NONE) for leaf in arrange(int(trunk))]


def _scale_of(found: Sequence[Topology]) -> Scale:
    """Return a scale over the values of all: its ticks stand at the axes."""
    values = np.concatenate([t.panel.values[t.panel.finite] for t in found])
    kind = "log" if found[0].panel.scale is not None and found[0].panel.scale.log else "linear"
    scale = make_scale(values, where=found[0].panel.name, kind=kind)
    assert scale is not None
    return scale


def _frame(axes: Axes, name: str, scale: Scale) -> None:
    """Give the axis x or y the range of the scale in heights, and its values as ticks."""
    low, high = (float(height) for height in scale.height(np.array([scale.low, scale.high])))
    margin = 0.1 * (high - low) or 1.0
    axes.set(**{f"{name}lim": (low - margin, high + margin)})
    ticks = np.array([scale.low]) if scale.is_constant else scale.levels
    room = SIDE / (TICK_HEIGHT if name == "y" else 2.6 * TICK_HEIGHT)
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
    stems = np.stack([np.stack([x, bottoms], axis=1), np.stack([x, tops], axis=1)], axis=1)
    arms = stems[ended, 1][:, None].repeat(2, axis=1)
    arms[:, 1, 0] = x[into[ended]]
    axes.add_collection(LineCollection([*stems, *arms], **TRUNK))
    _draw_points(axes, topology, arms[:, 1, 0], tops[ended], minima.persistence[ended], SADDLE)
    _draw_points(axes, topology, x, bottoms, minima.persistence, MINIMUM)
    for k in range(min(NUMBERED, len(minima))):
        place: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, -13), "ha": "center"}
        axes.annotate(str(k + 1), (x[k], bottoms[k]), fontsize="x-small", **place)
    axes.set_box_aspect(SIDE / TREE_WIDTH)  # as tall as the diagram
    axes.set_xlim(-0.8, len(minima) - 0.2)
    axes.set_xticks([])
    n = len(topology.minima)
    shown = f"the {len(minima)} most persistent of {n} minima" if n > len(minima) else "minima"
    axes.set_xlabel(f"{shown}, each up to where it meets a deeper one")
    axes.set_title("merge tree", fontsize="small")


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
            axes.scatter(begins, ends, s=size, linewidths=0.5, zorder=2.0, clip_on=False, **shape)
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
    if len(found) > 1 or not len(found[0].others):  # no tree, or one without a branch
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
