"""The number of basins over the least persistence that counts, of several surfaces in one picture.

The deepest minimum never ends, so each surface always has at least one basin. views/topology.py
defines the other basins.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from landscape_mpi.views.canvas import add_legend, make_canvas, plain, scaled, thin_out
from landscape_mpi.views.curve_colors import look_of
from landscape_mpi.views.joint_picture import JointPicture, names_of
from landscape_mpi.views.levels import format_levels, make_scale
from landscape_mpi.views.table_file import Rows
from landscape_mpi.views.topology import Topology
from landscape_mpi.views.topology_table import say_persistence

# The columns of the table, and their meaning.
COLUMNS = {
    "surface": "file of the surface",
    "persistence": "persistence at this step",
    "unit": "unit of the persistence",
    "basins": "number of basins with at least this persistence",
}
SIDES = (4.4, 3.0)  # inches
TOLD = (0.01, 0.1, 1.0)  # the text counts basins of at least this persistence
WEAKEST = 1e-4  # of the largest persistence: weaker pairs may be rounding
BEYOND = 2.0  # times the largest persistence: where the axis ends
COUNTS = (1, 2, 3, 5)  # and ten, a hundred ... times as many: ticks of the axis
APART = 1.1  # points between curves that have the same number of basins


def join_basins(found: Sequence[Topology]) -> JointPicture:
    """Return the picture of one or several surfaces, and its numbers.

    Args:
        found: Topology of each surface, of one quantity in one unit.
    """
    words = [_describe(topology) for topology in found]
    if len({topology.panel.surface.shape for topology in found}) > 1:
        words.append("the grids differ in their points, and a finer one shows more basins")
    return JointPicture(partial(_draw, found), words, {"": _rows(found)})


def count_basins(topology: Topology, persistence: float) -> int:
    """Return how many basins have at least this persistence; the deepest always counts."""
    return 1 + int((topology.others >= persistence).sum())


def _describe(topology: Topology) -> str:
    panel = topology.panel
    n_alpha, n_beta = panel.surface.shape
    where = f"{panel.surface.path}: {panel.name}, {n_alpha} x {n_beta} points"
    total = count_basins(topology, topology.least)
    if total == 1:
        return f"{where}: one basin"
    least = ", ".join(f"{persistence:g}" for persistence in TOLD)
    counts = ", ".join(str(count_basins(topology, persistence)) for persistence in TOLD)
    unit = f" {topology.unit}".rstrip()
    return (
        f"{where}: {total} basins, of at least {least}{unit}: {counts}; {say_persistence(topology)}"
    )


def _rows(found: Sequence[Topology]) -> Rows:
    """Return a row for each persistence above which fewer basins remain, in the end one."""
    rows: Rows = [list(COLUMNS)]
    for topology in found:
        start = [topology.least, *np.unique(topology.others)]
        for persistence in dict.fromkeys(map(float, start)):
            count = count_basins(topology, persistence)
            rows.append([topology.panel.surface.path, repr(persistence), topology.unit, count])
    return rows


def _draw(found: Sequence[Topology]) -> Figure:
    canvas = make_canvas(*scaled(SIDES))
    axes, width = canvas.axes, canvas.sides[0]
    low, high = _ends(found)
    most = max(count_basins(topology, low) for topology in found)
    _frame(axes, found, (low, high), most, width)
    axes.set_ylabel("number of basins")
    names = names_of([topology.panel.surface for topology in found])
    differ = len({topology.panel.surface.shape for topology in found}) > 1
    entries = []
    for k, (topology, name) in enumerate(zip(found, names, strict=True)):
        look = look_of(k) | {"linewidth": 1.5}
        edges = np.array([low, *(p for p in np.unique(topology.others) if low < p < high), high])
        counts = [count_basins(topology, edge) for edge in edges[1:]]
        shift = ScaledTranslation(
            0, APART * (k - (len(found) - 1) / 2) / 72, canvas.figure.dpi_scale_trans
        )
        axes.stairs(counts, edges, baseline=None, transform=axes.transData + shift, **look)
        total = count_basins(topology, topology.least)
        shape = "{} x {} points, ".format(*topology.panel.surface.shape) if differ else ""
        label = f"{plain(name)}: {shape}{total} basin{'s' if total > 1 else ''}"
        entries.append(Line2D([], [], label=label, **look))
    add_legend(canvas, entries)
    figure: Figure = canvas.figure
    return figure


def _ends(found: Sequence[Topology]) -> tuple[float, float]:
    """Return the ends of the axis of persistence: where the numbers change."""
    others = np.concatenate([topology.others for topology in found])
    if not len(others):
        highest = max(topology.height for topology in found) or 1.0
        return WEAKEST * highest, highest
    largest = float(others.max())
    weakest = max(float(others.min()) / BEYOND, WEAKEST * largest, found[0].least)
    return weakest, BEYOND * largest


def _frame(
    axes: Axes, found: Sequence[Topology], ends: tuple[float, float], most: int, width: float
) -> None:
    """Label two logarithmic axes with round values.

    Args:
        axes: Empty axes.
        found: Topology of each surface that is drawn.
        ends: Ends of the axis of persistence.
        most: Largest number of basins.
        width: Width of the axes, in inches.
    """
    unit = found[0].unit
    axes.set_xlabel("least persistence that counts" + f" ({unit})" * bool(unit))
    axes.spines[["top", "right"]].set_visible(False)
    scale = make_scale(np.array(ends), where=found[0].panel.name, kind="log", levels=6)
    assert scale is not None
    persistence = thin_out(scale.levels, max(2, int(1.6 * width)))
    powers = 10 ** np.arange(len(str(most)) + 1)
    counts = [c * p for p in powers for c in COUNTS if c * p <= max(most, 2)]
    for axis, name, ticks in ((axes.xaxis, "x", persistence), (axes.yaxis, "y", np.array(counts))):
        axes.set(**{f"{name}scale": "log"})
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
        axis.set_ticklabels(format_levels(ticks.astype(float)))
    axes.set_xlim(*ends)
    axes.set_ylim(0.8, 1.25 * max(most, 2))
