"""Oracle: a pit behind a wall, whose rays are drawn by hand, and the pixels of the picture."""

import numpy as np
import pytest
from surface_files import plane, write_surface

from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.center_pin import CenterPin
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.space import Space, stand_up

AXIS = np.linspace(-1.0, 1.0, 41)


def pin_over(tmp_path, function, **space):
    path = tmp_path / "net.h5"
    write_surface(path, AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, function)})
    panel = make_panel(read_surface(path), "train_loss")
    (panel,) = stand_up([panel], Space("linear", **space))
    return CenterPin(panel, np.array([[-1.0, 1.0], [-1.0, 1.0]]))


def wall(a, b):
    return 2.0 + 2.0 * (0.2 < a < 0.3)


def test_the_mark_lies_on_the_center_where_it_is_seen_and_above_the_wall_where_not(tmp_path):
    pin = pin_over(tmp_path, wall)
    assert pin.heights_from(Camera(180.0, 40.0)).tolist() == [2.0]
    foot, head = pin.heights_from(Camera(0.0, 30.0))
    # A box of 1 x 1 x 0.6: the wall, 0.6 high, begins or ends at 0.1 to 0.15 from the center.
    needed = 2.0 + 2.0 * (0.6 - np.tan(np.radians(30.0)) * np.array([0.15, 0.1])) / 0.6
    assert needed[0] < foot < needed[1] + 0.2
    assert head > foot + 0.2


@pytest.mark.parametrize(("high", "lid"), [(3.0, True), (3.0, False)])
def test_a_wall_that_is_cut_hides_less(tmp_path, high, lid):
    whole = pin_over(tmp_path, wall).heights_from(Camera(0.0, 30.0))[0]
    cut = pin_over(tmp_path, wall, ends=(None, high), lid=lid).heights_from(Camera(0.0, 30.0))
    if lid:
        assert 2.0 < cut[0] < whole
    else:
        assert cut.tolist() == [2.0]
