"""The spectrum file: the Hessian's eigenvalues at one point of a surface.

Its leading eigenvectors are stored like the directions of a surface file: the first along alpha,
the second along beta, so that a new surface can be computed along them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.output import whole_file
from landscape_mpi.store.checksums import UNREADABLE, DamagedFileError, read_constant, sign
from landscape_mpi.store.contents import check_contents
from landscape_mpi.store.creation import LIBVER, Attributes
from landscape_mpi.store.dimensions import name_rows
from landscape_mpi.store.directions import axis_of_number, write_directions

FORMAT = "landscape_mpi spectrum"
FORMAT_VERSION = 1
# Unit and long name of every dataset.
DATASETS = {
    "eigenvalue": ("nat", "largest eigenvalues of the Hessian, falling"),
    "residual": ("nat", "length of H u - eigenvalue u"),
    "place": ("nat", "eigenvalue at which the density is given"),
    "density": ("1/nat", "share of all eigenvalues per unit"),
}


@dataclass(frozen=True)
class Spectrum:
    """The contents of a spectrum file, without its vectors."""

    eigenvalue: np.ndarray  # float64 [k]
    residual: np.ndarray  # float64 [k]
    place: np.ndarray  # float64 [n]
    density: np.ndarray  # float64 [n]
    attributes: Attributes  # trace, both ends, the plane's own curvature, and the origin

    @property
    def loss_units(self) -> str:
        """Return the unit of the loss, which is also that of the eigenvalues."""
        return str(self.attributes.get("loss_units", "nat"))


def write_spectrum(
    path: Path, spectrum: Spectrum, vectors: Sequence[Mapping[str, np.ndarray]]
) -> None:
    """Write a spectrum file whole, or leave path unchanged. Local.

    Args:
        path: File to write or replace.
        spectrum: Its contents.
        vectors: Unit eigenvectors by parameter, float32, in the order of the eigenvalues.
    """
    with whole_file(path) as partial, h5py.File(partial, "w", libver=LIBVER) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        for name, value in spectrum.attributes.items():
            file.attrs[name] = value
        for name, (units, long_name) in DATASETS.items():
            dataset = file.create_dataset(name, data=getattr(spectrum, name))
            dataset.attrs["units"] = _in_units(units, spectrum.loss_units)
            dataset.attrs["long_name"] = long_name
        name_rows(file, "eigenvalue", ["residual"])
        name_rows(file, "place", ["density"])
        write_directions(file, {axis_of_number(k): v for k, v in enumerate(vectors)})
        sign(file)


def _in_units(units: str, of_loss: str) -> str:
    """Convert a unit of a cross-entropy to that of another loss."""
    if of_loss in {"", "1"}:
        return "1"
    inverse = f"1/({of_loss})" if "/" in of_loss else f"1/{of_loss}"
    return {"nat": of_loss, "1/nat": inverse}[units]


def check_is_spectrum(path: Path) -> None:
    """Check that an existing file is a spectrum file, which may be replaced, damaged or not.

    Raises:
        InputError: If it is something else.
    """
    if not path.exists():
        return
    try:
        read_spectrum(path)
    except DamagedFileError:
        return
    except InputError as problem:
        raise InputError(
            f"--out: {path} exists and is not a spectrum file, so it is not replaced. Pass a new "
            "name."
        ) from problem


def read_spectrum(path: Path) -> Spectrum:
    """Read a spectrum file.

    Raises:
        MissingInputError: If there is none.
        InputError: If it is something else.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: does not exist. Name a file of hessian --spectrum.")
    try:
        with h5py.File(path, "r", locking=False) as file:
            check_contents(file, path)
            if file.attrs.get("format") != FORMAT:
                raise InputError(
                    f"{path}: is an HDF5 file, but not one of landscape_mpi.hessian --spectrum. "
                    "Name the file that this command wrote."
                )
            values = {name: read_constant(file[name]) for name in DATASETS}
            _check_shapes(values, path)
            return Spectrum(**values, attributes=dict(file.attrs))
    except InputError:
        raise
    except UNREADABLE as problem:
        raise InputError(
            f"{path}: is not a spectrum file, or is damaged: {problem}. Name the file that "
            "landscape_mpi.hessian --spectrum wrote."
        ) from problem


def _check_shapes(values: Mapping[str, np.ndarray], path: Path) -> None:
    for one, other in (("eigenvalue", "residual"), ("place", "density")):
        shapes = values[one].shape, values[other].shape
        if shapes[0] != shapes[1] or len(shapes[0]) != 1:
            raise InputError(
                f"{path}: {one} has shape {shapes[0]} and {other} has shape {shapes[1]}, but both "
                "must have the same shape (n,). The file is damaged. Copy it again from the "
                "machine of the job."
            )
