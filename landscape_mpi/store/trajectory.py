"""The group ``trajectory/``: the places of the checkpoints of trainings in a plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store.checksums import read_constant
from landscape_mpi.store.dimensions import number_rows

GROUP = "trajectory"
COLUMNS = {
    "alpha": ("1", "coordinate along the first direction"),
    "beta": ("1", "coordinate along the second direction"),
    "residual": ("1", "distance from the plane, divided by the distance from the center"),
    "epoch": ("1", "epochs trained, NaN where unknown"),
    "lr": ("1", "learning rate, NaN where unknown"),
}
TEXTS = {"file": "checkpoint", "file_sha256": "SHA-256 of the file of the checkpoint"}
DAMAGED = "The file is damaged. Copy it again from the machine of the job."
COMPONENTS = "coordinate along each principal component"
DROP = 0.5  # a learning rate that falls to this share or less has dropped; others are gradual


@dataclass(frozen=True)
class Trajectory:
    """The checkpoints of one training run, in their order, and their places in a plane."""

    name: str
    columns: Mapping[str, np.ndarray]  # float64 [n], the keys of COLUMNS
    texts: Mapping[str, tuple[str, ...]]  # [n], the keys of TEXTS
    components: np.ndarray  # float64 [n, n_components]

    def __getitem__(self, column: str) -> np.ndarray:
        """Return a column, float64 [n]."""
        return self.columns[column]

    @property
    def drops(self) -> np.ndarray:
        """Say before which checkpoints the learning rate dropped, bool [n]."""
        lr = self["lr"]
        with np.errstate(invalid="ignore"):
            return np.concatenate([[False], lr[1:] <= DROP * lr[:-1]])


@dataclass(frozen=True)
class Trajectories:
    """The trajectories of trainings, and the attributes of their plane."""

    runs: tuple[Trajectory, ...]
    attributes: Mapping[str, Any]  # center, center_sha256, label_alpha, label_beta, shares, ...

    def extent(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the range of all trajectories and the center, along alpha and along beta."""
        ranges = []
        for axis in ("alpha", "beta"):
            values = np.concatenate([[0.0], *(run[axis] for run in self.runs)])
            ranges.append((float(values.min()), float(values.max())))
        return ranges[0], ranges[1]


def write_trajectories(file: h5py.File, trajectories: Trajectories) -> None:
    """Write the group into a file that is open for writing. Local."""
    group = file.create_group(GROUP, track_order=True)
    group.attrs.update(trajectories.attributes)
    for number, run in enumerate(trajectories.runs):
        place = group.create_group(f"run_{number}")
        place.attrs["name"] = run.name
        for name, (units, long_name) in COLUMNS.items():
            _write(place, name, run[name], units, long_name)
        for name, long_name in TEXTS.items():
            values = np.array([text.encode() for text in run.texts[name]])
            _write(place, name, values, "1", long_name)
        _write(place, "components", run.components, "1", COMPONENTS)
        number_rows(place, "checkpoint", "number in the order of training", list(place))
        number_rows(place, "component", "number, 0 the first", ["components"], dimension=1)


def _write(group: h5py.Group, name: str, values: np.ndarray, units: str, long_name: str) -> None:
    dataset = group.create_dataset(name, data=values)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name


def read_trajectories(file: h5py.File) -> Trajectories | None:
    """Return the trajectories of an open file, None if it has none.

    Raises:
        InputError: If the group holds no run, or columns of different shapes.
    """
    group = file.get(GROUP)
    if not isinstance(group, h5py.Group):
        return None
    if not len(group):
        raise InputError(f"{file.filename}: its group {GROUP} holds no training run. {DAMAGED}")
    runs = [_read_run(group[f"run_{number}"]) for number in range(len(group))]
    for number, run in enumerate(runs):
        shapes = {run[name].shape for name in COLUMNS}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise InputError(
                f"{file.filename}: the columns of {GROUP}/run_{number} have the shapes "
                f"{', '.join(map(str, sorted(shapes)))}, but each checkpoint has one value in "
                f"each column. {DAMAGED}"
            )
    return Trajectories(tuple(runs), dict(group.attrs))


def _read_run(group: h5py.Group) -> Trajectory:
    return Trajectory(
        name=str(group.attrs["name"]),
        columns={name: read_constant(group[name]) for name in COLUMNS},
        texts={name: tuple(t.decode() for t in read_constant(group[name])) for name in TEXTS},
        components=read_constant(group["components"]),
    )
