"""The group ``marks``: the solutions in a plane, and their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import h5py

from landscape_mpi.short_names import short_names
from landscape_mpi.store.checksums import read_constant
from landscape_mpi.store.dimensions import name_rows
from landscape_mpi.store.schema import AXIS_LABELS

GROUP = "marks"
COLUMNS = {
    "name": "solution that lies in the plane",
    "alpha": "its coordinate along the first direction",
    "beta": "its coordinate along the second direction",
}


@dataclass(frozen=True)
class Mark:
    """A solution that lies in the plane."""

    name: str
    alpha: float
    beta: float


def write_marks(file: h5py.File, marks: Sequence[Mark]) -> None:
    """Write marks, if there are any, into a new surface file."""
    if not marks:
        return
    group = file.create_group(GROUP)
    for name, long_name in COLUMNS.items():
        dataset = group.create_dataset(name, data=[getattr(mark, name) for mark in marks])
        dataset.attrs["units"] = "1"
        dataset.attrs["long_name"] = long_name
    name_rows(group, "name", ["alpha", "beta"])


def read_marks(file: h5py.File) -> tuple[Mark, ...]:
    """Return the marks of a surface file, empty if it has none."""
    if GROUP not in file:
        return ()
    group = file[GROUP]
    names = [name.decode() for name in read_constant(group["name"])]
    columns = _told_apart(file, names), *(read_constant(group[axis]) for axis in AXIS_LABELS)
    return tuple(Mark(name, float(a), float(b)) for name, a, b in zip(*columns, strict=True))


def _told_apart(file: h5py.File, names: list[str]) -> list[str]:
    """Return unique names of the marks, if the file states the checkpoints behind them.

    Older files only have the last part of each path.
    """
    if len({*names}) == len(names) or not {"provenance", "directions"} <= file.keys():
        return names
    sources = str(file["directions"].attrs.get("source", "")).split("; ")
    ends = [source.removeprefix("to ").removesuffix(", orthogonal") for source in sources]
    paths = [str(file["provenance"].attrs.get("checkpoint", "")), *ends]
    return short_names(paths) if [PurePath(path).stem for path in paths] == names else names
