"""The directions of a file: our own, by parameter name, or those of the reference implementation.

The reference implementation (Li et al. 2018) stores the groups ``xdirection`` and
``ydirection``, each a list of tensors named 0, 1, 2, ... in the network's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.checksums import UNREADABLE, read_constant
from landscape_mpi.store.contents import check_contents

StoredDirection = dict[str, np.ndarray] | list[np.ndarray]  # by name, or in the network's order

GROUPS = {"alpha": ("directions/alpha", "xdirection"), "beta": ("directions/beta", "ydirection")}


def read_directions(
    path: Path, *, option: str = "--directions", more: bool = False
) -> dict[str, StoredDirection]:
    """Read the directions of a file, by axis.

    Args:
        path: A surface file written with --save-directions, a plane file, or a direction
            file of the reference implementation.
        option: The option that names it, for messages.
        more: Whether to return also the directions of no axis, by their numbers.

    Returns:
        For ``alpha``, and for ``beta`` if there is one, the tensors by name or as a list.

    Raises:
        InputError: If the file cannot be read or holds no directions.
        MissingInputError: If there is no such file.
    """
    if not path.exists():
        raise MissingInputError(
            f"{option}: {path}: does not exist. Pass the path of a file with directions."
        )
    try:
        with h5py.File(path, "r", locking=False) as file:
            check_contents(file, path)
            found = {axis: _read(file, names) for axis, names in GROUPS.items()}
            if more:
                names = [name for name in file.get("directions", ()) if name.isdecimal()]
                found |= {name: _read(file, (f"directions/{name}", "")) for name in names}
            present = sorted(file)
    except InputError:
        raise
    except UNREADABLE as problem:
        raise InputError(
            f"{option}: {path}: cannot be read as HDF5 ({problem}). Pass a file with directions, "
            "or leave out the option for random ones."
        ) from problem
    directions = {axis: tensors for axis, tensors in found.items() if tensors}
    if "alpha" not in directions:
        raise InputError(
            f"{option}: {path}: holds {', '.join(present) or 'nothing'}, but neither the vectors "
            "of directions/alpha nor an xdirection. A surface file holds its vectors only if it "
            "was written with --save-directions. Pass a file with vectors, or compute the "
            "surface again with --save-directions."
        )
    return directions


def axis_of_number(number: int) -> str:
    """Return the axis of a direction: alpha for 0, beta for 1, the number itself for others."""
    axes = list(GROUPS)
    return axes[number] if number < len(axes) else str(number)


def kept_vectors(path: Path, axis: str) -> dict[str, np.ndarray]:
    """Return the vectors along an axis of a surface file; empty if it holds none.

    Other checks refuse a damaged file, or one that is not a surface.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return {name: dataset[()] for name, dataset in file[GROUPS[axis][0]].items()}
    except UNREADABLE:
        return {}


def names_of_direction(path: Path, axis: str) -> list[str]:
    """Return the parameters that a direction in one of our files moves."""
    with h5py.File(path, "r", locking=False) as file:
        return list(file[GROUPS[axis][0]])


def _read(file: h5py.File, names: tuple[str, ...]) -> StoredDirection:
    ours, theirs = names
    if isinstance(file.get(ours), h5py.Group):
        return {name: read_constant(dataset) for name, dataset in file[ours].items()}
    group = file.get(theirs)
    if not isinstance(group, h5py.Group):
        return []
    return [group[name][()] for name in sorted(group, key=_number)]


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)


def write_directions(file: h5py.File, vectors: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write vectors, by axis and parameter, into a file that is open for writing. Local."""
    for axis, tensors in vectors.items():
        group = file.create_group(f"directions/{axis}", track_order=True)
        for parameter, values in tensors.items():
            vector = group.create_dataset(parameter, data=values)
            vector.attrs["units"] = "1"
            vector.attrs["long_name"] = f"direction along {axis} of the parameter {parameter}"
