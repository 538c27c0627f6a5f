"""The group ``curve/``: a curve of low loss in a plane, and the points that define it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from landscape_mpi.store.checksums import read_constant
from landscape_mpi.store.dimensions import name_rows, number_rows
from landscape_mpi.store.solution_marks import Mark

GROUP = "curve"
COLUMNS = {
    "t": "place on the curve",
    "alpha": "coordinate along the first direction",
    "beta": "coordinate along the second direction",
    "residual": "distance from the plane, divided by the distance from the start",
}
BENDS = {
    "bend_alpha": "coordinate along the first direction of each point that defines the curve",
    "bend_beta": "coordinate along the second direction of each point that defines the curve",
    "bend_residual": "its distance from the plane, divided by the distance from the start",
}
IN_PLANE = 1e-4  # residual up to which a point counts as in the plane


@dataclass(frozen=True)
class PlaneCurve:
    """A curve in a plane, and the points that define it; the first and the last are its ends."""

    columns: Mapping[str, np.ndarray]  # float64 [n], the keys of COLUMNS
    bends: Mapping[str, np.ndarray]  # float64 [n_bends], the keys of BENDS
    attributes: Mapping[str, Any]  # center, center_sha256, label_alpha, kind, start, end, ...

    def __getitem__(self, column: str) -> np.ndarray:
        """Return a column of the curve or of the points that define it, float64."""
        return self.columns[column] if column in self.columns else self.bends[column]

    def extent(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the range of the curve and its points, along alpha and along beta."""
        ranges = []
        for axis in ("alpha", "beta"):
            values = np.concatenate([self.columns[axis], self.bends[f"bend_{axis}"]])
            ranges.append((float(values.min()), float(values.max())))
        return ranges[0], ranges[1]

    def marks(self) -> tuple[Mark, ...]:
        """Return the ends that lie in the plane."""
        places = zip(*(self.bends[name][[0, -1]] for name in BENDS), strict=True)
        names = (str(self.attributes["start"]), str(self.attributes["end"]))
        return tuple(
            Mark(name, float(alpha), float(beta))
            for name, (alpha, beta, residual) in zip(names, places, strict=True)
            if residual <= IN_PLANE
        )


def write_plane_curve(file: h5py.File, curve: PlaneCurve) -> None:
    """Write the group into a file that is open for writing. Local."""
    group = file.create_group(GROUP)
    group.attrs.update(curve.attributes)
    for name, long_name in (COLUMNS | BENDS).items():
        dataset = group.create_dataset(name, data=curve[name])
        dataset.attrs["units"] = "1"
        dataset.attrs["long_name"] = long_name
    name_rows(group, "t", COLUMNS.keys() - {"t"})
    number_rows(group, "bend", "number of the point, 0 the start", BENDS)


def read_plane_curve(file: h5py.File) -> PlaneCurve | None:
    """Return the curve of an open file, None if it has none."""
    group = file.get(GROUP)
    if not isinstance(group, h5py.Group):
        return None
    columns, bends = (
        {name: read_constant(group[name]) for name in names} for names in (COLUMNS, BENDS)
    )
    return PlaneCurve(columns, bends, dict(group.attrs))
