"""The contents of the page: the numbers of each surface, packed for its script.

Arrays are base64 of little-endian float64, float32, int32 or uint8: the values of the
file, with NaN and infinity, rounded to float32 if no picture shows the difference. On the page
the axes always rise.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from landscape_mpi.store.lines import labels_of, names_of, pairs_of
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.trajectory import Trajectory
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.path import DROPPED, RUN_COLORS, STRAIGHT
from landscape_mpi.views.report.gaps import find_gaps
from landscape_mpi.views.solution_marks import LETTERS
from landscape_mpi.views.space import Space, stand_up

Packed = dict[str, Any]  # values that json can write
KINDS = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "u1": "|u1"}
UNSEEN = 1e-5  # of the range of the values: a picture has some thousand pixels
CURVE_LINES = ("curve", "straight line")


def pack_surface(surface: Surface, names: list[str]) -> Packed:
    """Pack the values of a surface that the page draws.

    Args:
        surface: The surface as it was read, with the sums that were requested.
        names: Names of the quantities to show.
    """
    order = [np.argsort(axis) for axis in (surface.alpha, surface.beta)]
    turn: Callable[[np.ndarray], np.ndarray] = lambda values: values[np.ix_(*order)]  # noqa: E731
    gaps: dict[bytes, Packed | None] = {}
    quantities = [_pack_quantity(surface, name, turn, gaps) for name in names]
    alpha, beta = (
        axis[places] for axis, places in zip((surface.alpha, surface.beta), order, strict=True)
    )
    return {
        "name": surface.path.stem,
        "alpha": pack(alpha, "f8"),
        "beta": pack(beta, "f8"),
        "axes": {axis: surface.long_names[axis] for axis in ("alpha", "beta")},
        "kind": "line" if surface.is_line else "plane",
        "lines": lines_of(surface) if surface.is_line else [],
        "quantities": quantities,
        "marks": [
            {"letter": letter, "name": mark.name, "alpha": mark.alpha, "beta": mark.beta}
            for letter, mark in zip(LETTERS, surface.marks, strict=False)
        ],
        "paths": [] if surface.has_repeats else _paths(surface),
    }


def choose_view(surfaces: Sequence[Surface], names: Sequence[str]) -> Packed:
    """Choose the angles that show most of the basins of the first quantity, degrees.

    Args:
        surfaces: All surfaces of the page; only planes with the quantity count.
        names: Names of the quantities; the first one is drawn first.
    """
    planes = [surface for surface in surfaces if not surface.is_line and names[0] in surface.values]
    panels = [make_panel(surface, names[0]) for surface in planes]
    standing = [panel.standing for panel in stand_up(panels, Space()) if panel.standing]
    camera = next((each.camera for each in standing if each.camera), Camera())
    return {"azimuth": camera.azimuth, "elevation": camera.elevation}


def pack(values: np.ndarray, kind: str) -> str:
    """Return an array in the order of its memory as base64.

    Args:
        values: An array of any shape.
        kind: One of KINDS.
    """
    return base64.b64encode(np.ascontiguousarray(values, KINDS[kind]).tobytes()).decode()


def kind_for(values: np.ndarray) -> str:
    """Return f4 if float32 changes nothing that is shown, otherwise f8.

    Args:
        values: An array of float64, of any shape.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "f4"
    with np.errstate(over="ignore", under="ignore"):
        rounded = finite.astype("f4").astype("f8")
    relative = np.finfo("f4").eps * np.abs(finite)  # subnormal numbers keep fewer digits than that
    error = np.abs(rounded - finite)
    few = (error <= relative) & (error <= UNSEEN * np.ptp(finite))
    return "f4" if few.all() or np.array_equal(rounded, finite) else "f8"


def _pack_quantity(
    surface: Surface,
    name: str,
    turn: Callable[[np.ndarray], np.ndarray],
    gaps: dict[bytes, Packed | None],
) -> Packed:
    computed = turn(surface.done_of[name])
    values = np.where(computed, turn(surface.values[name]), np.nan)
    kind = kind_for(values)
    packed: Packed = {
        "name": name,
        "words": surface.long_names[name],
        "unit": {"1": "", "percent": "%"}.get(surface.units[name], surface.units[name]),
        "kind": kind,
        "values": pack(values, kind),
        "done": None,
        "gaps": None,
    }
    if not computed.all():
        mask = pack(computed, "u1")
        key = computed.tobytes()
        if key not in gaps:
            gaps[key] = None if surface.is_line else _pack_gaps(computed)
        packed |= {"done": mask, "gaps": gaps[key]}
    return packed


def _pack_gaps(computed: np.ndarray) -> Packed | None:
    found = find_gaps(computed)
    if found is None:
        return None
    return {
        "places": pack(found.places, "i4"),
        "corners": pack(found.corners, "i4"),
        "weights": pack(found.weights, "f8"),
    }


def lines_of(surface: Surface) -> list[str]:
    """Return a name for each line of a file of lines; a single line has an empty one."""
    if surface.is_curve:
        return list(CURVE_LINES[: surface.shape[1]])
    if surface.has_pairs:
        letters = labels_of(len(names_of(surface)))
        return [f"{letters[i]} to {letters[j]}" for i, j in pairs_of(len(letters))]
    if surface.has_repeats:
        return [f"direction {number + 1}" for number in range(surface.shape[1])]
    return [""]


def _paths(surface: Surface) -> list[Packed]:
    if surface.curve is not None:
        return _curve_paths(surface.curve)
    runs = surface.trajectories.runs if surface.trajectories is not None else ()
    return [_packed_trajectory(run, RUN_COLORS[k % len(RUN_COLORS)]) for k, run in enumerate(runs)]


def _packed_trajectory(run: Trajectory, color: str) -> Packed:
    return {
        "name": run.name,
        "color": color,
        "alpha": pack(run["alpha"], "f8"),
        "beta": pack(run["beta"], "f8"),
        "epoch": pack(run["epoch"], "f8"),
        "drops": [int(place) for place in np.flatnonzero(run.drops)],
        "dropped": DROPPED,
        "dots": True,
        "dash": "solid",
    }


def _curve_paths(curve: PlaneCurve) -> list[Packed]:
    bends = {axis: curve[f"bend_{axis}"] for axis in ("alpha", "beta")}
    look: Packed = {"epoch": None, "drops": [], "dropped": DROPPED}
    ends = {axis: pack(values[[0, -1]], "f8") for axis, values in bends.items()}
    along = {axis: pack(curve[axis], "f8") for axis in ("alpha", "beta")}
    made_of = {axis: pack(values, "f8") for axis, values in bends.items()}
    kind = {"bezier": "Bezier curve", "polygon": "polygonal chain"}[str(curve.attributes["kind"])]
    return [
        {"name": "straight line", "color": STRAIGHT, "dots": False, "dash": "dash", **ends, **look},
        {"name": kind, "color": "black", "dots": False, "dash": "solid", **along, **look},
        {"name": "its points", "color": "black", "dots": True, "dash": None, **made_of, **look},
    ]
