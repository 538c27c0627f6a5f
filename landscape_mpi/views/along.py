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
    count_points,
    floor_notes,
    label_of,
    plain,
    scaled,
    title_of,
    unit_of,
)
from landscape_mpi.views.line import (
    MEASURES,
    SPLITS,
    group_by_measure,
    measure_of,
    scale_axis,
    shade_holes,
    shown_values,
)
from landscape_mpi.views.page import current_page
from landscape_mpi.views.panel import Panel

WIDTH, HEIGHT = 5.2, 2.3  # inches, of one measure
KINDS = {"bezier": "Bezier curve", "polygon": "polygonal chain"}
# By path, in the order of store.curve.PATHS.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#1f4e8c", "linewidth": 1.8, "zorder": 3},
    {"color": "#d55e00", "linewidth": 1.2, "zorder": 2},
)


def draw_along(panels: list[Panel]) -> Figure:
    """Draw quantities along both paths, loss above error, each against the place t."""
    surface = panels[0].surface
    groups = group_by_measure(panels)
    rows = len(groups)
    figure = Figure(figsize=scaled((WIDTH, HEIGHT * rows + 1.1)), layout="constrained")
    all_axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    holes: list[Artist] = []
    for axes, (measure, group) in zip(all_axes, groups.items(), strict=True):
        _draw_group(axes, measure, group)
        holes += shade_holes(axes, group)
    all_axes[0].set_title(_title(surface, max(panel.n_computed for panel in panels)))
    all_axes[-1].set_xlabel("place $t$ on the path")
    all_axes[-1].set_xlim(0.0, 1.0)
    entries = [*_entries(panels), *holes[:1], *(n for panel in panels for n in floor_notes(panel))]
    columns = 1 if current_page().is_narrow else 2
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _title(surface: Surface, n_computed: int) -> str:
    kind, n = str(surface.attributes[CURVE]), int(surface.attributes[BENDS])
    words = KINDS.get(kind, plain(kind))
    return f"{title_of(surface, n_computed)}: {words} of {count_points(n)}"


def _draw_group(axes: Axes, measure: str, panels: list[Panel]) -> None:
    for panel in panels:
        dashes = SPLITS.get(panel.name.partition("_")[0], "-")
        values = shown_values(panel)
        for number, look in enumerate(LOOKS):
            there = panel.computed[:, number]
            place = panel.surface.alpha[there]
            axes.plot(place, values[there, number], linestyle=dashes, **look)
    first = panels[0].surface, panels[0].name
    known = measure in MEASURES
    axes.set_ylabel(plain(measure + unit_of(*first)) if known else label_of(*first, HEIGHT))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    scale_axis(axes, panels)


def _entries(panels: list[Panel]) -> list[Artist]:
    """Return the legend: which path is which colour, which split which dashes."""
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
    return entries


def _highest(panels: list[Panel]) -> list[str]:
    """Return the highest error on each path, of the test set where there is one, for the legend."""
    errors = [panel for panel in panels if measure_of(panel.name) == "error" and panel.finite.any()]
    if not errors or errors[-1].n_computed < errors[-1].surface.n_points:
        return ["" for _ in LOOKS]
    values = np.where(errors[-1].finite, errors[-1].values, np.nan)
    highest = np.fmax.reduce(values, axis=0)
    split = errors[-1].name.partition("_")[0]
    words = [f": {split} error up to {value:.3g} %" for value in highest]
    return [text if np.isfinite(value) else "" for text, value in zip(words, highest, strict=True)]
