"""Oracle: xarray with h5netcdf, which know nothing of this program, and what was written.

The files are made by the writers that the commands use.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from landscape_mpi.store import schema
from landscape_mpi.store.creation import REPEATS, SurfaceContent, create_surface
from landscape_mpi.store.curve import AXIS_WORDS, CURVE
from landscape_mpi.store.ensemble import TABLES, EnsembleContent, write_ensemble
from landscape_mpi.store.hessian import add_eigenvalues
from landscape_mpi.store.lines import AXIS_WORDS as PAIR_WORDS
from landscape_mpi.store.plane_curve import BENDS, COLUMNS, PlaneCurve
from landscape_mpi.store.solution_marks import Mark
from landscape_mpi.store.spectrum import Spectrum, write_spectrum
from landscape_mpi.store.trajectory import COLUMNS as TRAJECTORY_COLUMNS
from landscape_mpi.store.trajectory import Trajectories, Trajectory
from landscape_mpi.store.weights import WeightHistory, write_weights

# h5netcdf warns of dimensions without names. What another test left open may be collected here.
pytestmark = pytest.mark.filterwarnings(
    "error", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
ALPHA, BETA = np.linspace(-1, 1, 5), np.linspace(0, 1, 3)
QUANTITIES = ("train_loss", "train_error", "test_loss", "test_error")


def make_surface(out: Path, *, n_done=15, alpha=ALPHA, beta=BETA, root=None, **more):
    """Write a surface by the writer of the commands, and fill its first points."""
    about = {"/": {"model": "net"} | (root or {}), "directions": {"seed": 1}, "provenance": {}}
    create_surface(out, SurfaceContent(alpha, beta, QUANTITIES, about, **more))
    with h5py.File(out, "r+") as file:
        for k, name in enumerate(QUANTITIES):
            values = file[name][...].ravel()
            values[:n_done] = 100 * k + np.arange(values.size)[:n_done]
            file[name][...] = values.reshape(file[name].shape)
        done = np.arange(file["done"].size) < n_done
        file["done"][...] = done.reshape(file["done"].shape)
    return out


def plain(path):
    return make_surface(path)


def partial(path):
    return make_surface(path, n_done=4)


def line(path):
    return make_surface(path, n_done=5, beta=np.zeros(1))


def repeats(path):
    words = {"beta": REPEATS}
    return make_surface(path, beta=np.arange(3.0), root={"repeats": 3}, axis_words=words)


def pairs(path):
    names = {"solutions": ["a", "b", "c"]}
    return make_surface(path, beta=np.arange(3.0), root=names, axis_words=PAIR_WORDS)


def evaluated_curve(path):
    known = {schema.ARC_LENGTH: np.cumsum(np.ones((5, 2)), axis=0)}
    shape = {"n_done": 10, "beta": np.arange(2.0), "root": {CURVE: "bezier"}}
    return make_surface(path, **shape, axis_words=AXIS_WORDS, known=known)


def with_eigenvalues(path):
    add_eigenvalues(make_surface(path), {"samples": 5})
    return path


KINDS = {f.__name__: f for f in (plain, partial, line, repeats, pairs, evaluated_curve)}
KINDS["with_eigenvalues"] = with_eigenvalues


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_surface_opens_with_names_units_and_coordinates(tmp_path, kind):
    path = KINDS[kind](tmp_path / "surface.h5")
    with xarray.open_dataset(path, engine="h5netcdf") as data, h5py.File(path) as file:
        assert set(data.indexes) == {"alpha", "beta"}
        stored = {name for name, node in file.items() if isinstance(node, h5py.Dataset)}
        assert set(data.variables) == stored
        for name, variable in data.variables.items():
            assert variable.attrs["units"], name
            assert variable.attrs["long_name"], name
            assert variable.dims == ((name,) if name in schema.AXIS_LABELS else ("alpha", "beta"))
            np.testing.assert_array_equal(variable, file[name][...])


def test_values_are_found_by_their_coordinates_and_a_partial_file_has_gaps(tmp_path):
    with xarray.open_dataset(partial(tmp_path / "surface.h5"), engine="h5netcdf") as data:
        assert float(data.train_error.sel(alpha=-1, beta=0.5)) == 101
        assert int(data.train_loss.where(data.done == 1).count()) == 4
        assert np.isnan(data.train_loss.sel(alpha=1, beta=0.5))
        assert data.train_loss.attrs["units"] == "nat"
        assert data.train_error.attrs["units"] == "percent"


def test_coordinates_say_what_lines_they_count(tmp_path):
    with xarray.open_dataset(repeats(tmp_path / "r.h5"), engine="h5netcdf") as data:
        assert data.beta.attrs["long_name"].startswith("number of the line")
    with xarray.open_dataset(evaluated_curve(tmp_path / "c.h5"), engine="h5netcdf") as data:
        assert data.alpha.attrs["long_name"] == "place t on the path"
        assert list(data.test_loss.sel(beta=1).arc_length) == [1, 2, 3, 4, 5]


def trajectory_of(n):
    columns = {name: np.arange(n) + k for k, name in enumerate(TRAJECTORY_COLUMNS)}
    return Trajectory(
        "run", columns, {"file": ("x",) * n, "file_sha256": ("y",) * n}, np.ones((n, 2))
    )


def test_paths_and_marks_lie_along_dimensions_of_their_own(tmp_path):
    """Taken to lie along the axis of its name, a column was read beyond its end."""
    found = Trajectories(
        (trajectory_of(7), trajectory_of(2)),
        {"center": "x", "label_alpha": "PC 1", "label_beta": "PC 2"},
    )
    marks = (Mark("a.pt", 0.0, 0.0), Mark("b.pt", 1.0, 0.5))
    path = make_surface(tmp_path / "s.h5", path=found, marks=marks)
    with xarray.open_datatree(path, engine="h5netcdf", group="trajectory") as tree:
        assert tree["run_0"].dataset.sizes == {"checkpoint": 7, "component": 2}
        assert list(tree["run_1"].dataset.beta.values) == [1, 2]
    with xarray.open_dataset(path, engine="h5netcdf", group="marks") as data:
        assert float(data.beta.sel(name="b.pt")) == 0.5


def test_a_curve_in_its_plane(tmp_path):
    columns = {name: np.linspace(0, 1, 4) for name in COLUMNS}
    curve = PlaneCurve(columns, {name: np.arange(3.0) for name in BENDS}, {"kind": "bezier"})
    words = {"label_alpha": "1", "label_beta": "2"}
    curve = PlaneCurve(curve.columns, curve.bends, curve.attributes | words)
    path = make_surface(tmp_path / "s.h5", path=curve)
    with xarray.open_dataset(path, engine="h5netcdf", group="curve") as data:
        assert data.residual.dims == ("t",)
        assert data.bend_alpha.dims == ("bend",)


def test_weights_spectra_and_ensembles(tmp_path):
    shapes = {"parameter_norms": (3, 2), "histogram": (3, 5), "histogram_edges": (3, 6)}
    fields = ("lr", "weight_norm", "total_norm", "parameter_norms", "histogram", "histogram_edges")
    values = {name: np.ones(shapes.get(name, 3)) for name in fields}
    history = WeightHistory(epoch=np.arange(3), **values, n_outside=np.zeros((3, 2), int))
    write_weights(tmp_path / "weights.h5", history, ("a.weight", "a.bias"), {"model": "net"})
    with xarray.open_dataset(tmp_path / "weights.h5", engine="h5netcdf") as data:
        norms = data.parameter_norms.sel(parameter_names="a.bias", epoch=2)
        assert float(norms) == 1
        assert data.histogram.dims == ("epoch", "bin")
    spectrum = Spectrum(np.array([9.0, 4.0]), np.zeros(2), np.arange(4.0), np.ones(4), {})
    write_spectrum(tmp_path / "top.h5", spectrum, [])
    with xarray.open_dataset(tmp_path / "top.h5", engine="h5netcdf") as data:
        assert data.density.dims == ("place",)
    tables = {name: {c: np.arange(2) for c in columns} for name, columns in TABLES.items()}
    tables["comparison"]["name"] = np.array(["one network", "ensemble"])
    write_ensemble(tmp_path / "e.h5", EnsembleContent(tables, {}))
    with xarray.open_datatree(tmp_path / "e.h5", engine="h5netcdf") as tree:
        assert tree["trace/lr"].dims == tree["member/test_loss"].dims == ("iteration",)
        assert tree["independent/test_loss"].dims == ("network",)
        assert int(tree["comparison"].dataset.networks.sel(name="ensemble")) == 1
