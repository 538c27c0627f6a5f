"""Letters at the solutions in a plane or on a line: A is the center."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape_mpi.store.reader import Surface
from landscape_mpi.store.solution_marks import Mark
from landscape_mpi.views.canvas import plain
from landscape_mpi.views.panel import Panel

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DISC: dict[str, Any] = {
    "marker": "o",
    "markersize": 11.0,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.9,
    "linestyle": "none",
}
LETTER: dict[str, Any] = {"fontsize": 7.5, "fontweight": "bold", "zorder": 7}
ON_THE_GRID = 1e-6  # of the spacing: a mark this close to a point has the value of the point


def draw_marks(axes: Axes, panel: Panel) -> list[Artist]:
    """Draw the marks of a plane as lettered discs.

    Returns:
        Entries for the legend, with the value of the quantity where the mark is a grid point.
    """
    surface = panel.surface
    entries: list[Artist] = []
    for letter, mark in zip(LETTERS, surface.marks, strict=False):
        if not _is_inside(surface, mark):
            continue
        axes.plot(mark.alpha, mark.beta, zorder=6, clip_on=False, **DISC)
        axes.annotate(
            letter,
            (mark.alpha, mark.beta),
            ha="center",
            va="center_baseline",
            **LETTER,
        )
        entries.append(_entry(letter, mark, value_at(panel, mark)))
    return entries


def draw_marks_on_line(axes: Axes, panel: Panel) -> list[Artist]:
    """Draw the marks of a line as lettered verticals; return their entries for the legend."""
    surface = panel.surface
    along = surface.alpha if surface.shape[1] == 1 else surface.beta
    entries: list[Artist] = []
    for letter, mark in zip(LETTERS, surface.marks, strict=False):
        place = mark.alpha if surface.shape[1] == 1 else mark.beta
        if not along.min() <= place <= along.max():
            continue
        axes.axvline(place, color="0.45", linewidth=0.9, linestyle=":", zorder=0.9)
        axes.annotate(
            letter,
            (place, 0.97),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            **LETTER,
        )
        entries.append(_entry(letter, mark, value_at(panel, mark)))
    return entries


def value_at(panel: Panel, mark: Mark) -> float | None:
    """Return the value of a quantity at a mark, None if the mark is not a computed grid point."""
    places = []
    for axis, value in ((panel.surface.alpha, mark.alpha), (panel.surface.beta, mark.beta)):
        nearest = int(np.abs(axis - value).argmin())
        spacing = float(np.abs(np.diff(axis)).min()) if len(axis) > 1 else 1.0
        if abs(axis[nearest] - value) > ON_THE_GRID * spacing:
            return None
        places.append(nearest)
    row, column = places
    return float(panel.values[row, column]) if panel.finite[row, column] else None


def _is_inside(surface: Surface, mark: Mark) -> bool:
    pairs = ((surface.alpha, mark.alpha), (surface.beta, mark.beta))
    return all(axis.min() <= value <= axis.max() for axis, value in pairs)


def _entry(letter: str, mark: Mark, value: float | None) -> Artist:
    shown = "" if value is None else f", {value:.4g}"
    label = f"{letter}: {plain(mark.name)}{shown}"
    return Line2D([], [], linestyle="none", label=label)
