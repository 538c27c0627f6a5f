"""Paths in the plane of a surface as polylines that lie on its mesh."""

from __future__ import annotations

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.lift import lift_onto
from landscape_mpi.views.mesh import NO_FACES, Mesh, describe_height, runs_of, shown_heights


def build_path(
    surface: Surface,
    quantity: str,
    *,
    log: bool = False,
    zmax: float | None = None,
    scale: float = 1.0,
) -> Mesh | None:
    """Build the paths of training runs as polylines that lie on the mesh of the same options.

    Heights between the points of the grid are bilinear. Checkpoints outside the plane, or
    beside a point that is not on the mesh, are left out, and the line is broken there.

    Args:
        surface: With its trajectory.
        quantity: Name of the quantity that is the height.
        log: Take log10 of the quantity as height.
        zmax: Clip heights here.
        scale: Factor on the heights, after clipping.

    Returns:
        The paths, with what is known of each checkpoint; None where there is none to show.
    """
    if surface.trajectory is None or surface.is_line:
        return None
    lift = lift_onto(surface, scale * shown_heights(surface, quantity, log=log, zmax=zmax))
    points, lines, columns = [], [], []
    n_left_out = start = 0
    for number, run in enumerate(surface.trajectory.runs):
        flat = np.stack([run["alpha"], run["beta"]], axis=1)
        on_it = lift(flat)
        kept = np.isfinite(on_it)
        points.append(np.column_stack([flat, on_it])[kept])
        place = start + np.cumsum(kept) - 1
        lines += [place[part] for part in runs_of(np.ones_like(kept), kept)]
        names = ("epoch", "lr", "residual")
        columns.append(np.stack([np.full(len(flat), float(number)), *map(run.__getitem__, names)]))
        columns[-1] = columns[-1][:, kept]
        n_left_out += int((~kept).sum())
        start += int(kept.sum())
    if not start:
        return None
    values = dict(zip(("run", "epoch", "lr", "residual"), np.hstack(columns), strict=True))
    units = dict.fromkeys(values, "1")
    described = describe_height(quantity, log=log, zmax=zmax, scale=scale)
    return Mesh(np.concatenate(points), NO_FACES, lines, values, units, described, 0, n_left_out)
