"""Oracle: the .pvd as xml.etree reads it, by the format's description, and VTK's own reader."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import surface_files
from test_mesh import read_vtp

from landscape_mpi import vtp
from landscape_mpi.errors import InputError

AXIS = np.linspace(-1.0, 1.0, 5)


def read_series(path):
    """Return (time, mesh) of each part of a .pvd."""
    root = ET.parse(path).getroot()
    assert root.get("type") == "Collection"
    parts = root.findall("Collection/DataSet")
    return [
        (float(part.get("timestep")), read_vtp(path.parent / part.get("file"))) for part in parts
    ]


@pytest.fixture
def write(tmp_path):
    def make(name, factor, alpha=AXIS, beta=AXIS, **options):
        loss = surface_files.plane(alpha, beta, lambda a, b: factor * (a + 3 * b))
        path = tmp_path / f"{name}.h5"
        return surface_files.write_surface(path, alpha, beta, {"train_loss": loss}, **options)

    return make


def test_surfaces_of_epochs_come_in_the_order_of_their_numbers(write, tmp_path):
    paths = [write(f"epoch_{epoch:04}", epoch) for epoch in (100, 20, 3)]
    out = tmp_path / "deep" / "run.pvd"
    out.parent.mkdir()
    assert vtp.main([*map(str, paths), f"--series={out}", "--scale=2"]) == 0
    series = read_series(out)
    assert [time for time, _ in series] == [3, 20, 100]
    for time, mesh in series:
        a, b, z = mesh.points.T
        np.testing.assert_allclose(z, 2 * time * (a + 3 * b))
        assert len(mesh.polygons) == 16


def test_names_without_numbers_come_in_the_order_given(write, tmp_path):
    paths = [write("late", 9), write("early", 1)]
    vtp.main([*map(str, paths), f"--series={tmp_path / 'run.pvd'}"])
    first, second = read_series(tmp_path / "run.pvd")
    assert (first[0], second[0]) == (0, 1)
    assert first[1].arrays["train_loss"].max() == 36


def test_each_line_of_repeats_is_a_part(write, tmp_path):
    path = write("lines", 1, beta=np.arange(3.0), attributes={"repeats": 3})
    with pytest.raises(InputError, match=r"which do not form a surface.*--series NAME.pvd"):
        vtp.main([str(path)])
    vtp.main([str(path), f"--series={tmp_path / 'lines.pvd'}"])
    series = read_series(tmp_path / "lines.pvd")
    assert [time for time, _ in series] == [0, 1, 2]
    for k, (_, mesh) in enumerate(series):
        (line,) = mesh.lines
        x, y, z = mesh.points[line].T
        np.testing.assert_array_equal(x, AXIS)
        np.testing.assert_array_equal(y, 0)
        np.testing.assert_allclose(z, AXIS + 3 * k)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "2 surface files are named, but a mesh holds only one"),
        (["--series=run.xml"], "run.xml does not end in .pvd"),
        (["--series=run.pvd", "--contours"], "--contours applies to a single mesh"),
        (["--series=run.pvd"], "end in the same number, 7"),
    ],
)
def test_what_makes_no_series(write, tmp_path, monkeypatch, options, text):
    monkeypatch.chdir(tmp_path)
    paths = [write("a7", 1), write("b7", 2)]
    with pytest.raises(InputError, match=text):
        vtp.main([*map(str, paths), *options])
    assert not list(tmp_path.glob("*.vtp"))
