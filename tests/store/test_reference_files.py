"""Oracle: a file put together as the reference implementation's own scripts do, step by step.

plot_surface.py fills flat position k of a square array with the point (x[k % n], y[k // n]), and
its pictures have x to the right and y upward; plot_hessian_eigen.py adds min_eig and max_eig, which
begin at 1 and at -1. The surface 4 + 3 x + y has another colour in each corner, and no other
orientation has these.
"""

import base64
import gzip
import json
import re

import h5py
import numpy as np
import pytest
import surface_files
from PIL import Image
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_mpi import plot, report, vtp
from landscape_mpi.store.reader import read_surface

AXIS = np.linspace(-1, 1, 5)


def loss(x, y):
    return 4 + 3 * x + y


def accuracy(x, y):
    return 90 - 10 * x - 5 * y


@pytest.fixture
def square(tmp_path):
    path = tmp_path / "net_weights_xignore=biasbn_xnorm=filter.h5_[-1.0,1.0,5]x[-1.0,1.0,5].h5"
    points = [(x, y) for y in AXIS for x in AXIS]  # numpy.meshgrid, raveled
    with h5py.File(path, "a") as file:
        file["dir_file"] = "net_weights_xignore=biasbn_xnorm=filter.h5"
        file["xcoordinates"], file["ycoordinates"] = AXIS, AXIS
        for name, value in (("train_loss", loss), ("train_acc", accuracy)):
            file[name] = -np.ones((5, 5))
            filled = file[name][:]
            filled.ravel()[:] = [value(x, y) for x, y in points]
            file[name][:] = filled
    return path


def test_a_heat_map_has_x_to_the_right_and_y_upward(square, tmp_path):
    plot.main([str(square), "--kind=heatmap", "--linear", "--dpi=50", f"--out-dir={tmp_path}"])
    sign = {"train_loss": 1, "train_error": 1}  # the error, 100 less the accuracy, rises too
    for name in sign:
        (path,) = tmp_path.glob(f"*_{name}_heatmap.png")
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        rows, columns = np.nonzero(np.ptp(pixels, axis=2) > 60)  # the cells, and right the bar
        widths = np.bincount(columns, minlength=pixels.shape[1])
        ends = np.flatnonzero(np.diff(np.concatenate([[0], widths > 0.9 * widths.max(), [0]])))
        left, right, top, bottom = ends[0], ends[1] - 1, rows.min(), rows.max()
        inset = (right - left) // 10
        yellow = pixels[..., 1] - pixels[..., 2]  # low is violet, high is yellow
        corner = {
            (x, y): yellow[bottom - inset if y < 0 else top + inset, column]
            for x, column in ((-1, left + inset), (1, right - inset))
            for y in (-1, 1)
        }
        in_order = [(-1, -1), (-1, 1), (1, -1), (1, 1)]  # as the surface rises
        found = [int(corner[place]) for place in in_order]
        assert found == sorted(found), name
        assert found[0] < -50 < 50 < found[3]


def test_the_mesh_has_each_height_over_its_place(square, tmp_path):
    out = tmp_path / "net.vtp"
    vtp.main([str(square), f"--out={out}", "--linear", "--scale=1"])
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(out))
    reader.Update()
    mesh = reader.GetOutput()
    x, y, z = vtk_to_numpy(mesh.GetPoints().GetData()).T
    assert {(a, b) for a, b in zip(x, y, strict=True)} == {(a, b) for a in AXIS for b in AXIS}
    np.testing.assert_allclose(z, loss(x, y))
    error = vtk_to_numpy(mesh.GetPointData().GetArray("train_error"))
    np.testing.assert_allclose(error, 100 - accuracy(x, y))


def test_the_page_has_loss_and_error_over_x_and_y(square, tmp_path):
    out = tmp_path / "net.html"
    report.main([str(square), f"--out={out}"])
    packed = re.search(r'<script [^>]*id="data">([^<]*)</script>', out.read_text())[1]
    (surface,) = json.loads(gzip.decompress(base64.b64decode(packed)))["surfaces"]
    for quantity, value in zip(
        surface["quantities"], (loss, lambda x, y: 100 - accuracy(x, y)), strict=True
    ):
        found = np.frombuffer(base64.b64decode(quantity["values"]), "<f4").reshape(5, 5)
        np.testing.assert_allclose(found, surface_files.plane(AXIS, AXIS, value), rtol=1e-6)
    assert [q["unit"] for q in surface["quantities"]] == ["nat", "%"]


def test_the_eigenvalues_of_its_hessian(square, tmp_path):
    """Two points are not computed yet; the smallest eigenvalue of a third is 1, as at its start."""
    with h5py.File(square, "r+") as file:
        least, greatest = np.ones((5, 5)), -np.ones((5, 5))
        least.ravel()[2:], greatest.ravel()[2:] = -0.5, 4.0
        least.ravel()[2] = 1.0
        file["min_eig"], file["max_eig"] = least, greatest
    surface = read_surface(square)
    assert list(surface.values)[-3:] == ["hessian_min", "hessian_max", "hessian_ratio"]
    assert surface.done.all()  # of loss and error
    assert np.argwhere(~surface.done_of["hessian_max"]).tolist() == [[0, 0], [1, 0]]
    assert surface.values["hessian_ratio"][4, 4] == 0.125
    plot.main([str(square), "--quantity=train_loss,hessian_ratio", "--kind=filled", "--dpi=30"])
    assert len(list(square.parent.glob("*_curvature.png"))) == 1


def test_a_line_and_a_test_split(tmp_path):
    path = tmp_path / "line.h5"
    with h5py.File(path, "w") as file:
        file["dir_file"] = "x.h5"
        file["xcoordinates"] = AXIS
        for split, more in (("train", 0.0), ("test", 1.0)):
            file[f"{split}_loss"] = AXIS**2 + more
            file[f"{split}_acc"] = 100 - 10 * (AXIS**2 + more)
    surface = read_surface(path)
    assert surface.is_line
    np.testing.assert_allclose(surface.values["test_error"][:, 0], 10 * AXIS**2 + 10)
    assert list(surface.values) == ["train_loss", "train_error", "test_loss", "test_error"]
