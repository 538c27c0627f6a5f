"""The file of an ensemble: the trace of its training, and the results of its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

FORMAT = "landscape_mpi ensemble"
FORMAT_VERSION = 1
NAME = "ensemble.h5"  # name in the folder of a run
_SCORES = {
    "test_loss": ("nat", "mean cross-entropy over the test split"),
    "test_error": ("percent", "misclassified test samples"),
}
_GROWING = {
    "ensemble_test_loss": (
        "nat",
        "test loss of the averaged outputs of this network and all before it",
    ),
    "ensemble_test_error": (
        "percent",
        "test error of the averaged outputs of this network and all before it",
    ),
}
_TIME = {
    "iteration": ("1", "steps of training since the start"),
    "epoch": ("1", "epochs since the start"),
}
# The columns of every table, with unit and long name.
TABLES: dict[str, dict[str, tuple[str, str]]] = {
    "trace": {
        **_TIME,
        "lr": ("1", "learning rate"),
        **_SCORES,
        "distance": ("1", "L2 norm of all parameters less those of the start"),
        "collected": ("1", "1 where the weights were collected"),
    },
    "member": _TIME | _SCORES | _GROWING,
    "independent": _SCORES | _GROWING,
    "comparison": {
        "name": ("1", "name of the network or average that is compared"),
        "networks": ("1", "networks whose outputs are averaged"),
        "epochs": ("1", "epochs of training that these networks took, NaN where unknown"),
        **_SCORES,
    },
}
# Columns that need outputs of classes, or an average of outputs; a problem has its metrics instead.
OF_CLASSES = frozenset({"test_error", *_GROWING})
# Attributes of an ensemble of a problem; the last one has names with commas between them, or none.
PROBLEM, LOSS_UNITS, METRICS = "problem", "loss_units", "metrics"
Table = Mapping[str, np.ndarray]  # columns of equal length


@dataclass(frozen=True)
class EnsembleContent:
    """The contents of an ensemble file; tables that are not known yet are missing."""

    tables: Mapping[str, Table]  # by the keys of TABLES; names are text
    attributes: Attributes  # the training: its network, data, options and start
    origin: Attributes = field(default_factory=dict)  # user, machine and command

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """Return the names of the metrics of a problem; None for networks of classes."""
        return metrics_of(self.attributes)


def metrics_of(attributes: Attributes) -> tuple[str, ...] | None:
    """Return the names of the metrics of a problem; None for networks of classes.

    Args:
        attributes: Attributes of the file; older files of problems had no metrics.
    """
    if PROBLEM not in attributes:
        return None
    text = str(attributes.get(METRICS, "none"))
    return () if text == "none" else tuple(text.split(","))


def score_names(metrics: Sequence[str]) -> list[str]:
    """Return the columns of the loss and the metrics of a problem."""
    return [f"test_{name}" for name in ("loss", *metrics)]


def columns_of(name: str, metrics: Sequence[str] | None) -> list[str]:
    """Return the columns of a table.

    Args:
        name: One of TABLES.
        metrics: Names of the metrics of a problem, which are not measured in the trace; None for
            networks of classes.
    """
    if metrics is None:
        return list(TABLES[name])
    columns = [column for column in TABLES[name] if column not in OF_CLASSES]
    return columns if name == "trace" else [*columns, *score_names(metrics)[1:]]


def write_ensemble(path: Path, content: EnsembleContent) -> None:
    """Write an ensemble file whole, or leave path unchanged. Local."""
    with whole_file(path) as partial, h5py.File(partial, "w", libver=LIBVER) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        for name, value in content.attributes.items():
            file.attrs[name] = value
        if content.origin:
            file.create_group(PROVENANCE).attrs.update(content.origin)
        for name, table in content.tables.items():
            group = file.create_group(name, track_order=True)
            columns = columns_of(name, content.metrics)
            for column in columns:
                units, long_name = _meaning(name, column, content)
                dataset = group.create_dataset(column, data=_stored(table[column]))
                dataset.attrs["units"] = units
                dataset.attrs["long_name"] = long_name
            _name_rows(group, columns)
            sign(group)


def _meaning(name: str, column: str, content: EnsembleContent) -> tuple[str, str]:
    """Return the unit and the long name of a column."""
    scores = () if content.metrics is None else score_names(content.metrics)
    if column not in scores:
        return TABLES[name][column]
    if column == "test_loss":
        return str(content.attributes[LOSS_UNITS]), "mean loss over the test split"
    units = "percent" if column == "test_error" else "1"
    return units, f"{column.removeprefix('test_')} over the test split"


def _name_rows(group: h5py.Group, columns: list[str]) -> None:
    scale = next((name for name in ("name", "iteration") if name in columns), None)
    if scale is None:
        number_rows(group, "network", "number of the network, 0 the first", columns)
    else:
        name_rows(group, scale, [name for name in columns if name != scale])


def _stored(values: np.ndarray) -> np.ndarray:
    """Return text in the form that h5py writes, other values unchanged."""
    return values.astype(h5py.string_dtype()) if values.dtype.kind in "UO" else values


def read_ensemble(path: Path) -> EnsembleContent:
    """Read an ensemble file, or the one in the folder of a run.

    Raises:
        MissingInputError: If there is none.
        InputError: If it is another kind of file, or lacks its trace.
    """
    file_path = path / NAME if path.is_dir() else path
    if not file_path.exists():
        raise MissingInputError(
            f"--ensemble: {file_path}: does not exist. Name the folder of a run "
            f"({typed('ensemble')} --run FOLDER), or the ensemble.h5 in one."
        )
    try:
        with h5py.File(file_path, "r", locking=False) as file:
            check_contents(file, file_path)
            if file.attrs.get("format") != FORMAT:
                raise InputError(
                    f"--ensemble: {file_path}: is an HDF5 file, but not one of "
                    "landscape_mpi.ensemble. Name the folder that landscape_mpi.ensemble --run "
                    "filled."
                )
            known = dict(file.attrs)
            tables = {
                name: _read_table(file[name], columns_of(name, metrics_of(known)))
                for name in TABLES
                if name in file
            }
            if "trace" not in tables:
                raise InputError(
                    f"--ensemble: {file_path}: has no table trace, which every run writes first. "
                    "The file is damaged. Copy it again from the machine of the run."
                )
            return EnsembleContent(tables, known)
    except InputError:
        raise
    except UNREADABLE as problem:
        raise InputError(
            f"--ensemble: {file_path}: is not an ensemble file, or is damaged: {problem}. Name "
            "the folder of landscape_mpi.ensemble --run."
        ) from problem


def _read_table(group: h5py.Group, columns: Sequence[str]) -> dict[str, np.ndarray]:
    return {column: _read_column(group[column]) for column in columns}


def _read_column(dataset: h5py.Dataset) -> np.ndarray:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    values = read_constant(dataset)
    return np.array([text.decode() for text in values], object) if is_text else values
