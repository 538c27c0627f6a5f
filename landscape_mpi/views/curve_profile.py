"""Losses and errors along a curve, and along the straight line between its ends.

Source: Garipov et al. 2018, arXiv:1802.10026, figure 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape_mpi.store.curve import BENDS, CURVE
from landscape_mpi.store.reader import Surface
from landscape_mpi.views.canvas import (
    TITLE_CHARACTER,
    Canvas,
    add_legend,
    count_points,
    floor_notes,
    plain,
    scaled,
    title_of,
    wrap,
)
from landscape_mpi.views.line import (
    SPLITS,
    group_over_splits,
    label_over_splits,
    scale_axis,
    shade_holes,
    shown_values,
    without_split,
)
from landscape_mpi.views.page import current_page
from landscape_mpi.views.panel import Panel

WIDTH, HEIGHT = 5.2, 2.3  # inches, for one measure
KINDS = {"bezier": "Bezier curve", "polygon": "polygonal chain"}
# By path, in the order of store.curve.PATHS.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#1f4e8c", "linewidth": 1.8, "zorder": 3},
    {"color": "#d55e00", "linewidth": 1.2, "zorder": 2},
)


def draw_curve_profile(panels: list[Panel]) -> Figure:
    """Draw quantities along both paths, loss above error, each against the place t."""
    surface = panels[0].surface
    groups = group_over_splits(panels)
    rows = len(groups)
    figure = Figure(figsize=scaled((WIDTH, HEIGHT * rows + 1.1)), layout="constrained")
    all_axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    holes: list[Artist] = []
    for axes, (measure, group) in zip(all_axes, groups.items(), strict=True):
        _draw_group(axes, measure, group)
        holes += shade_holes(axes, group)
    all_axes[0].set_title(f"{title_of(surface, _n_computed(panels))}: {_words(surface)}")
    _frame(all_axes[-1])
    columns = 1 if current_page().is_narrow else 2
    place: dict[str, Any] = {"loc": "outside lower center", "frameon": False}
    figure.legend(handles=_entries(panels, holes), ncols=columns, **place)
    return figure


def draw_curve_profile_on(panels: list[Panel], canvas: Canvas) -> None:
    """Draw quantities of one measure along both paths on a canvas."""
    surface, axes = panels[0].surface, canvas.axes
    _draw_group(axes, without_split(panels[0].name), panels, canvas.sides[1])
    holes = shade_holes(axes, panels)
    title = title_of(surface, _n_computed(panels))
    axes.set_title(f"{title}\n{wrap(_words(surface), canvas.sides[0], TITLE_CHARACTER)}")
    _frame(axes)
    add_legend(canvas, _entries(panels, holes))


def _frame(axes: Axes) -> None:
    axes.set_xlabel("place $t$ on the path")
    axes.set_xlim(0.0, 1.0)


def _n_computed(panels: list[Panel]) -> int:
    return max(panel.n_computed for panel in panels)


def _words(surface: Surface) -> str:
    kind, n = str(surface.attributes[CURVE]), int(surface.attributes[BENDS])
    return f"{KINDS.get(kind, plain(kind))} of {count_points(n)}"


def _draw_group(axes: Axes, measure: str, panels: list[Panel], inches: float = HEIGHT) -> None:
    for panel in panels:
        dashes = SPLITS.get(panel.name.partition("_")[0], "-")
        values = shown_values(panel)
        for number, look in enumerate(LOOKS):
            there = panel.computed[:, number]
            place = panel.surface.alpha[there]
            axes.plot(place, values[there, number], linestyle=dashes, **look)
    axes.set_ylabel(label_over_splits(measure, panels, HEIGHT))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    scale_axis(axes, panels, inches)


def _entries(panels: list[Panel], holes: list[Artist]) -> list[Artist]:
    """Return the legend: the colour of each path, the dashes of each split, and notes."""
    paths = ("the curve", "the straight line")
    entries: list[Artist] = [
        Line2D([], [], color=look["color"], linewidth=look["linewidth"], label=path + words)
        for path, look, words in zip(paths, LOOKS, _highest(panels), strict=True)
    ]
    there = {panel.name.partition("_")[0] for panel in panels}
    names = {"train": "training set", "test": "test set"}
    for split, words in names.items():
        if split in there:
            dashes: dict[str, Any] = {"linestyle": SPLITS[split]}
            entries.append(Line2D([], [], color="0.3", label=words, **dashes))
    return [*entries, *holes[:1], *(note for panel in panels for note in floor_notes(panel))]


def _highest(panels: list[Panel]) -> list[str]:
    """Return the highest error on each path for the legend, of the test set if there is one."""
    errors = [
        panel for panel in panels if without_split(panel.name) == "error" and panel.finite.any()
    ]
    if not errors or errors[-1].n_computed < errors[-1].surface.n_points:
        return ["" for _ in LOOKS]
    values = np.where(errors[-1].finite, errors[-1].values, np.nan)
    highest = np.fmax.reduce(values, axis=0)
    split = errors[-1].name.partition("_")[0]
    unit = " %" if errors[-1].surface.units[errors[-1].name] == "percent" else ""
    words = [f": {split} error up to {value:.3g}{unit}" for value in highest]
    return [text if np.isfinite(value) else "" for text, value in zip(words, highest, strict=True)]
