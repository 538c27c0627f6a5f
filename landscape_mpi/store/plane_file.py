"""The file of a plane: its two directions, and the trainings or the curve behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.store.checksums import sign
from landscape_mpi.store.creation import LIBVER
from landscape_mpi.store.directions import write_directions
from landscape_mpi.store.plane_path import PlanePath, write_path

FORMAT = "landscape_mpi plane"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class PlaneContent:
    """The contents of a plane file."""

    vectors: Mapping[str, Mapping[str, np.ndarray]]  # by axis and parameter, float32
    path: PlanePath
    attributes: Mapping[str, Mapping[str, object]]  # of the groups "directions" and "provenance"


def check_plane_replaceable(path: Path) -> None:
    """Check that only a plane file would be replaced. Local.

    Args:
        path: Value of --out; the file may not exist yet.

    Raises:
        InputError: If another kind of file is there.
    """
    if not path.exists() or not path.stat().st_size:
        return
    found = "not an HDF5 file, or a damaged one"
    if h5py.is_hdf5(path):
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") == FORMAT:
                return
        found = "an HDF5 file, but not one of a plane"
    raise InputError(
        f"--out: {path} is {found}, so it is not replaced. Pass a new name, or remove the file if "
        "nobody needs it."
    )


def write_plane(path: Path, content: PlaneContent) -> None:
    """Write a plane file, whole or not at all. Local; call it on one rank."""
    with whole_file(path) as partial, h5py.File(partial, "w", libver=LIBVER) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.create_group("directions")
        file.create_group("provenance")
        write_directions(file, content.vectors)
        write_path(file, content.path)
        sign(file)
        for group, attributes in content.attributes.items():
            file[group].attrs.update(attributes)
