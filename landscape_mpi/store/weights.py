"""The weights file of a training run: norms and histograms of its weights, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.invocation import typed
from landscape_mpi.output import whole_file
from landscape_mpi.store.checksums import UNREADABLE, read_constant, sign
from landscape_mpi.store.contents import check_contents
from landscape_mpi.store.creation import LIBVER, Attributes
from landscape_mpi.store.dimensions import name_rows, number_rows
from landscape_mpi.store.provenance import GROUP as PROVENANCE

FORMAT = "landscape_mpi weights"
FORMAT_VERSION = 1
# Unit and long name of every dataset. Weights have two dimensions or more.
DATASETS = {
    "epoch": ("1", "passes over the training set; 0 is before training"),
    "lr": ("1", "learning rate of the epoch"),
    "weight_norm": ("1", "L2 norm of all weights: filters and matrices"),
    "total_norm": ("1", "L2 norm of all parameters"),
    "parameter_norms": ("1", "L2 norm of each parameter, in the order of parameter_names"),
    "histogram": ("1", "number of weights in each bin"),
    "histogram_edges": ("1", "edges of the bins"),
    "n_outside": ("1", "number of weights below and above the bins"),
}
NAMES = "parameter_names"
COLUMNS = (  # second dimensions: name, long name and dataset
    ("bin", "number of the bin", "histogram"),
    ("edge", "number of the edge", "histogram_edges"),
    ("side", "0 below the bins, 1 above them", "n_outside"),
)


@dataclass(frozen=True)
class WeightHistory:
    """Norms and histograms of the weights after each epoch; the first row is before training."""

    epoch: np.ndarray  # int64 [n]
    lr: np.ndarray  # float64 [n]
    weight_norm: np.ndarray  # float64 [n]
    total_norm: np.ndarray  # float64 [n]
    parameter_norms: np.ndarray  # float64 [n, n_parameters]
    histogram: np.ndarray  # int64 [n, n_bins]
    histogram_edges: np.ndarray  # float64 [n, n_bins + 1]
    n_outside: np.ndarray  # int64 [n, 2]


@dataclass(frozen=True)
class WeightsFile:
    """A weights file in memory."""

    path: Path
    history: WeightHistory
    parameter_names: tuple[str, ...]
    attributes: dict[str, object]  # of the file's root: model, data, ...


def write_weights(
    path: Path,
    history: WeightHistory,
    names: tuple[str, ...],
    attributes: Attributes,
    origin: Attributes | None = None,
) -> None:
    """Write a weights file whole, or leave path unchanged.

    Args:
        path: File to write or replace.
        history: All epochs so far.
        names: Names of the parameters.
        attributes: Attributes of the file.
        origin: User, machine and command, for the group ``provenance/``.
    """
    with whole_file(path) as partial, h5py.File(partial, "w", libver=LIBVER) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        if origin:
            file.create_group(PROVENANCE).attrs.update(origin)
        for name, (units, long_name) in DATASETS.items():
            values = getattr(history, name)
            squeezed = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
            _describe(file.create_dataset(name, data=values, **squeezed), units, long_name)
        _describe(file.create_dataset(NAMES, data=list(names)), "1", "names of the parameters")
        name_rows(file, "epoch", DATASETS.keys() - {"epoch"})
        name_rows(file, NAMES, ["parameter_norms"], dimension=1)
        for scale, long_name, name in COLUMNS:
            number_rows(file, scale, long_name, [name], dimension=1)
        sign(file)


def _describe(dataset: h5py.Dataset, units: str, long_name: str) -> None:
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name


def read_weights(path: Path) -> WeightsFile:
    """Read a weights file, or the one in the folder of a training run.

    Raises:
        MissingInputError: If there is none.
        InputError: If it is something else.
    """
    file_path = path / "weights.h5" if path.is_dir() else path
    if not file_path.exists():
        raise MissingInputError(
            f"--weights: {file_path}: does not exist. Name the folder of a training run "
            f"({typed('train')} --run FOLDER), or the weights.h5 in one."
        )
    try:
        with h5py.File(file_path, "r", locking=False) as file:
            check_contents(file, file_path)
            return _read(file_path, file)
    except InputError:
        raise
    except UNREADABLE as problem:
        raise InputError(
            f"--weights: {file_path}: is not a weights file of a training run, or is damaged: "
            f"{problem}. Name the folder of landscape_mpi.train --run."
        ) from problem


def _read(path: Path, file: h5py.File) -> WeightsFile:
    if file.attrs.get("format") != FORMAT:
        raise InputError(
            f"--weights: {path}: is an HDF5 file, but not that of a training run, which is "
            "weights.h5 in its folder. Name surfaces without --weights."
        )
    history = WeightHistory(**{name: read_constant(file[name]) for name in DATASETS})
    names = tuple(name.decode() for name in read_constant(file[NAMES]))
    return WeightsFile(path, history, names, dict(file.attrs))
