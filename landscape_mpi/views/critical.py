"""Minima, saddles and maxima on flat pictures: a shape for each kind, larger if more persistent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.views.page import current_page
from landscape_mpi.views.panel import Panel
from landscape_mpi.views.topology import Topology, coordinates_of, find_topology

# Told apart by shape, and from every colour of the map by their edges.
MINIMUM: dict[str, Any] = {"marker": "o", "color": "#ff5a36", "edge": "black"}
SADDLE: dict[str, Any] = {"marker": "D", "color": "white", "edge": "black"}
MAXIMUM: dict[str, Any] = {"marker": "^", "color": "black", "edge": "white"}
NOUNS = {"minima": "minimum", "saddles": "saddle", "maxima": "maximum"}
SMALLEST, LARGEST = 9.0, 120.0  # points^2: for no persistence, for the whole height
SHRINK = 0.4  # of the area, on a narrow page with small axes
DIAMOND = 0.4  # of the area of the others: then it looks equally important


def with_critical(panel: Panel, least: float) -> Panel:
    """Return a panel whose flat pictures mark its minima, saddles and maxima.

    Args:
        panel: A quantity of a plane.
        least: Smallest persistence of a point that is marked, in heights of the panel.

    Raises:
        InputError: If the surface is a line, or gudhi is not installed.
    """
    if panel.surface.is_line:
        raise InputError(
            f"{panel.surface.path}: --critical marks points of planes, but this is a line. List "
            f"its minima: {typed('topology')} {panel.surface.path}"
        )
    if panel.scale is None or not len(panel.cells.faces):
        return panel
    return replace(panel, critical=find_topology(panel, least=least))


def draw_critical(axes: Axes, panel: Panel) -> list[Artist]:
    """Draw the minima, saddles and maxima of a panel, if it has them; return the legend entries."""
    if panel.critical is None:
        return []
    topology = panel.critical
    minima, maxima = topology.minima, topology.maxima
    drawn = {
        "saddles": (topology.saddles, topology.saddle_persistence, SADDLE),
        "maxima": (maxima.point, maxima.persistence, MAXIMUM),
        "minima": (minima.point, minima.persistence, MINIMUM),
    }
    entries = {}
    for name, (points, persistence, look) in drawn.items():
        _draw_points(axes, topology, points, persistence, look)
        entries[name] = _entry(name, len(points), look)
    shown = [entry for name in NOUNS if (entry := entries[name]) is not None]
    return [*shown, _note(topology)] if len(shown) > 1 or topology.least else shown


def critical_points(panel: Panel) -> np.ndarray:
    """Return the points of the minima, saddles and maxima that a panel marks, float64 [n, 2]."""
    if panel.critical is None:
        return np.empty((0, 2))
    found = panel.critical
    points = np.concatenate([found.minima.point, found.saddles, found.maxima.point])
    return np.stack(coordinates_of(found.panel, points), axis=1)


def area_of(persistence: np.ndarray, height: float, marker: str) -> np.ndarray:
    """Return the areas of markers in points^2, for persistence within a picture of this height."""
    share = np.clip(persistence / height, 0.0, 1.0) if height > 0 else np.ones(len(persistence))
    areas = SMALLEST + (LARGEST - SMALLEST) * np.sqrt(share)
    areas *= min(1.0, max(SHRINK, current_page().axes))
    return np.asarray(areas * (DIAMOND if marker == "D" else 1.0), dtype=np.float64)


def _draw_points(
    axes: Axes,
    topology: Topology,
    points: np.ndarray,
    persistence: np.ndarray,
    look: dict[str, Any],
) -> None:
    """Draw points of one kind, the most persistent first, so that small ones lie on large ones."""
    scale = topology.panel.scale
    assert scale is not None
    low, high = scale.height(np.array([scale.low, scale.high]))
    order = np.argsort(-persistence, kind="stable")
    alpha, beta = coordinates_of(topology.panel, points[order])
    axes.scatter(
        alpha,
        beta,
        s=area_of(persistence[order], float(high - low), look["marker"]),
        marker=look["marker"],
        color=look["color"],
        edgecolors=look["edge"],
        linewidths=0.6,
        clip_on=False,
        zorder=4.0,
    )


def _entry(name: str, n: int, look: dict[str, Any]) -> Artist | None:
    if n == 0:
        return None
    shape = {"marker": look["marker"], "color": look["color"], "markeredgecolor": look["edge"]}
    size = 5.0 if look["marker"] == "D" else 6.5
    label = f"{n} {NOUNS[name] if n == 1 else name}"
    return Line2D(
        [], [], linestyle="none", markersize=size, markeredgewidth=0.6, label=label, **shape
    )


def _note(topology: Topology) -> Artist:
    label = "larger: more persistent"
    if topology.least:
        label = f"persistence from {topology.least:g} {topology.unit} on".replace("  ", " ")
    return Line2D([], [], linestyle="none", label=label)
