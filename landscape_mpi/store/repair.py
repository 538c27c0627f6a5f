"""Remove damaged values from a surface file, so that a run makes them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.store.checksums import (
    damaged_eigenvalues,
    damaged_points,
    is_check_damaged,
)
from landscape_mpi.store.resume import open_sealed
from landscape_mpi.store.schema import HESSIAN_DONE, INTERPOLATED

SHOWN = 20  # largest number of points in the message


@dataclass(frozen=True)
class Repair:
    """The damaged values that were removed."""

    places: np.ndarray  # indices [alpha, beta] of damaged points, int64 [n, 2]
    check: bool = False  # whether the results of the self-check were damaged


def repair_points(path: Path) -> Repair:
    """Mark points with wrong checksums as not computed. Local; nobody may be writing the file.

    If the results of the self-check are damaged, this applies to all interpolated points: a run
    makes them and the check again from the computed points, without evaluating any.

    Damage elsewhere is not repaired: a later check refuses it.

    Args:
        path: Surface file.

    Raises:
        DamagedFileError: If anything besides values of points and the self-check has changed.
        InputError: If it is not a surface file.
    """
    with open_sealed(path) as file:
        points = damaged_points(file)
        done = file["done"][...]
        found = Repair(
            np.stack(np.unravel_index(points, done.shape), axis=1), is_check_damaged(file)
        )
    if len(points) or found.check:
        done.ravel()[points] = 0
        if found.check:
            done[done == INTERPOLATED] = 0
        with h5py.File(path, "r+", locking=False) as file:
            file["done"][...] = done
    return found


def repair_eigenvalues(path: Path) -> Repair:
    """Mark eigenvalues with wrong checksums as not computed. Local; nobody may be writing the file.

    Args:
        path: Surface file.

    Raises:
        DamagedFileError: If constant parts of the file have changed.
        InputError: If it is not a surface file.
    """
    with open_sealed(path) as file:
        points = damaged_eigenvalues(file)
        places = np.stack(np.unravel_index(points, file["done"].shape), axis=1)
    if len(points):
        with h5py.File(path, "r+", locking=False) as file:
            done = file[HESSIAN_DONE][...]
            done.ravel()[points] = 0
            file[HESSIAN_DONE][...] = done
    return Repair(places)


def discard(path: Path, flags: str) -> None:
    """Mark all points as not computed. Local; nobody may be writing the file.

    Args:
        path: Surface file.
        flags: Dataset of the marks: ``done``, or that of the eigenvalues.
    """
    with h5py.File(path, "r+", locking=False) as file:
        file[flags][...] = 0


def describe_repair(path: Path, found: Repair, *, noun: str = "point") -> str:
    """Describe the repair in words.

    Args:
        path: Surface file.
        found: Result of repair_points() or repair_eigenvalues().
        noun: Word for a damaged place.
    """
    lines = []
    if len(found.places):
        shown = ", ".join(f"[{alpha}, {beta}]" for alpha, beta in found.places[:SHOWN])
        n = len(found.places)
        more = f" and {n - SHOWN} more" if n > SHOWN else ""
        are = f"{n} {noun}s are" if n > 1 else f"1 {noun} is"
        lines.append(f"{are} not as written, so this run recomputes [alpha, beta] = {shown}{more}")
    if found.check:
        lines.append(
            "the results of the self-check are not as written, so this run makes them and the "
            "interpolated values again from the computed points"
        )
    return "\n".join(f"{path}: {line}" for line in lines or ["--repair finds no damage"])
