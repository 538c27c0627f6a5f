"""Remove damaged points from a surface file, so that a run computes them again."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.store.checksums import SEAL, check_seal, damaged_points
from landscape_mpi.store.contents import check_contents

SHOWN = 20  # largest number of points in the message


def repair_points(path: Path) -> np.ndarray:
    """Mark points with wrong checksums as not computed. Local; nobody may be writing the file.

    Damage outside the points is not repaired: a later check refuses it.

    Args:
        path: Surface file.

    Returns:
        Indices [alpha, beta] of those points, int64 [n, 2].

    Raises:
        DamagedFileError: If anything besides values of points has changed.
    """
    with h5py.File(path, "r", locking=False) as file:
        check_contents(file, path)
        if SEAL not in file:
            return np.empty((0, 2), np.int64)
        check_seal(file, path)
        points = damaged_points(file, path)
        places = np.stack(np.unravel_index(points, file["done"].shape), axis=1)
    if len(points):
        with h5py.File(path, "r+", locking=False) as file:
            done = file["done"][...]
            done.ravel()[points] = 0
            file["done"][...] = done
    return places


def describe_repair(path: Path, places: np.ndarray) -> str:
    """Describe the repair in words.

    Args:
        path: Surface file.
        places: Result of repair_points().
    """
    if not len(places):
        return f"{path}: --repair finds no damaged point"
    shown = ", ".join(f"[{alpha}, {beta}]" for alpha, beta in places[:SHOWN])
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    are = f"{len(places)} points are" if len(places) > 1 else "1 point is"
    return f"{path}: {are} not as written, so this run recomputes [alpha, beta] = {shown}{more}"
