"""Oracle: a reader of the file format written here with xml.etree and base64 alone, and VTK's.

It follows the description of the format (base64 of a length and the bytes, appended); values
come from closed forms evaluated at the coordinates that are read back.
"""

import base64
import gc
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import surface_files
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_mpi.errors import InputError
from landscape_mpi.views.heights import Heights
from landscape_mpi.views.mesh import build_mesh, to_polydata, write_vtp

ALPHA, BETA = [-1.0, 0.0, 2.0], [-2.0, -1.0, 0.0, 1.0, 3.0]
TYPES = {"Float64": "f8", "Int64": "i8", "UInt8": "u1", "Int32": "i4"}


@dataclass
class Read:
    """A mesh in the words of the independent reader."""

    points: np.ndarray
    polygons: list
    lines: list
    arrays: dict
    units: dict
    on_cells: dict


def read_vtp(path):
    """Read a .vtp file by the format's description; no VTK."""
    root = ET.parse(path).getroot()
    assert root.get("type") == "PolyData"
    assert root.get("byte_order") == "LittleEndian"
    appended = root.find("AppendedData")
    assert appended.get("encoding") == "base64"
    text = appended.text.strip().removeprefix("_")
    size = {"UInt32": "<I", "UInt64": "<Q"}[root.get("header_type")]

    def decode(node):
        start = int(node.get("offset"))
        head = struct.calcsize(size)
        in_text = 4 * -(-head // 3)
        (n_bytes,) = struct.unpack(size, base64.b64decode(text[start : start + in_text])[:head])
        whole = base64.b64decode(text[start : start + 4 * -(-(head + n_bytes) // 3)])
        return np.frombuffer(whole[head : head + n_bytes], "<" + TYPES[node.get("type")])

    piece = root.find("PolyData/Piece")

    def cells(kind):
        nodes = {node.get("Name"): decode(node) for node in piece.find(kind)}
        ends = nodes["offsets"]
        corners = np.split(nodes["connectivity"], ends[:-1]) if len(ends) else []
        return [cell.tolist() for cell in corners]

    arrays, on_cells = list(piece.find("PointData")), list(piece.find("CellData"))
    return Read(
        points=decode(piece.find("Points/DataArray")).reshape(-1, 3),
        polygons=cells("Polys"),
        lines=cells("Lines"),
        arrays={node.get("Name"): decode(node) for node in arrays},
        units={
            node.get("Name"): node.find("InformationKey[@name='UNITS_LABEL']").text.strip()
            for node in arrays
        },
        on_cells={node.get("Name"): decode(node) for node in on_cells},
    )


@pytest.fixture
def surface_like(tmp_path):
    def make(function, alpha=ALPHA, beta=BETA, done=None):
        loss = surface_files.plane(alpha, beta, function)
        values = {"train_loss": loss, "test_error": np.arange(loss.size, dtype=float)}
        surface = surface_files.surface_of(tmp_path / "net.h5", alpha, beta, values, done=done)
        return surface

    return make


@pytest.fixture
def written(tmp_path):
    def write(mesh):
        path = tmp_path / "net.vtp"
        write_vtp(mesh, path)
        return read_vtp(path)

    return write


def known(a, b):
    return 3.0 + a + 10 * b * b


def test_rectangle_read_back_by_the_independent_reader(surface_like, written):
    mesh = written(build_mesh(surface_like(known), "train_loss"))
    assert mesh.points.shape == (15, 3)
    assert {(a, b) for a, b, _ in mesh.points} == {(a, b) for a in ALPHA for b in BETA}
    for a, b, height in mesh.points:
        assert height == known(a, b)
    assert len(mesh.polygons) == 2 * 4
    assert mesh.lines == []
    np.testing.assert_array_equal(mesh.arrays["train_loss"], mesh.points[:, 2])
    assert mesh.arrays["test_error"].tolist() == list(range(15))
    assert mesh.units == {
        "train_loss": "nat",
        "test_error": "percent",
        "height": "nat",
        "log10_train_loss": "log10(nat)",
        "log10_test_error": "log10(percent)",
        "normals": "1",
        "alpha_beta": "1",
    }


def test_each_quad_is_one_cell_of_the_grid_seen_from_above(surface_like, written):
    mesh = written(build_mesh(surface_like(known), "train_loss"))
    seen = set()
    for quad in mesh.polygons:
        x, y, _ = mesh.points[quad].T
        i, j = ALPHA.index(x.min()), BETA.index(y.min())
        assert (x.max(), y.max()) == (ALPHA[i + 1], BETA[j + 1])
        area = 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        assert area == np.ptp(x) * np.ptp(y)
        seen.add((i, j))
    assert len(seen) == 8


def test_vtk_reads_the_same(surface_like, written, tmp_path):
    ours = written(build_mesh(surface_like(known), "train_loss"))
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "net.vtp"))
    reader.Update()
    read = reader.GetOutput()
    np.testing.assert_array_equal(vtk_to_numpy(read.GetPoints().GetData()), ours.points)
    polys = vtk_to_numpy(read.GetPolys().GetConnectivityArray())
    assert polys.tolist() == [corner for quad in ours.polygons for corner in quad]
    loss = read.GetPointData().GetArray("train_loss")
    np.testing.assert_array_equal(vtk_to_numpy(loss), ours.arrays["train_loss"])
    assert read.GetFieldData().GetAbstractArray("height").GetValue(0) == "train_loss"


def test_log_then_cut_then_scale(surface_like, written):
    """By hand: a + b is linear, so that each new point lies at a + b = 1.5."""
    exact = Heights("log", high=10**1.5)
    surface = surface_like(lambda a, b: 10.0 ** (a + b))
    built = build_mesh(surface, "train_loss", heights=exact, scale=0.5)
    mesh = written(built)
    a, b, height = np.transpose(mesh.points)
    np.testing.assert_allclose(height, 0.5 * (a + b))
    assert height.max() == pytest.approx(0.75)
    assert (height > 0.75 - 1e-9).sum() >= 3
    assert built.height == "0.5 * log10(train_loss)"
    assert built.n_clipped == 5
    closed = build_mesh(surface, "train_loss", heights=exact, scale=0.5, lid=True)
    lid = np.minimum(closed.points[:, :2].sum(axis=1), 1.5)
    np.testing.assert_allclose(closed.points[:, 2], 0.5 * lid, atol=1e-12)
    assert written(closed).arrays["train_loss"].max() == 1e5


def test_normals_of_a_tilted_plane_and_of_a_roof(surface_like, written):
    """By hand: z = 2 a + 3 b has the normal (-2, -3, 1); |a| has (0, 0, 1) on its edge."""
    tilted = written(build_mesh(surface_like(lambda a, b: 2 * a + 3 * b), "train_loss"))
    wanted = np.array([-2.0, -3.0, 1.0]) / np.sqrt(14)
    found = tilted.arrays["normals"].reshape(-1, 3)
    np.testing.assert_allclose(found, np.tile(wanted, (15, 1)), atol=1e-14)
    roof = surface_like(lambda a, b: abs(a), [-1.0, 0.0, 1.0], [0.0, 1.0])
    mesh = written(build_mesh(roof, "train_loss"))
    edge = mesh.arrays["normals"].reshape(-1, 3)[mesh.points[:, 0] == 0]
    np.testing.assert_allclose(edge, [[0, 0, 1], [0, 0, 1]], atol=1e-14)


def test_cell_averages_and_texture_coordinates(surface_like, written):
    mesh = written(build_mesh(surface_like(known), "train_loss", scale=0.5))
    for quad, average, error in zip(
        mesh.polygons, mesh.on_cells["train_loss"], mesh.on_cells["test_error"], strict=True
    ):
        corners = [known(a, b) for a, b, _ in mesh.points[quad]]
        assert average == pytest.approx(sum(corners) / 4)
        assert error == pytest.approx(mesh.arrays["test_error"][quad].mean())
    texture = mesh.arrays["alpha_beta"].reshape(-1, 2)
    np.testing.assert_allclose(texture[:, 0], (mesh.points[:, 0] + 1) / 3)
    np.testing.assert_allclose(texture[:, 1], (mesh.points[:, 1] + 2) / 5)


def test_logarithms_and_clipped_heights_are_arrays(surface_like, written):
    shape = {"heights": Heights(high=0.5), "scale": 3.0, "lid": True}
    mesh = written(build_mesh(surface_like(lambda a, b: a), "train_loss", **shape))
    alpha = mesh.points[:, 0]
    np.testing.assert_array_equal(mesh.arrays["height"], np.minimum(alpha, 0.5))
    np.testing.assert_array_equal(mesh.arrays["train_loss"], alpha)
    wanted = np.where(alpha > 0, np.log10(np.where(alpha > 0, alpha, 1)), np.nan)
    np.testing.assert_allclose(mesh.arrays["log10_train_loss"], wanted)
    negative = build_mesh(surface_like(lambda a, b: -1.0 - b * b), "train_loss")
    assert "log10_train_loss" not in negative.derived


def test_a_large_surface_is_written_quickly_and_in_little_memory(tmp_path):
    """The resident memory is what the system says of a process of its own: VmHWM, since what
    getrusage says begins with the memory of the process that started it."""
    axis = np.linspace(-1, 1, 1001)
    values = {"train_loss": 1.0 + axis[:, None] ** 2 + axis**2}
    path = surface_files.write_surface(tmp_path / "large.h5", axis, axis, values)
    code = (
        "import re, sys, time\nfrom landscape_mpi import vtp\n"
        "vtp.main(sys.argv[1:])\n"
        "memory = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "print(time.process_time(), memory)\n"
        "assert 'scipy' not in sys.modules"
    )
    argv = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.splitlines()[-1].split())
    assert "1002001 points, 1000000 cells" in done.stdout
    assert seconds < 10  # of processor
    assert kilobytes < 6e5


def test_arrays_that_are_shared_outlive_the_mesh(surface_like):
    polydata = to_polydata(build_mesh(surface_like(known), "train_loss"))
    gc.collect()
    others = [np.full((15, 3), -1.0) for _ in range(1000)]  # in the memory of what is gone
    points = vtk_to_numpy(polydata.GetPoints().GetData())
    heights = [known(a, b) for a, b, _ in points]
    assert points[:, 2].tolist() == heights
    for name in ("train_loss", "height"):
        assert vtk_to_numpy(polydata.GetPointData().GetArray(name)).tolist() == heights
    normals = vtk_to_numpy(polydata.GetPointData().GetNormals())
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    averages = vtk_to_numpy(polydata.GetCellData().GetArray("height"))
    corners = vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).reshape(-1, 4)
    np.testing.assert_allclose(averages, np.array(heights)[corners].mean(axis=1))
    assert len(others) == 1000


def test_points_that_are_not_finite_are_left_out_with_their_cells(surface_like, written):
    built = build_mesh(
        surface_like(lambda a, b: np.nan if (a, b) == (0, -1) else a + b), "train_loss"
    )
    mesh = written(built)
    assert len(mesh.points) == 14
    assert not any((a, b) == (0, -1) for a, b, _ in mesh.points)
    assert len(mesh.polygons) == 4
    assert built.n_left_out == 1
    # the arrays skip the same point
    assert mesh.arrays["test_error"].tolist() == [k for k in range(15) if k != 6]
    for quad in mesh.polygons:
        x, y, z = mesh.points[quad].T
        np.testing.assert_array_equal(z, x + y)


def test_infinite_heights_are_not_cut_but_left_out(surface_like):
    surface = surface_like(lambda a, b: np.inf if b == 3 else b)
    mesh = build_mesh(surface, "train_loss", heights=Heights(high=0.5), lid=True)
    assert (mesh.n_left_out, mesh.n_clipped) == (3, 3)
    assert np.isfinite(mesh.points).all()
    assert mesh.points[:, 2].max() == 0.5


def test_coarse_to_fine_surface_gives_triangles_over_the_whole_plane(surface_like, written):
    axis = np.linspace(-1, 1, 9)
    done = np.zeros((9, 9))
    done[::4, ::4] = 1
    done[2, ::4] = 1
    mesh = written(build_mesh(surface_like(lambda a, b: a - b, axis, axis, done), "train_loss"))
    assert len(mesh.points) == 12
    assert {len(cell) for cell in mesh.polygons} == {3}
    area = 0.0
    for cell in mesh.polygons:
        x, y, z = mesh.points[cell].T
        area += 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        np.testing.assert_allclose(z, x - y)
    assert area == pytest.approx(4.0)


def test_line_gives_polylines_that_end_before_what_is_not_finite(surface_like, written):
    alpha = np.arange(8.0)
    done = np.array([1, 1, 0, 1, 1, 1, 1, 1])
    surface = surface_like(lambda a, b: np.nan if a == 4 else a, alpha, [0.0], done)
    mesh = written(build_mesh(surface, "train_loss"))
    assert mesh.polygons == []
    positions = [mesh.points[line][:, 0].tolist() for line in mesh.lines]
    assert positions == [[0, 1, 3], [5, 6, 7]]


def test_single_point(surface_like, written):
    mesh = written(build_mesh(surface_like(known, [0.0], [0.0]), "train_loss"))
    assert mesh.points.tolist() == [[0, 0, 3]]
    assert mesh.polygons == mesh.lines == []


@pytest.mark.parametrize("lowest", [0.0, -2.5])
def test_no_logarithm(surface_like, lowest):
    surface = surface_like(lambda a, b: lowest if (a, b) == (2, -1) else 1.0)
    text = rf"zero or negative at 1 of 15 points \(smallest {lowest:g} at alpha 2, beta -1\)"
    with pytest.raises(InputError, match=text):
        build_mesh(surface, "train_loss", heights=Heights("log"))


def test_log_leaves_out_what_is_not_finite_without_a_warning(surface_like, recwarn):
    surface = surface_like(lambda a, b: -np.inf if b == 3 else 10.0)
    mesh = build_mesh(surface, "train_loss", heights=Heights("log"))
    assert set(mesh.points[:, 2]) == {1.0}
    assert not recwarn.list


def test_a_range_under_the_surface(surface_like):
    with pytest.raises(InputError, match=r"train_loss: --range :2 leaves .* go from 2 to 95"):
        build_mesh(surface_like(known), "train_loss", heights=Heights(high=2.0))


def test_nothing_finite(surface_like):
    with pytest.raises(InputError, match="none of the 15 computed points of train_loss is finite"):
        build_mesh(surface_like(lambda a, b: np.nan), "train_loss")


def test_unknown_quantity(surface_like):
    with pytest.raises(InputError, match="'test_loss' is not known. Did you mean"):
        build_mesh(surface_like(known), "test_loss")


def test_mesh_that_cannot_be_written(surface_like, tmp_path):
    mesh = build_mesh(surface_like(known), "train_loss")
    with pytest.raises(InputError, match=r"net.vtp: cannot be written \(No such file"):
        write_vtp(mesh, tmp_path / "no" / "net.vtp")


def test_a_device_is_not_replaced(surface_like):
    with pytest.raises(InputError, match="/dev/null is not an ordinary file"):
        write_vtp(build_mesh(surface_like(known), "train_loss"), Path("/dev/null"))
    assert Path("/dev/null").is_char_device()
