"""Make an empty surface file: every dataset and attribute is in it before a rank opens it.

Fixed shapes, contiguous, allocated early and closed after creation: a file made so stays
readable, with every finished round in it, when a rank is killed. Files that grow during
the run do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.output import whole_file
from landscape_mpi.store import schema

Attributes = Mapping[str, object]  # strings, numbers and lists of them


@dataclass(frozen=True)
class SurfaceContent:
    """What is known of a surface before its first point."""

    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    quantities: tuple[str, ...]  # names of schema.QUANTITIES
    attributes: Mapping[str, Attributes]  # of the groups "/", "directions" and "provenance"
    vectors: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)  # by axis, name


def create_surface(path: Path, content: SurfaceContent) -> None:
    """Write a surface file without points. Local; call it on one rank.

    The file appears at path whole or not at all, in the place of one that was there.

    Args:
        path: Where to write.
        content: What the file says of itself.
    """
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        _write_content(file, content)


def _write_content(file: h5py.File, content: SurfaceContent) -> None:
    file.attrs["format"] = schema.FORMAT
    file.attrs["format_version"] = schema.FORMAT_VERSION
    file.attrs["axis_labels"] = list(schema.AXIS_LABELS)
    scales = []
    for scale, values in zip(schema.AXES, (content.alpha, content.beta), strict=True):
        dataset = create_dataset(file, scale, values.shape)
        dataset[...] = values
        dataset.make_scale(scale.name)
        scales.append(dataset)
    shape = (len(content.alpha), len(content.beta))
    quantities = [schema.QUANTITIES[name] for name in content.quantities]
    for item in (*quantities, *schema.BOOKKEEPING.values()):
        dataset = create_dataset(file, item, shape)
        for dimension, attached in zip(dataset.dims, scales, strict=True):
            dimension.attach_scale(attached)
    file.create_group("directions")
    for axis, vectors in content.vectors.items():
        group = file.create_group(f"directions/{axis}", track_order=True)
        for parameter, values in vectors.items():
            vector = group.create_dataset(parameter, data=values)
            vector.attrs["units"] = "1"
            vector.attrs["long_name"] = f"direction along {axis} of the parameter {parameter}"
    create_runs(file.create_group("provenance"))
    for group, attributes in content.attributes.items():
        for name, value in attributes.items():
            file[group].attrs[name] = value


def create_dataset(file: h5py.File, item: schema.Field, shape: tuple[int, ...]) -> h5py.Dataset:
    """Make a dataset of fixed shape, contiguous and allocated at once, at its fill value."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_value(np.array(item.fill, item.dtype))
    properties.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(np.dtype(item.dtype))
    identifier = h5py.h5d.create(file.id, item.name.encode(), kind, space, dcpl=properties)
    dataset = h5py.Dataset(identifier)
    dataset.attrs["units"] = item.units
    dataset.attrs["long_name"] = item.long_name
    return dataset


def create_runs(provenance: h5py.Group, *, table: str = "runs") -> None:
    """Make an empty table of runs."""
    runs = np.zeros(schema.MAX_RUNS, schema.RUN)
    dataset = provenance.create_dataset(table, data=runs)
    dataset.attrs["units"] = "1"
    dataset.attrs["long_name"] = "the runs that filled this file, in order"
