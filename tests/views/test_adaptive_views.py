"""Pictures, meshes, pages and readers show the points that were interpolated.

Oracle: the flags and errors in the file, read by h5py alone.
"""

import h5py
import numpy as np
import pytest
from adaptive_files import write_bowl
from libraries import needs_gudhi
from matplotlib.collections import PathCollection
from one_process import said_by
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.python.loss_surface import open_surface
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.mesh import build_mesh, write_vtp
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.picture_kind import find_kind


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_bowl(tmp_path_factory.mktemp("adaptive") / "bowl.h5")


@pytest.fixture(scope="module")
def flags(path):
    with h5py.File(path) as file:
        done = file["done"][...]
    assert set(np.unique(done)) == {1, 2}
    return done


def words_of(flags):
    n = int((flags == 2).sum())
    return f"{n:,} of {flags.size:,} points ({100 * n / flags.size:.0f} %) are interpolated"


@pytest.mark.parametrize("kind", ["contour", "filled", "heatmap"])
def test_flat_pictures_have_a_dot_at_each_computed_point(kind, path, flags):
    surface = read_surface(path)
    figure = find_kind(kind)(make_panel(surface, "train_loss"))
    axes = figure.axes[0]
    dots = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    places = np.argwhere(flags == 1)
    expected = np.stack([surface.alpha[places[:, 0]], surface.beta[places[:, 1]]], axis=1)
    assert any(np.array_equal(found, expected) for found in dots)
    assert "computed" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("kind", ["contour", "surface", "ring"])
def test_every_title_says_how_many_points_are_interpolated(kind, path, flags):
    figure = find_kind(kind)(make_panel(read_surface(path), "train_loss"))
    share = 100 * (flags == 2).mean()
    titles = "\n".join(axes.get_title() for axes in figure.axes)
    assert f"{share:.0f} % interpolated to 0.03 decades" in titles


def test_meshes_have_the_flags_and_errors_on_their_points(path, flags, tmp_path):
    write_vtp(build_mesh(read_surface(path), "train_loss"), tmp_path / "bowl.vtp")
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "bowl.vtp"))
    reader.Update()
    arrays = reader.GetOutput().GetPointData()
    assert np.array_equal(vtk_to_numpy(arrays.GetArray("interpolated")), (flags == 2).ravel())
    with h5py.File(path) as file:
        errors = file["train_loss_error"][...].ravel()
    assert np.array_equal(vtk_to_numpy(arrays.GetArray("train_loss_error")), errors)


@needs_gudhi
def test_status_summary_topology_and_page_say_it(path, flags, tmp_path):
    n = int((flags == 1).sum())
    told = said_by("landscape_mpi.surface", "--status", path)
    assert f"{n:,} of {flags.size:,} points computed" in told
    assert "interpolated points computed to check" in told
    told = said_by("landscape_mpi.surface", "--summary", path)
    assert words_of(flags) in told
    table = tmp_path / "bowl_topology"
    told = said_by("landscape_mpi.topology", path, f"--out={table}")
    assert words_of(flags) in told
    page = tmp_path / "bowl.html"
    said_by("landscape_mpi.report", path, f"--out={page}")
    text = page.read_text()
    assert words_of(flags) in text
    assert f"<dt>of them computed</dt><dd>{n:,}</dd>" in text


def test_python_and_xarray_have_the_mask_and_the_errors(path, flags):
    surface = open_surface(path)
    assert surface.done.all()
    assert np.array_equal(surface.interpolated, flags == 2)
    with h5py.File(path) as file:
        errors = file["train_loss_error"][...]
    assert np.array_equal(surface.errors["train_loss"], errors)
    assert f"{int((flags == 2).sum()):,} interpolated to 0.03 decades" in repr(surface)
    dataset = pytest.importorskip("xarray") and surface.to_xarray()
    assert np.array_equal(dataset.interpolated, flags == 2)
    assert np.array_equal(dataset.train_loss_error, errors)
    assert dataset.train_loss_error.attrs["units"] == "nat"


def test_the_center_and_its_neighbours_are_always_computed(tmp_path):
    """The middle of 47 points is no node of the coarsest level, which has every fourth."""
    path = write_bowl(tmp_path / "odd.h5", n=47, tolerance=Tolerance(5.0))
    surface = read_surface(path)
    assert surface.center == (23, 23)
    assert not surface.interpolation.points[20:27, 20:27].any()
    assert surface.interpolation.points.mean() > 0.8
