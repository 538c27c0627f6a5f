"""Parts of files that never change: a change in them is noticed wherever they are read.

Oracle: files that bare h5py changes, and what was written.
"""

import shutil
import struct

import h5py
import numpy as np
import pytest
from adaptive_files import write_bowl
from made_trajectory import make_trajectory
from mpi4py import MPI

from landscape_mpi.errors import InputError
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.ensemble import EnsembleContent, read_ensemble, write_ensemble
from landscape_mpi.store.plane_curve import BENDS, COLUMNS, PlaneCurve
from landscape_mpi.store.plane_file import PlaneContent, write_plane
from landscape_mpi.store.plane_path import path_of
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.resume import count_pending
from landscape_mpi.store.schema import ARC_LENGTH, WEIGHT_DECAY_TERM
from landscape_mpi.store.solution_marks import Mark
from landscape_mpi.store.spectrum import (
    Spectrum,
    check_is_spectrum,
    read_spectrum,
    write_spectrum,
)
from landscape_mpi.store.trajectory import Trajectories
from landscape_mpi.store.weights import WeightHistory, read_weights, write_weights
from landscape_mpi.store.writer import GatheringWriter

AXIS = np.linspace(-1, 1, 3)
VECTORS = {"alpha": {"layer.weight": np.ones((2, 3), np.float32)}, "beta": {"b": np.zeros(2)}}
ABOUT = {"/": {}, "directions": {}, "provenance": {}}
TRACE = 321.0625


def surface(out, **more):
    values = {name: np.arange(9.0).reshape(3, 3) for name in (ARC_LENGTH, WEIGHT_DECAY_TERM)}
    content = SurfaceContent(AXIS, AXIS, ("train_loss",), ABOUT, known=values, **more)
    create_surface(out, content)
    points = np.arange(9)
    columns = {"train_loss": points / 7, "seconds": points + 0.5, "rank": np.zeros(9, np.int32)}
    writer = GatheringWriter(out, comm=MPI.COMM_SELF)
    writer.write_round(points, columns)
    writer.close()


def curve():
    columns = {name: np.linspace(0, 1, 4) for name in COLUMNS}
    bends = {name: np.zeros(3) for name in BENDS}
    about = {"kind": "bezier", "start": "a", "end": "b", "label_alpha": "x", "label_beta": "y"}
    return PlaneCurve(columns, bends, about)


def trajectories():
    runs = (make_trajectory("sgd", alpha=[3.0, -1.0, 0.0]),)
    return Trajectories(runs, {"center": "a.pt", "label_alpha": "x", "label_beta": "y"})


def spectrum(path):
    known = {name: np.arange(1.0, 4) for name in ("eigenvalue", "residual", "place", "density")}
    write_spectrum(path, Spectrum(**known, attributes={"trace": TRACE}), list(VECTORS.values()))


def weights(path):
    ones = np.ones(2)
    rows = {"epoch": np.arange(2), "lr": ones, "weight_norm": ones, "total_norm": ones}
    tables = {"histogram": np.ones((2, 4), int), "histogram_edges": np.ones((2, 5))}
    history = WeightHistory(
        **rows, **tables, parameter_norms=np.ones((2, 2)), n_outside=np.ones((2, 2), int)
    )
    write_weights(path, history, ("a.weight", "a.bias"), {"model": "net"})


def ensemble(path):
    columns = ("iteration", "epoch", "lr", "test_loss", "test_error", "distance", "collected")
    numbers = {name: np.arange(3.0) for name in ("networks", "epochs", "test_loss", "test_error")}
    tables = {
        "trace": {name: np.arange(4.0) for name in columns},
        "comparison": {"name": np.array(["a", "b", "c"]), **numbers},
    }
    write_ensemble(path, EnsembleContent(tables, {"model": "net"}))


MARKS = (Mark("a.pt", 0.0, 0.0), Mark("b.pt", 1.0, 0.5))
KINDS = {  # how a file is written, how it is read, and the command that makes it again
    "surface": (
        lambda path: surface(path, marks=MARKS, path=trajectories()),
        read_surface,
        "the command of the surface with --fresh or a new --out",
    ),
    "curve in a surface": (
        lambda path: surface(path, path=curve(), vectors=VECTORS),
        lambda path: (read_surface(path), read_directions(path)),
        "the command of the surface with --fresh or a new --out",
    ),
    "plane": (
        lambda path: write_plane(path, PlaneContent(VECTORS, trajectories(), {})),
        lambda path: (path_of(path), read_directions(path)),
        "the command trajectory or curve plane",
    ),
    "spectrum": (
        spectrum,
        lambda path: (read_spectrum(path), read_directions(path)),
        "the command hessian with --spectrum",
    ),
    "weights": (weights, read_weights, "the training with a new --run"),
    "ensemble": (ensemble, read_ensemble, "the command ensemble with a new --run"),
}
CHANGING = {"train_loss", "done", "seconds", "rank", "checksum"}
NUMBERS = {"checkpoint", "component", "bend", "bin", "edge", "side"}  # of rows; not read


def constants_in(path):
    """Return the names of the datasets that no run changes."""
    found = []

    def visit(name, node):
        if isinstance(node, h5py.Dataset) and not name.startswith("provenance"):
            found.append(name)

    with h5py.File(path) as file:
        file.visititems(visit)
    return [name for name in found if name not in CHANGING and name.split("/")[-1] not in NUMBERS]


def change(path, name):
    """Change the last value of a dataset."""
    with h5py.File(path, "r+") as file:
        node = file[name]
        last = tuple(n - 1 for n in node.shape)
        node[last] = b"x" if node.dtype.kind in "OS" else node[last] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_any_changed_dataset_is_refused(kind, tmp_path):
    write, read, way_out = KINDS[kind]
    whole, path = tmp_path / "whole.h5", tmp_path / "a.h5"
    write(whole)
    read(whole)
    names = constants_in(whole)
    assert len(names) >= 6
    for name in names:
        shutil.copy(whole, path)
        change(path, name)
        with pytest.raises(InputError) as refused:
            read(path)
        words = str(refused.value)
        assert words.startswith(f"{path}: is damaged: "), name
        assert words.endswith(f"Use an earlier copy, or compute it again: repeat {way_out}."), name
        assert f"the values of {name} are not as they were written" in words


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_these_checksums_and_copies_are_read(kind, tmp_path):
    """As older versions wrote them, or as another program copied them."""
    write, read, _ = KINDS[kind]
    path, copy = tmp_path / "a.h5", tmp_path / "copy.h5"
    write(path)
    names = constants_in(path)
    with h5py.File(path) as file, h5py.File(copy, "w") as other:
        for name in file:
            file.copy(name, other)
        other.attrs.update(file.attrs)
        other["note"] = [1.0, 2.0]
    read(copy)
    with h5py.File(path, "r+") as file:
        for name in names:
            del file[name].attrs["sha256"]
    read(path)
    change(path, names[-1])
    read(path)


def test_a_compressed_copy_is_read_and_not_continued(tmp_path):
    path, copy = tmp_path / "a.h5", tmp_path / "copy.h5"
    surface(path, marks=MARKS)
    with h5py.File(path) as file, h5py.File(copy, "w") as other:
        other.attrs.update(file.attrs)
        for group in ("directions", "marks", "provenance"):
            file.copy(group, other)
        for name in (name for name in file if isinstance(file[name], h5py.Dataset)):
            dataset = other.create_dataset(name, data=file[name][...], compression="gzip")
            dataset.attrs.update({k: v for k, v in file[name].attrs.items() if k.islower()})
    assert read_surface(copy).marks == MARKS
    with pytest.raises(InputError, match="compressed or stored in pieces, so another program has"):
        count_pending(copy)


def test_a_number_in_an_attribute_of_a_spectrum(tmp_path):
    path = tmp_path / "a.h5"
    spectrum(path)
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<d", TRACE))
    data[place + 6] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not a spectrum file, or is damaged"):
        read_spectrum(path)


def test_a_damaged_spectrum_may_be_replaced(tmp_path):
    path = tmp_path / "a.h5"
    spectrum(path)
    change(path, "density")
    check_is_spectrum(path)


def test_an_interpolated_point_is_told_from_a_computed_one(tmp_path):
    """A changed flag would count a computed value as interpolated, or the reverse."""
    whole = write_bowl(tmp_path / "whole.h5")
    for flag in (1, 2):
        path = shutil.copy(whole, tmp_path / "a.h5")
        with h5py.File(path, "r+") as file:
            done = file["done"][...]
            done[tuple(np.argwhere(done == flag)[3])] = 3 - flag
            file["done"][...] = done
        with pytest.raises(InputError, match="1 of its .* points are not as they were written"):
            read_surface(path)
