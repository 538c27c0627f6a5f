"""Oracle: where f = alpha, each line of equal value is straight, at alpha = its level."""

import meshio
import numpy as np
import pytest
import surface_files
from test_mesh import read_vtp

from landscape_mpi import vtp
from landscape_mpi.errors import InputError

ALPHA, BETA = np.linspace(-1.0, 2.0, 7), np.linspace(-0.5, 0.5, 5)


@pytest.fixture
def write(tmp_path):
    def make(function, alpha=ALPHA, beta=BETA, **options):
        values = {"train_loss": surface_files.plane(alpha, beta, function)}
        return surface_files.write_surface(tmp_path / "net.h5", alpha, beta, values, **options)

    return make


def contours(path, *options):
    vtp.main([str(path), *options])
    return read_vtp(path.with_name("net_contours.vtp"))


def test_lines_are_where_the_levels_are_and_on_the_surface(write):
    found = contours(write(lambda a, b: 10.0 + a), "--linear", "--contours=9.75,11.1", "--scale=2")
    assert len(found.lines) == 2
    for line in found.lines:
        x, y, z = found.points[line].T
        level = found.arrays["level"][line]
        assert np.ptp(level) == 0
        np.testing.assert_allclose(x, level[0] - 10, atol=1e-6)
        np.testing.assert_allclose(z, 2 * level, atol=1e-5)
        assert (y.min(), y.max()) == (-0.5, 0.5)
    assert set(found.arrays["level"]) == {9.75, 11.1}
    assert found.units == {"level": "nat"}


def test_with_log_the_logarithm_is_linear_between_points(write):
    path = write(lambda a, b: 100.0**a, [0.0, 1.0], [0.0, 1.0])
    found = contours(path, "--log", "--contours=10,")
    np.testing.assert_allclose(found.points[:, 0], 0.5, atol=1e-6)


def test_a_ring_is_one_closed_line_and_a_hole_is_not_crossed(write):
    axis = np.linspace(-1, 1, 21)
    (ring,) = contours(write(lambda a, b: a * a + b * b, axis, axis), "--contours=0.5").lines
    assert ring[0] == ring[-1]
    hole = contours(
        write(lambda a, b: np.nan if abs(b) < 0.01 else a, axis, axis), "--contours=0.05"
    )
    assert len(hole.lines) == 2
    assert np.abs(hole.points[:, 1]).min() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("function", "beta", "text"),
    [
        (lambda a, b: 1.0, BETA, "is the same everywhere"),
        (lambda a, b: a, [0.0], "needs a plane, but this file holds a line"),
    ],
)
def test_what_has_no_lines(write, function, beta, text):
    path = write(function, ALPHA, beta)
    with pytest.raises(InputError, match=text):
        vtp.main([str(path), "--contours"])
    assert not path.with_suffix(".vtp").exists()


@pytest.mark.parametrize("suffix", ["stl", "obj"])
def test_triangles_are_read_back_by_meshio(write, tmp_path, suffix):
    out = tmp_path / f"net.{suffix}"
    vtp.main([str(write(lambda a, b: a * b)), f"--out={out}", "--scale=1"])
    mesh = meshio.read(out)
    (block,) = mesh.cells
    assert block.data.shape == (2 * 6 * 4, 3)
    x, y, z = mesh.points.T
    np.testing.assert_allclose(z, x * y, atol=1e-5)
    corners = mesh.points[block.data]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    assert np.all(area > 0)  # counterclockwise seen from above
    assert area.sum() / 2 == pytest.approx(3.0)


def welded(path):
    """Return the points of a file once each, and its triangles."""
    mesh = meshio.read(path)
    points, number = np.unique(mesh.points.round(5), axis=0, return_inverse=True)
    return points, number.ravel()[mesh.cells[0].data]


@pytest.mark.parametrize("suffix", ["stl", "obj"])
@pytest.mark.parametrize("hole", [False, True])
def test_a_watertight_solid_has_no_border_and_the_volume_under_the_surface(
    write, tmp_path, suffix, hole
):
    """By hand: the base of a flat top lies a tenth of the longest side, 3, below it."""
    out = tmp_path / f"net.{suffix}"
    path = write(lambda a, b: np.nan if hole and (a, b) == (0.5, 0.0) else 1.0)
    vtp.main([str(path), f"--out={out}", "--watertight"])
    points, faces = welded(out)
    edges = np.concatenate([faces[:, [k, (k + 1) % 3]] for k in range(3)])
    seen = {tuple(edge) for edge in edges}
    assert len(seen) == len(edges)
    assert seen == {(b, a) for a, b in seen}
    a, b, c = points[faces].transpose(1, 0, 2)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    plane = 3.0 - (4 * 0.5 * 0.25 if hole else 0.0)
    assert volume == pytest.approx(plane * 0.3, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--watertight"], "--watertight makes a solid for printing"),
        (["--out=net.ply"], "does not end in .vtp"),
        (["--render=net.jpg"], "--render: net.jpg does not end in .png"),
        (["--contours=3,2"], "'3,2' is neither"),
        (["--contours=100,200"], "no level of --contours 100, 200 lies in its range"),
    ],
)
def test_options_that_cannot_be(write, options, text):
    path = write(lambda a, b: a)
    with pytest.raises(InputError, match=text):
        vtp.main([str(path), *options])
    assert not path.with_suffix(".vtp").exists()


def test_a_line_has_no_triangles(write, tmp_path):
    with pytest.raises(InputError, match=r"the surface has no faces, but .stl holds only faces"):
        vtp.main([str(write(lambda a, b: a, ALPHA, [0.0])), f"--out={tmp_path / 'a.stl'}"])
