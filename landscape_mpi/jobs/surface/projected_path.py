"""Fit the grid of a surface to the trajectory or curve in its plane, and check that it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from landscape_mpi.compute.directions import Direction, digest
from landscape_mpi.engine.grid import check_number_of_points, fit_axis, parse_axis
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import PlaneRequest, SurfaceRequest
from landscape_mpi.store.directions import names_of_direction
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.plane_path import PlanePath, path_of
from landscape_mpi.tensor_names import renamed_like

FITTED = "fit:"
DEFAULT_FITTED = "fit:51"
DEFAULT_MARGIN = 0.2


def choose_grid(plane: PlaneRequest) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates along alpha and beta, float64 [n_alpha] and [n_beta].

    Raises:
        InputError: If an axis is not valid, there is no path to fit one to, or there are too many
            points.
    """
    default = DEFAULT_FITTED if _covers_path(plane) else None
    asked = (("--x", plane.x or default), ("--y", plane.y or default))
    axes = []
    for number, (option, text) in enumerate(asked):
        if text is None:
            axes.append(np.zeros(1))
        elif text.startswith(FITTED):
            axes.append(_fit(plane, option, text, number))
        else:
            axes.append(parse_axis(text, option=option))
    check_number_of_points(len(axes[0]), len(axes[1]), option="--x, --y")
    return axes[0], axes[1]


def _covers_path(plane: PlaneRequest) -> bool:
    """Return whether an axis without option covers the path, as in the plane of a curve.

    Raises:
        InputError: If no axis is given, and the directions hold no curve.
    """
    if plane.fit_path is not None or plane.x is not None:
        return plane.fit_path is not None
    if plane.directions is not None and isinstance(path_of(plane.directions), PlaneCurve):
        return True
    raise InputError(
        f"--x is not given, but --directions {plane.directions} holds no curve that the grid "
        "could cover. Pass --x=-1:1:51, or --fit-path with the plane of a training run."
    )


def _fit(plane: PlaneRequest, option: str, text: str, number: int) -> np.ndarray:
    count = text.removeprefix(FITTED)
    if not count.isdecimal():
        raise InputError(f"{option}: {text!r} is not an axis. Pass {option}=fit:51 for 51 points.")
    if plane.directions is None:
        raise InputError(
            f"{option}: {text} covers a trajectory, but there is none. Pass --directions with the "
            "plane that landscape_mpi.trajectory wrote."
        )
    path = path_of(plane.directions)
    if path is None:
        raise InputError(
            f"{option}: {text} covers a trajectory, but --directions {plane.directions} holds "
            "none. Pass the plane that landscape_mpi.trajectory wrote, or landscape_mpi.curve "
            f"plane, or {option}=MIN:MAX:N."
        )
    extent = path.extent()
    margin = DEFAULT_MARGIN if plane.fit_path is None else plane.fit_path
    along = extent[number] if np.ptp(extent[number]) > 0 else extent[1 - number]
    return fit_axis(along, int(count), margin=margin, option=option)


def path_on_surface(
    asked: SurfaceRequest,
    state: Mapping[str, np.ndarray],
    vectors: Mapping[str, Direction],
) -> PlanePath | None:
    """Return the trajectory or curve in the plane of the directions; None if it has another center.

    Args:
        asked: The surface.
        state: Weights at the center of the surface, by name.
        vectors: Directions of the surface, by axis.

    Raises:
        InputError: If the grid was fitted to a path around another center.
    """
    plane = asked.plane
    path = path_of(plane.directions) if plane.directions else None
    if path is None or plane.directions is None:
        return None
    names = names_of_direction(plane.directions, "alpha")
    own = renamed_like(names, state)  # if one of the networks lies inside another module
    center = {name: state[own[name]] for name in names if own[name] in state}
    single = {name: values.astype(np.float32) for name, values in center.items()}
    # Trajectories read weights in float32, whatever the network computes in.
    if path.attributes["center_sha256"] not in {digest(center), digest(single)}:
        center_file = path.attributes["center"]
        what = "curve" if isinstance(path, PlaneCurve) else "path"
        words = (
            f"--directions {plane.directions}: its {what} belongs to the center {center_file}, "
            f"but {asked.inputs.center_name} has other weights"
        )
        if _is_fitted(plane):
            raise InputError(
                f"{words}, so the {what} does not lie in this plane. Pass --checkpoint "
                f"{center_file}, or leave out --fit-path."
            )
        print(f"{words}: the {what} is left out", flush=True)
        return None
    kept = {name: state[name] for name in vectors["alpha"]}
    return replace(path, attributes={**path.attributes, "center_sha256": digest(kept)})


def _is_fitted(plane: PlaneRequest) -> bool:
    axes = (plane.x, plane.y)
    return (
        plane.fit_path is not None
        or plane.x is None
        or any(str(text).startswith(FITTED) for text in axes)
    )
