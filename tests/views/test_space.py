"""Oracle: heights and cuts by hand, read back from matplotlib's axes and polygons."""

import numpy as np
import pytest
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from surface_files import square_writer, write_surface

from landscape_mpi import plot
from landscape_mpi.errors import InputError
from landscape_mpi.options import camera_angles
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.compare import draw_grid, make_shared_panels
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.pictures import panels_for
from landscape_mpi.views.shaded import SURFACE
from landscape_mpi.views.space import Space, stand_up

AXIS = np.linspace(-1.0, 1.0, 11)


@pytest.fixture
def write(tmp_path):
    return square_writer(tmp_path, AXIS)


def panel_of(path, **space):
    return stand_up([make_panel(read_surface(path), "train_loss")], Space(**space))[0]


def corners_of(panel):
    """Return the corners of all polygons that are drawn, float64 [n, 3]."""
    axes = SURFACE(panel).axes[0]
    faces = axes.collections[0]._faces
    return np.asarray(faces).reshape(-1, 3), axes


def test_a_loss_has_a_tenth_added_and_its_axis_says_the_loss(write):
    corners, axes = corners_of(panel_of(write("net", lambda a, b: 0.01 + 50 * a * a)))
    alpha = corners[:, 0]
    np.testing.assert_allclose(corners[:, 2], np.log10(0.11 + 50 * alpha**2))
    for text, height in zip(axes.get_zticklabels(), axes.get_zticks(), strict=True):
        assert height == pytest.approx(np.log10(float(text.get_text()) + 0.1))
    assert axes.get_zlim()[0] == pytest.approx(-1.0)


def test_all_that_stand_together_have_one_scale_and_one_camera(write):
    paths = [write("low", lambda a, b: 0.2 + a * a), write("high", lambda a, b: 80 + a)]
    (row,) = make_shared_panels([read_surface(path) for path in paths], None)
    figure = draw_grid(panels_for(row, "surface", 1, Space()), "surface")
    low, high = (axes for axes in figure.axes if hasattr(axes, "get_zlim"))
    assert low.get_zlim() == high.get_zlim()
    assert high.get_zlim()[1] == pytest.approx(np.log10(81.1))
    assert (low.azim, low.elev) == (high.azim, high.elev)


def test_a_range_cuts_the_surface_and_a_lid_closes_it(write):
    path = write("net", lambda a, b: 5 * (a + 1))
    cut, axes = corners_of(panel_of(path, kind="linear", ends=(2.0, 6.0)))
    assert (cut[:, 2].min(), cut[:, 2].max()) == (pytest.approx(2.0), pytest.approx(6.0))
    assert (cut[:, 0].min(), cut[:, 0].max()) == (pytest.approx(-0.6), pytest.approx(0.2))
    assert axes.get_zlim() == (2.0, 6.0)
    closed, _ = corners_of(panel_of(path, kind="linear", ends=(2.0, 6.0), lid=True))
    assert (closed[:, 0].min(), closed[:, 0].max()) == (-1.0, 1.0)
    assert (closed[:, 2].min(), closed[:, 2].max()) == (2.0, 6.0)
    with pytest.raises(InputError, match="net.h5: train_loss: --range 20: leaves nothing"):
        panel_of(path, ends=(20.0, None))


def test_the_camera_is_where_it_was_asked_to_be(write, monkeypatch, tmp_path):
    seen = []
    real = Camera.__init__

    def note(self, *angles):
        real(self, *angles)
        seen.append(angles)

    monkeypatch.setattr(Camera, "__init__", note)
    path = write("net", lambda a, b: 1 + a * a)
    words = ["--kind=surface", "--camera=75,20", "--dpi=50", f"--out-dir={tmp_path}"]
    assert plot.main([str(path), *words]) == 0
    # The mark of the center asks where the axes look when they are drawn.
    assert set(seen) == {(75.0, 20.0)}


@pytest.mark.parametrize("text", ["75", "75,95", "a,1", "1,2,3", "nan,4", "400,40"])
def test_what_is_no_camera(text):
    with pytest.raises(Exception, match=r"is not a camera. Pass AZIMUTH,ELEVATION in degrees"):
        camera_angles(text)


def test_a_large_surface_is_thinned_in_space_and_the_picture_says_so(tmp_path):
    """401 of 1001 points along an axis are 400 x 400 faces; both ends of the plane are kept."""
    axis = np.linspace(-1.0, 1.0, 1001)
    values = {"train_loss": 2.0 + np.add.outer(axis**2, axis[:5])}
    path = write_surface(tmp_path / "large.h5", axis, axis[:5], values)
    (panel,) = panels_for([make_panel(read_surface(path), "train_loss")], "surface", 1)
    figure = SURFACE(panel)
    faces = figure.axes[0].collections[0]._faces
    assert faces.shape == (400 * 4, 4, 3)
    assert (faces[..., 0].min(), faces[..., 0].max()) == (-1.0, 1.0)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "401 x 5 of 1001 x 5 points drawn" in texts
    computed = np.arange(5005).reshape(1001, 5) % 7 > 0
    values = {"train_loss": np.where(computed, 1.0 + np.abs(axis)[:, None], np.nan)}
    partial = write_surface(tmp_path / "p.h5", axis, axis[:5], values, done=computed)
    (panel,) = panels_for([make_panel(read_surface(partial), "train_loss")], "surface", 1)
    assert panel.surface.shape == (1001, 5)


def test_faces_are_projected_once_for_a_camera(write, monkeypatch):
    figure = SURFACE(panel_of(write("net", lambda a, b: 1 + a * a + b)))
    axes = figure.axes[0]
    projected = []
    real = Poly3DCollection.do_3d_projection
    monkeypatch.setattr(
        Poly3DCollection, "do_3d_projection", lambda faces: projected.append(1) or real(faces)
    )
    figure.draw_without_rendering()
    figure.draw_without_rendering()
    assert len(projected) == 1
    axes.view_init(elev=20, azim=10)
    figure.draw_without_rendering()
    assert len(projected) == 2
    axes.collections[0].set_facecolor("red")
    figure.draw_without_rendering()
    assert len(projected) == 3
    assert (axes.collections[0].get_facecolor()[0] == [1, 0, 0, 1]).all()
