"""The paths of trainings, or a curve between solutions, on a picture of their plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D

from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.trajectory import Trajectory
from landscape_mpi.views.canvas import count_points, plain
from landscape_mpi.views.points_on_surface import fine, points_of

# These colours stand out on viridis and on white, also for most colour-blind people.
RUN_COLORS = ("black", "#e6399b", "#ff8c1a", "#56b4e9", "#8c564b", "#b8b8b8")
DROPPED = "#e3120b"
STRAIGHT = "#e3120b"
BEND: dict[str, Any] = {
    "linestyle": "none",
    "marker": "s",
    "markersize": 6.0,
    "color": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 1.2,
}
CURVE_END: dict[str, Any] = {**BEND, "marker": "o", "color": "black", "markeredgecolor": "white"}
OUT_OF_PLANE = 0.005  # residual of a curve from which on the legend mentions it
SAME_PLACE = 0.003  # of the range of an axis: a pixel or two
DENSE = 120  # with more checkpoints, dots are smaller
HALO = {"color": "white", "solid_joinstyle": "round", "alpha": 0.8}  # sets a line off any colour

ToAxes = Callable[[np.ndarray], tuple[np.ndarray, ...]]  # points [n, 2] to coordinates of the axes


def flat(points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return points [n, 2] as they are, for pictures of the plane."""
    return points[:, 0], points[:, 1]


def draw_paths(
    axes: Any, surface: Surface, *, starred: bool, to_axes: ToAxes = flat
) -> list[Artist]:
    """Draw the path of every training run: a line, and a dot per checkpoint, red at rate drops.

    A curve gets its bends, and the straight line between its ends.

    Args:
        axes: Axes of the plane, or of space; parts outside their ranges are cut off.
        surface: The surface, with its trajectory or its curve.
        starred: Whether the center has a star: then an end that lies there gets no further mark.
        to_axes: A function from points of the plane to coordinates of the axes.

    Returns:
        Entries for the legend.
    """
    if surface.curve is not None:
        return _draw_curve(axes, surface, surface.curve, to_axes)
    if surface.trajectories is None:
        return []
    entries: list[Artist] = []
    runs = surface.trajectories.runs
    at_star = [starred and _ends_at_center(surface, run) for run in runs]
    for number, run in enumerate(runs):
        color = RUN_COLORS[number % len(RUN_COLORS)]
        _draw_trajectory(axes, run, color, to_axes, mark_end=not at_star[number])
        entries.append(_trajectory_entry(run, color))
    if not all(at_star):
        end: dict[str, Any] = {"marker": "D", "markersize": 5.5, "color": "0.4"}
        entries.append(Line2D([], [], linestyle="none", label="end of a path", **end))
    if any(at_star):
        label = "a path ends" if sum(at_star) == 1 else f"{sum(at_star)} paths end"
        entries.append(Line2D([], [], linestyle="none", label=f"{label} at the center"))
    if any(run.drops.any() for run in runs):
        entries.append(_dot("learning rate dropped", DROPPED))
    outside = sum(int((~inside(surface, points_of(run))).sum()) for run in runs)
    if outside:
        label = f"outside the picture: {outside} checkpoint{'s' * (outside > 1)}"
        entries.append(Line2D([], [], linestyle="none", label=label))
    return entries


def inside(surface: Surface, points: np.ndarray) -> np.ndarray:
    """Say which points [n, 2] lie within the ranges of the axes, bool [n]."""
    ends = np.array([[axis.min(), axis.max()] for axis in (surface.alpha, surface.beta)])
    return np.all((points >= ends[:, 0]) & (points <= ends[:, 1]), axis=1)


def points_to_keep_free(surface: Surface) -> np.ndarray:
    """Return points of the paths that labels should not cover, float64 [n, 2]."""
    if surface.curve is not None:
        bends = np.stack([surface.curve["bend_alpha"], surface.curve["bend_beta"]], axis=1)
        return np.concatenate([points_of(surface.curve), fine(bends[[0, -1]], 60), bends])
    if surface.trajectories is None:
        return np.empty((0, 2))
    paths = [points_of(run) for run in surface.trajectories.runs]
    return np.concatenate([fine(path, 1 if len(path) > DENSE else 12) for path in paths])


def _ends_at_center(surface: Surface, run: Trajectory) -> bool:
    """Say whether a path ends under the star of the center."""
    ranges = np.array([np.ptp(axis) for axis in (surface.alpha, surface.beta)])
    return bool((np.abs(points_of(run)[-1]) <= SAME_PLACE * ranges).all())


def _draw_trajectory(
    axes: Any, run: Trajectory, color: str, to_axes: ToAxes, *, mark_end: bool
) -> None:
    points = points_of(run)
    size, edge = (2.0, 0.0) if len(points) > DENSE else (3.6, 0.3)
    along = to_axes(fine(points))
    axes.plot(*along, linewidth=2.6, zorder=3.0, **HALO)
    axes.plot(*along, color=color, linewidth=1.0, zorder=3.1)
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgecolor": "white"}
    axes.plot(
        *to_axes(points), color=color, markersize=size, markeredgewidth=edge, zorder=3.2, **dots
    )
    dropped = points[run.drops]
    if len(dropped):
        place = to_axes(dropped)
        on_star = {"markersize": 5.0, "markeredgewidth": 0.6, "zorder": 5.1}  # the star has 5
        axes.plot(*place, color=DROPPED, **on_star, **dots)
    if mark_end:
        end: dict[str, Any] = {**dots, "marker": "D", "markersize": 8.0, "markeredgewidth": 0.8}
        axes.plot(*to_axes(points[-1:]), color=color, zorder=3.3, **end)


def _draw_curve(axes: Any, surface: Surface, curve: PlaneCurve, to_axes: ToAxes) -> list[Artist]:
    bends = np.stack([curve["bend_alpha"], curve["bend_beta"]], axis=1)
    straight = to_axes(fine(bends[[0, -1]], 60))
    line: dict[str, Any] = {"linewidth": 1.4, "linestyle": (0, (4, 2)), "color": STRAIGHT}
    axes.plot(*straight, linewidth=3.0, zorder=3.0, **HALO)
    axes.plot(*straight, zorder=3.1, **line)
    along = to_axes(points_of(curve))
    axes.plot(*along, linewidth=3.4, zorder=3.2, **HALO)
    axes.plot(*along, color="black", linewidth=1.8, zorder=3.3)
    inner = bends[1:-1]
    axes.plot(*to_axes(inner), zorder=3.4, **BEND)
    axes.plot(*to_axes(bends[[0, -1]]), zorder=3.4, **CURVE_END)
    entries: list[Artist] = [
        Line2D([], [], color="black", linewidth=1.8, label=_curve_words(curve)),
        Line2D([], [], label="straight line", **line),
    ]
    if len(inner):
        label = "bend" if len(inner) == 1 else f"bends: {len(inner)}"
        entries.append(Line2D([], [], label=label, **BEND))
    outside = int((~inside(surface, bends)).sum())
    if outside:
        entries.append(Line2D([], [], linestyle="none", label=f"bends outside: {outside}"))
    return entries


def _curve_words(curve: PlaneCurve) -> str:
    kind = {"bezier": "Bezier curve", "polygon": "polygonal chain"}[str(curve.attributes["kind"])]
    away = float(curve["residual"].max())
    return kind if away < OUT_OF_PLANE else f"{kind}, projected (up to {100 * away:.0f} % away)"


def _trajectory_entry(run: Trajectory, color: str) -> Artist:
    look: dict[str, Any] = {"color": color, "linewidth": 1.0, "markeredgecolor": "white"}
    label = f"{plain(run.name)}: {count_points(len(run['alpha'])).replace('point', 'checkpoint')}"
    return Line2D([], [], marker="o", markersize=4.0, label=label, **look)


def _dot(label: str, color: str) -> Artist:
    return Line2D([], [], linestyle="none", marker="o", markersize=6.0, color=color, label=label)
