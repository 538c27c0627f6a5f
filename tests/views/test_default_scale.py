"""Oracle: the loss of guessing among C classes, ln C, by hand, and values of known spread."""

import math

import numpy as np
import pytest
from surface_files import write_surface

from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.default_scale import default_scale, scale_of, scales_of
from landscape_mpi.views.levels import ScaleRequest

AXIS = np.linspace(-1, 1, 10)


@pytest.fixture
def surface_with(tmp_path):
    def write(values, *, n_classes=10, name="train_loss", done=None):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        attributes = {"n_classes": n_classes} if n_classes else {}
        values = {name: np.broadcast_to(values, (10, 10))}
        write_surface(path, AXIS, AXIS, values, attributes=attributes, done=done)
        return read_surface(path)

    return write


def part_below(share, low=1.0, high=50.0):
    """Return values of which so many hundredths are low, and the others high."""
    return np.where(np.arange(100) < share, low, high).reshape(10, 10)


@pytest.mark.parametrize(
    ("n_classes", "top", "levels"),
    [
        (10, 10, [0.1, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (100, 20, [0.1, 0.5, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]),
        (2, 3, [0.1, 0.5, 1, 1.5, 2, 2.5, 3]),
        (1000, 30, [0.1, 0.5, 1, 5, 10, 15, 20, 25, 30]),
    ],
)
def test_colours_end_at_a_multiple_of_guessing(surface_with, n_classes, top, levels):
    scale = default_scale([surface_with(part_below(60), n_classes=n_classes)], "train_loss")
    assert (scale.kind, scale.top) == ("linear", top)
    assert scale.top == pytest.approx(4.34 * math.log(n_classes), rel=0.01)
    assert scale.levels == pytest.approx(levels)


def test_the_end_does_not_depend_on_the_values_nor_on_the_company(surface_with):
    low, high = surface_with(0.05 * part_below(50)), surface_with(part_below(50, high=1e36))
    alone = [default_scale([surface], "train_loss") for surface in (low, high)]
    together = default_scale([low, high], "train_loss")
    assert {scale.top for scale in [*alone, together]} == {10}
    assert alone[0].levels == together.levels == alone[1].levels


def test_a_loss_far_below_guessing_has_the_colours_of_its_own_values(surface_with):
    low, high = surface_with(0.01 * part_below(50)), surface_with(part_below(50))
    assert default_scale([low], "train_loss").top is None
    assert default_scale([low, high], "train_loss").top == 10


@pytest.mark.parametrize(("share", "kind"), [(29, "log"), (31, "linear")])
def test_where_little_of_the_plane_lies_below_the_end_the_scale_is_logarithmic(
    surface_with, share, kind
):
    scale = default_scale([surface_with(part_below(share))], "train_loss")
    assert (scale.kind, scale.top is None) == (kind, kind == "log")


def test_the_share_is_one_of_area_and_not_of_points(tmp_path):
    """Two of 10 columns of points are high; their cells take most of the area, or a fifth."""
    high_last = np.broadcast_to(np.where(np.arange(10) >= 8, 50.0, 1.0)[:, None], (10, 10))
    for alpha, kind in (([*range(9), 98], "log"), ([*range(10)], "linear")):
        path = tmp_path / f"{kind}.h5"
        known = {"n_classes": 10}
        write_surface(path, alpha, AXIS, {"train_loss": high_last}, attributes=known)
        assert default_scale([read_surface(path)], "train_loss").kind == kind


def test_infinite_losses_lie_above_the_end_and_points_to_come_nowhere(surface_with):
    broken = part_below(29, high=np.inf)
    assert default_scale([surface_with(broken)], "train_loss").kind == "log"
    computed = surface_with(broken, done=np.arange(100).reshape(10, 10) < 40)
    assert default_scale([computed], "train_loss").kind == "linear"


def test_one_surface_that_lies_above_the_end_does_not_decide_for_the_others(surface_with):
    smooth, diverged = surface_with(part_below(90)), surface_with(part_below(0))
    assert default_scale([diverged], "train_loss").kind == "log"
    assert default_scale([smooth, diverged], "train_loss").kind == "linear"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.geomspace(1, 31, 100), "log"),
        (np.geomspace(1, 29, 100), "linear"),
        (-np.geomspace(1e-6, 1e6, 100), "symlog"),
        (np.concatenate([[-0.001], np.geomspace(1e-3, 1e6, 99)]), "symlog"),
        (np.linspace(-1, 1, 100), "linear"),
        (np.full(100, np.nan), "linear"),
    ],
)
def test_other_values_have_the_scale_that_they_ask_for(surface_with, values, kind):
    surface = surface_with(np.reshape(values, (10, 10)), n_classes=None)
    scale = default_scale([surface], "train_loss")
    assert (scale.kind, scale.top, scale.levels) == (kind, None, ())


def test_a_negative_loss_is_no_cross_entropy_whatever_the_file_says(surface_with):
    assert default_scale([surface_with(part_below(50) - 2)], "train_loss").top is None


@pytest.mark.parametrize(("high", "end"), [(1e36, 3.0), (1e3, None)])
def test_a_few_enormous_values_do_not_decide_the_colours_of_the_others(surface_with, high, end):
    """Three quarters of them span 4 units of height, linear to 0.1 and in decades beyond, and all
    up to 1e3 span 7.5; beyond twice as many as three quarters, colours end."""
    values = np.append(np.linspace(-3, 3, 95), [high] * 5).reshape(10, 10)
    scale = scale_of([surface_with(values)], "train_loss", where="")
    assert (scale.clipped and scale.clipped[1]) == end
    # All of one surface may be as large, which then is no outlier of its own.
    far = surface_with(np.full((10, 10), 1e30) * (1 + AXIS[:, None] / 2))
    near = surface_with(np.linspace(-3, 3, 100).reshape(10, 10))
    assert scale_of([near, far], "train_loss", where="").clipped is None
    own = scales_of([near, far, near], "train_loss", where="")
    assert own[0] is own[2]
    assert [scale.high for scale in own] == pytest.approx([3, 1.5e30, 3])


def test_one_surface_without_classes_leaves_all_to_their_values(surface_with):
    known, unknown = surface_with(part_below(50)), surface_with(part_below(50), n_classes=None)
    assert default_scale([known, unknown], "train_loss").top is None


def test_a_surface_that_lacks_the_quantity_does_not_count(surface_with):
    loss, error = surface_with(part_below(50)), surface_with(part_below(50), name="train_error")
    assert default_scale([loss, error], "train_loss").top == 10
    assert default_scale([loss, error], "train_error").top is None


def test_a_logarithmic_scale_for_surfaces_apart_of_which_one_has_no_positive_value(surface_with):
    values = np.linspace(1, 3, 100).reshape(10, 10)
    surfaces = [surface_with(factor * values) for factor in (1e-12, 1e12, -1)]
    scales = scales_of(surfaces, "train_loss", ScaleRequest("log"), where="")
    assert [scale.kind for scale in scales] == ["log"] * 3
    assert [scale.high for scale in scales[:2]] == pytest.approx([3e-12, 3e12])


def test_one_deep_point_does_not_take_the_colours_of_a_logarithmic_scale(surface_with):
    """A loss without a unit that falls from 1000 to 1, and to 1e-5 in its minimum."""
    values = np.geomspace(1.0, 1000.0, 100).reshape(10, 10)
    values[5, 5] = 1e-5
    deep = surface_with(values, n_classes=None)
    scale = scale_of([deep], "train_loss", where="")
    assert (scale.kind, scale.clipped) == ("log", (1.0, 1000.0))
    inside = scale.levels[(scale.levels > 1) & (scale.levels < 1000)]
    assert len(inside) >= 8
    asked = scale_of([deep], "train_loss", ScaleRequest("log", ends=(1e-5, None)), where="")
    assert asked.clipped == (1e-5, pytest.approx(1000.0))
    # All points of a line must be within its axes.
    path = write_surface(deep.path.parent / "line.h5", AXIS, [0.0], {"train_loss": values[5]})
    assert scale_of([read_surface(path)], "train_loss", where="").clipped is None
