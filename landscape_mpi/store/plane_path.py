"""The path in a plane: the paths of trainings, or a curve between solutions."""

from __future__ import annotations

from pathlib import Path

import h5py

from landscape_mpi.errors import InputError
from landscape_mpi.store.plane_curve import PlaneCurve, read_plane_curve, write_plane_curve
from landscape_mpi.store.trajectory import Trajectories, read_trajectories, write_trajectories

PlanePath = Trajectories | PlaneCurve


def write_path(file: h5py.File, path: PlanePath) -> None:
    """Write the group of a path into a file that is open for writing. Local."""
    if isinstance(path, Trajectories):
        write_trajectories(file, path)
    else:
        write_plane_curve(file, path)


def path_of(path: Path) -> PlanePath | None:
    """Return the path in the plane of a file, None if there is none.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return read_trajectories(file) or read_plane_curve(file)
    except OSError as problem:
        raise InputError(
            f"--directions: {path}: cannot be read as HDF5 ({problem}). Pass the file that "
            "landscape_mpi.trajectory --out or landscape_mpi.curve plane --out wrote."
        ) from problem
