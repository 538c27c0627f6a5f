"""Pictures, meshes, pages and readers show that values are estimates.

Oracle: the numbers of samples and the standard errors in the file, read by h5py alone.
"""

import h5py
import numpy as np
import pytest
import torch
from libraries import needs_gudhi
from one_process import run_alone, said_by
from torch import nn
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

import landscape_mpi as lm
from landscape_mpi.python.loss_surface import open_surface
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.mesh import build_mesh, write_vtp
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.picture_kind import find_kind


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    data = (torch.randn(1200, 5), torch.arange(1200) % 3)
    out = tmp_path_factory.mktemp("sampled") / "sampled.h5"
    grid = {"x": (-1, 1, 5), "y": (-1, 1, 5), "progress": False}
    lm.compute_surface(network, data, **grid, out=out, batch_size=2, rtol=0.02, atol=0.001)
    return out


@pytest.fixture(scope="module")
def stored(path):
    with h5py.File(path) as file:
        return {name: file[name][...] for name in file if name.startswith("train_")}


@pytest.fixture(scope="module")
def words(stored):
    """Return the words about the samples, and about the largest standard error."""
    share = 100 * stored["train_n_samples"].mean() / 600
    largest = stored["train_loss_standard_error"].max()
    assert share < 100
    return f"{share:.2g} % of the batches", f"{largest:.2g} nat (train_loss)"


@pytest.mark.parametrize("kind", ["contour", "surface"])
def test_every_title_says_that_values_are_estimates(kind, path):
    figure = find_kind(kind)(make_panel(read_surface(path), "train_loss"))
    titles = "\n".join(axes.get_title() for axes in figure.axes)
    joined = " ".join(titles.split())
    assert "estimates, standard error up to 0.001 + 0.02 x loss" in joined


def test_meshes_have_numbers_and_errors_on_their_points(path, stored, tmp_path):
    write_vtp(build_mesh(read_surface(path), "train_loss"), tmp_path / "a.vtp")
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "a.vtp"))
    reader.Update()
    arrays = reader.GetOutput().GetPointData()
    for name in ("train_n_samples", "train_loss_standard_error"):
        assert np.array_equal(vtk_to_numpy(arrays.GetArray(name)), stored[name].ravel()), name
    assert arrays.GetArray("train_loss_pivots") is None


@needs_gudhi
def test_status_summary_topology_and_page_say_it(path, words, tmp_path):
    page = tmp_path / "a.html"
    told = [
        said_by("landscape_mpi.surface", "--status", path),
        said_by("landscape_mpi.surface", "--summary", path),
        said_by("landscape_mpi.topology", path, f"--out={tmp_path / 'topology'}"),
    ]
    said_by("landscape_mpi.report", path, f"--out={page}")
    for text in (*told, page.read_text()):
        for part in words:
            assert part in text
    assert "<dt>samples taken</dt>" in page.read_text()


def test_python_and_xarray_have_numbers_and_errors(path, stored):
    surface = open_surface(path)
    assert list(surface.values) == ["train_loss", "train_error"]
    assert np.array_equal(surface.n_samples["train"], stored["train_n_samples"])
    errors = stored["train_loss_standard_error"]
    assert np.array_equal(surface.standard_errors["train_loss"], errors)
    assert "estimates, standard error up to 0.001 + 0.02 x loss" in repr(surface)
    dataset = pytest.importorskip("xarray") and surface.to_xarray()
    assert np.array_equal(dataset.train_n_samples, stored["train_n_samples"])
    assert np.array_equal(dataset.train_loss_standard_error, errors)
    assert dataset.train_loss_standard_error.attrs["units"] == "nat"


NETWORK = """
import torch

def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


@pytest.mark.parametrize("option", ["--estimate", "--dry-run"])
def test_an_estimate_says_the_least_number_of_samples(option, tmp_path, monkeypatch):
    (tmp_path / "linear_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    argv = ["landscape_mpi.surface", "--model=linear_network:build", "--data=digits"]
    argv += ["--ignore=none", "--x=-1:1:3", "--batch=100", "--rtol=0.02", option]
    ended = run_alone([*argv, f"--out={tmp_path / 'a.h5'}"])
    assert ended.status == 0, ended.words
    assert "to a standard error of 0.02 x loss, values decide how many images" in ended.words
    assert "at least 300 (" in ended.words
    if option == "--dry-run":
        assert "300 or more of 1,438 train images, to a standard error of 0.02 x" in ended.words
