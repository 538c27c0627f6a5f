"""Make an empty surface file, with every dataset and attribute, before a rank opens it.

Datasets have fixed shapes, are contiguous and allocated early, and the file is closed after
creation. So it stays readable, with every finished round, if a rank is killed. Files that grow
during the run do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.output import whole_file
from landscape_mpi.store import schema
from landscape_mpi.store.checksums import SEAL, seal, sign
from landscape_mpi.store.directions import write_directions
from landscape_mpi.store.plane_path import PlanePath, write_path
from landscape_mpi.store.solution_marks import Mark, write_marks

# The structure of HDF5 1.8 has checksums, unlike the default. That of 1.10 would mark a file as
# open until it is closed, and a killed job would leave the mark behind.
LIBVER = ("v108", "v108")

CONSTANT = ("directions", "marks", "trajectory", "curve")  # groups

REPEATS = "number of the line; the seed of its direction is directions/seed plus this number"

Attributes = Mapping[str, object]  # strings, numbers and lists of them


@dataclass(frozen=True)
class SurfaceContent:
    """The contents of a surface file before its first point."""

    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    quantities: tuple[str, ...]  # names of schema.QUANTITIES
    attributes: Mapping[str, Attributes]  # of the groups "/", "directions" and "provenance"
    vectors: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)  # by axis, name
    loss_units: str = "nat"
    fields: Mapping[str, schema.Field] = field(default_factory=dict)  # of quantities of its own
    known: Mapping[str, np.ndarray] = field(default_factory=dict)  # complete from the start
    marks: Sequence[Mark] = ()
    path: PlanePath | None = None  # path in this plane
    adaptive: tuple[schema.Field, ...] = ()  # datasets of files with interpolated points
    sampling: tuple[schema.Field, ...] = ()  # datasets of files from a part of the samples
    axis_words: Mapping[str, str] = field(default_factory=dict)  # meaning of an axis, if unusual


def create_surface(path: Path, content: SurfaceContent) -> None:
    """Write a surface file without points. Local; call it on one rank.

    The file appears at path whole or not at all, and replaces an older one.

    Args:
        path: File to write.
        content: The contents of the file.
    """
    # Made in memory, since HDF5 cannot even close its file after a failed write on a full disk.
    image = BytesIO()
    with h5py.File(image, "w", libver=LIBVER) as file:
        _write_content(file, content)
    with whole_file(path) as partial:
        partial.write_bytes(image.getbuffer())
        seal(partial)


def _write_content(file: h5py.File, content: SurfaceContent) -> None:
    file.attrs["format"] = schema.FORMAT
    is_adaptive = bool(content.adaptive)
    file.attrs["format_version"] = _version_of(content)
    file.attrs["axis_labels"] = list(schema.AXIS_LABELS)
    scales = []
    for scale, values in zip(schema.AXES, (content.alpha, content.beta), strict=True):
        dataset = create_dataset(file, scale, values.shape)
        dataset[...] = values
        dataset.make_scale(scale.name)
        if content.path is not None:
            dataset.attrs["long_name"] = content.path.attributes[f"label_{scale.name}"]
        if scale.name in content.axis_words:
            dataset.attrs["long_name"] = content.axis_words[scale.name]
        scales.append(dataset)
    shape = (len(content.alpha), len(content.beta))
    names = (*content.quantities, *content.known)
    quantities = [_quantity(name, content) for name in names]
    for item in (*quantities, *content.adaptive, *content.sampling, *_bookkeeping(is_adaptive)):
        dataset = create_dataset(file, item, shape)
        for dimension, attached in zip(dataset.dims, scales, strict=True):
            dimension.attach_scale(attached)
        if item.name in content.known:
            dataset[...] = content.known[item.name]
        if schema.ARC_LENGTH in content.known and item.name in content.quantities:
            dataset.attrs["coordinates"] = schema.ARC_LENGTH  # in the terms of the CF conventions
    file.create_group("directions")
    write_directions(file, content.vectors)
    write_marks(file, content.marks)
    if content.path is not None:
        write_path(file, content.path)
    for name in (*schema.AXIS_LABELS, *content.known, *CONSTANT):
        if name in file:
            sign(file[name])
    create_runs(file.create_group("provenance"))
    _create_seal(file)
    for group, attributes in content.attributes.items():
        for name, value in attributes.items():
            file[group].attrs[name] = value


def _version_of(content: SurfaceContent) -> int:
    """Return the version of a file: higher if older programs would misread its values."""
    if content.sampling:
        return schema.SAMPLED_VERSION
    return schema.ADAPTIVE_VERSION if content.adaptive else schema.FORMAT_VERSION


def _bookkeeping(is_adaptive: bool) -> list[schema.Field]:
    kept = dict(schema.BOOKKEEPING)
    if is_adaptive:
        words = "1 where the point is computed, 2 where it is interpolated"
        kept["done"] = replace(kept["done"], long_name=words)
    return list(kept.values())


def _quantity(name: str, content: SurfaceContent) -> schema.Field:
    if name in content.fields:
        return content.fields[name]
    item = schema.QUANTITIES[name]
    return replace(item, units=content.loss_units) if item.units == "nat" else item


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


def n_bytes_of(content: SurfaceContent) -> int:
    """Estimate the size of a file in bytes: its values, vectors and table of runs."""
    names = (*content.quantities, *content.known)
    fields = (
        *(_quantity(name, content) for name in names),
        *content.adaptive,
        *content.sampling,
        *schema.BOOKKEEPING.values(),
    )
    a_point = sum(np.dtype(item.dtype).itemsize for item in fields)
    vectors = sum(v.nbytes for vectors in content.vectors.values() for v in vectors.values())
    return (
        len(content.alpha) * len(content.beta) * a_point
        + vectors
        + schema.MAX_RUNS * schema.RUN.itemsize
    )


def _create_seal(file: h5py.File) -> None:
    dataset = file.create_dataset(SEAL, data=np.zeros(32, np.uint8))
    dataset.attrs["units"] = "1"
    dataset.attrs["long_name"] = "SHA-256 of all bytes of this file that runs do not change"
