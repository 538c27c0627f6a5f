"""What runs in the plane of a surface: the grid that covers it, and whether it belongs there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from landscape_mpi.compute.directions import Direction, digest
from landscape_mpi.errors import InputError
from landscape_mpi.job.plane.grid import check_number_of_points, fit_axis, parse_axis
from landscape_mpi.store.directions import names_of_direction
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.plane_path import PlanePath, path_of

FITTED = "fit:"
DEFAULT_FITTED = "fit:51"
DEFAULT_MARGIN = 0.2


def choose_grid(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates along alpha and beta, float64 [n_alpha] and [n_beta].

    Args:
        options: ``x``, ``y``, ``fit_path`` and ``directions``.

    Raises:
        InputError: If an axis is none, there is no path to fit one to, or points are too many.
    """
    default = DEFAULT_FITTED if _covers_path(options) else None
    asked = (("--x", options.x or default), ("--y", options.y or default))
    axes = []
    for number, (option, text) in enumerate(asked):
        if text is None:
            axes.append(np.zeros(1))
        elif text.startswith(FITTED):
            axes.append(_fit(options, option, text, number))
        else:
            axes.append(parse_axis(text, option=option))
    check_number_of_points(len(axes[0]), len(axes[1]), option="--x, --y")
    return axes[0], axes[1]


def _covers_path(options: argparse.Namespace) -> bool:
    """Return whether an axis that is not given covers the path: a curve's plane asks for it.

    Raises:
        InputError: If no axis is given, and the directions hold no curve.
    """
    if options.fit_path is not None or options.x is not None:
        return options.fit_path is not None
    if options.directions is not None and isinstance(path_of(options.directions), PlaneCurve):
        return True
    raise InputError(
        f"--x: is not given, and --directions {options.directions} holds no curve that the grid "
        f"could cover. Pass --x=-1:1:51, or --fit-path with the plane of a training run."
    )


def _fit(options: argparse.Namespace, option: str, text: str, number: int) -> np.ndarray:
    count = text.removeprefix(FITTED)
    if not count.isdecimal():
        raise InputError(f"{option}: {text!r} is not an axis. Write {option}=fit:51 for 51 points.")
    if options.directions is None:
        raise InputError(
            f"{option}: {text} covers the path of a training, and there is none. Pass --directions "
            f"with the plane that landscape_mpi.trajectory wrote."
        )
    path = path_of(options.directions)
    if path is None:
        raise InputError(
            f"{option}: {text} covers the path of a training, and --directions "
            f"{options.directions} holds none. Pass the plane that landscape_mpi.trajectory wrote, "
            f"or landscape_mpi.curve plane, or {option}=MIN:MAX:N."
        )
    extent = path.extent()
    margin = DEFAULT_MARGIN if options.fit_path is None else options.fit_path
    along = extent[number] if np.ptp(extent[number]) > 0 else extent[1 - number]
    return fit_axis(along, int(count), margin=margin, option=option)


def path_on_surface(
    options: argparse.Namespace,
    state: Mapping[str, np.ndarray],
    vectors: Mapping[str, Direction],
) -> PlanePath | None:
    """Return what lies in the plane of the directions, None where that is of another center.

    Args:
        options: ``directions``, ``checkpoint``, ``model``, ``x``, ``y`` and ``fit_path``.
        state: Weights at the center of the surface, by name.
        vectors: Directions of the surface, by axis.

    Raises:
        InputError: If the grid was fitted to a path around another center.
    """
    path = path_of(options.directions) if options.directions else None
    if path is None:
        return None
    names = names_of_direction(options.directions, "alpha")
    center = digest({name: state[name] for name in names if name in state})
    if center != path.attributes["center_sha256"]:
        center_file = path.attributes["center"]
        what = "curve" if isinstance(path, PlaneCurve) else "path"
        words = (
            f"--directions {options.directions}: its {what} runs around {center_file}, and "
            f"{options.checkpoint or options.model} has other weights"
        )
        if _is_fitted(options):
            raise InputError(
                f"{words}, so the {what} does not lie in this plane. Pass --checkpoint "
                f"{center_file}, or leave --fit-path out."
            )
        print(f"{words}: the {what} is left out", flush=True)
        return None
    kept = {name: state[name] for name in vectors["alpha"]}
    return replace(path, attributes={**path.attributes, "center_sha256": digest(kept)})


def _is_fitted(options: argparse.Namespace) -> bool:
    axes = (options.x, options.y)
    return (
        options.fit_path is not None
        or options.x is None
        or any(str(text).startswith(FITTED) for text in axes)
    )
