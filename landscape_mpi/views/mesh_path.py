"""Paths of trainings, or a curve between solutions, as polylines on the mesh of a surface.

Heights between the points of the grid are bilinear. Parts outside the plane, or beside a point that
is not on the mesh, are left out, and the line is broken there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.sums import with_sum
from landscape_mpi.store.trajectory import Trajectory
from landscape_mpi.views.heights import LINEAR, Heights
from landscape_mpi.views.mesh import NO_FACES, Mesh, describe_height, runs_of, shown_heights
from landscape_mpi.views.points_on_surface import fine, onto_surface, points_of

N_STRAIGHT = 61  # points of the straight line between two solutions, so that it follows the mesh
OF_CURVE, OF_STRAIGHT, OF_BENDS = 0.0, 1.0, 2.0  # as the rows of a file of curve evaluate


@dataclass(frozen=True)
class _Part:
    """A line, or single points, before it is laid on the mesh."""

    flat: np.ndarray  # float64 [n, 2]
    columns: dict[str, np.ndarray]  # float64 [n] each
    joined: bool = True  # as a line


def build_paths(
    surface: Surface,
    quantity: str,
    *,
    heights: Heights = LINEAR,
    scale: float = 1.0,
    lid: bool = False,
) -> dict[str, Mesh]:
    """Build the paths of trainings, and a curve between solutions, on the mesh of a surface.

    Args:
        surface: The surface, with its trajectory, its curve, both or neither.
        quantity: Name of the quantity that is the height.
        heights: The map from its values to heights, and the cuts.
        scale: Factor on the heights.
        lid: Keep the parts beyond a cut, flat.

    Returns:
        The lines by name, as far as the surface has them. ``path``: the paths, which follow the
        mesh, with a point for each checkpoint and its values, which are linear between two
        checkpoints. ``curve``: the curve, the straight line between its ends, and the points that
        define it; the array ``path`` tells them apart: OF_CURVE, OF_STRAIGHT, OF_BENDS.
    """
    parts = {}
    if surface.trajectories is not None:
        runs = enumerate(surface.trajectories.runs)
        parts["path"] = [part for number, run in runs for part in _parts_of_trajectory(number, run)]
    if surface.curve is not None:
        parts["curve"] = _parts_of_curve(surface.curve)
    if surface.is_line or not parts:
        return {}
    shown = scale * shown_heights(surface, quantity, heights, lid=lid)
    unit = with_sum(surface, quantity).units[quantity]
    words = describe_height(quantity, heights, unit, scale=scale)
    laid = {what: _lay(of_it, surface, shown, words) for what, of_it in parts.items()}
    return {what: mesh for what, mesh in laid.items() if mesh is not None}


def _parts_of_trajectory(number: int, run: Trajectory) -> list[_Part]:
    """Return the line of a training run, and its checkpoints."""
    names = ("epoch", "lr", "residual")
    table = np.column_stack([points_of(run), *(run[name] for name in names)])
    parts = []
    for rows, joined in ((fine(table), True), (table, False)):
        columns = {"run": np.full(len(rows), float(number))}
        columns |= dict(zip(names, rows.T[2:], strict=True))
        parts.append(_Part(rows[:, :2], columns, joined))
    return parts


def _parts_of_curve(curve: PlaneCurve) -> list[_Part]:
    bends = np.stack([curve["bend_alpha"], curve["bend_beta"]], axis=1)
    t = np.linspace(0.0, 1.0, N_STRAIGHT)
    straight = np.outer(1 - t, bends[0]) + np.outer(t, bends[-1])
    unknown = np.full(len(bends), np.nan)
    columns = [
        (OF_CURVE, curve["t"], curve["residual"]),
        (OF_STRAIGHT, t, np.full(N_STRAIGHT, np.nan)),
        (OF_BENDS, unknown, curve["bend_residual"]),
    ]
    return [
        _Part(
            flat,
            {"path": np.full(len(flat), kind), "t": places, "residual": residual},
            joined=kind != OF_BENDS,
        )
        for flat, (kind, places, residual) in zip(
            (points_of(curve), straight, bends), columns, strict=True
        )
    ]


def _lay(parts: list[_Part], surface: Surface, heights: np.ndarray, words: str) -> Mesh | None:
    """Lay the parts on a mesh with these heights [n_alpha, n_beta]; None if all lie beside it."""
    flat = np.concatenate([part.flat for part in parts])
    on_it = onto_surface(surface, heights)(flat)
    kept = np.isfinite(on_it)
    if not kept.any():
        return None
    number = np.cumsum(kept) - 1  # of a kept point
    lines, dots, start = [], [np.empty(0, dtype=np.int64)], 0
    for part in parts:
        here = np.arange(start, start + len(part.flat))
        start += len(here)
        if part.joined:
            runs = runs_of(np.ones(len(here), dtype=bool), kept[here])
            lines += [number[here[run]] for run in runs]
        else:
            dots.append(number[here[kept[here]]])
    names = parts[0].columns
    values = {name: np.concatenate([part.columns[name] for part in parts])[kept] for name in names}
    return Mesh(
        points=np.column_stack([flat, on_it])[kept],
        polygons=NO_FACES,
        polylines=lines,
        values=values,
        units=dict.fromkeys(names, "1"),
        height=words,
        n_clipped=0,
        n_left_out=int((~kept).sum()),
        dots=np.concatenate(dots),
    )
