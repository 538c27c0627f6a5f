"""Oracle: cubic polynomials, which a cubic spline repeats exactly, and the data's own extremes."""

from dataclasses import replace

import numpy as np
import pytest
import surface_files
from figure_texts import legend_texts
from hypothesis import given
from hypothesis import strategies as st

from landscape_mpi import plot
from landscape_mpi.errors import InputError
from landscape_mpi.registry import PICTURES
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.pictures import panels_for
from landscape_mpi.views.smooth import refine_axis, refine_heights, smooth_panel

ALPHA = np.array([-1.0, -0.6, 0.0, 0.5, 1.0, 1.6, 2.0])
BETA = np.linspace(1.0, -0.5, 6)  # falling, as a file may have it


@pytest.fixture
def panel_of(tmp_path):
    def make(function, done=None, **options):
        values = {"train_loss": surface_files.plane(ALPHA, BETA, function)}
        surface = surface_files.surface_of(tmp_path / "n.h5", ALPHA, BETA, values, done=done)
        return make_panel(surface, "train_loss", ScaleRequest(**options))

    return make


def monotone(a, b):
    return a**3 + 2 * a + b**3 + a * b + 3 * b


def test_a_cubic_is_repeated_where_it_stays_among_its_neighbours(panel_of):
    panel = smooth_panel(panel_of(monotone), 4)
    wanted = surface_files.plane(panel.surface.alpha, panel.surface.beta, monotone)
    inside = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(panel.heights[inside], wanted[inside], atol=1e-10)
    assert panel.surface.shape == (25, 21)


def test_what_was_computed_is_kept_to_the_bit(panel_of):
    before = panel_of(lambda a, b: 10 ** (3 * a + b), kind="log")
    panel = smooth_panel(before, 3)
    np.testing.assert_array_equal(panel.values[::3, ::3], before.values)
    np.testing.assert_array_equal(panel.surface.alpha[::3], ALPHA)
    assert panel.surface.alpha[1] == pytest.approx(-1 + 0.4 / 3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=20), st.integers(2, 5))
def test_never_beyond_the_points_around(values, times):
    x, y = np.arange(5.0), np.arange(4.0)
    data = np.reshape(values, (5, 4))
    fine = refine_heights(data, x, y, times)
    assert fine.shape == (4 * times + 1, 3 * times + 1)
    for (i, j), height in np.ndenumerate(fine):
        a, b = min(i // times, 3), min(j // times, 2)
        near = data[max(a - 1, 0) : a + 3, max(b - 1, 0) : b + 3]
        assert near.min() <= height <= near.max()


def test_a_cliff_would_swing_without_that():
    data = np.zeros((8, 8))
    data[4:] = 1.0
    fine = refine_heights(data, np.arange(8.0), np.arange(8.0), 4)
    assert (fine.min(), fine.max()) == (0.0, 1.0)
    assert refine_axis(np.arange(3.0), 2).tolist() == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize("kind", PICTURES)
def test_the_picture_says_so_and_heat_maps_and_circles_stay_as_computed(panel_of, kind):
    before = panel_of(monotone)
    (panel,) = panels_for([before], kind, 4)
    figure = PICTURES[kind](panel)
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    as_computed = kind in {"heatmap", "ring"}
    assert ("smoothed: spline, 4 x finer than computed" in texts) != as_computed
    assert (panel is before) == as_computed
    assert not any("smoothed" in text for text in legend_texts(PICTURES[kind](before)))


def test_two_points_along_an_axis_and_a_constant(panel_of):
    small = refine_heights(np.array([[0.0, 1.0], [2.0, 3.0]]), np.arange(2.0), np.arange(2.0), 2)
    np.testing.assert_allclose(small, [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]])
    constant = panel_of(lambda a, b: 2.0)
    assert smooth_panel(constant, 4) is constant


@pytest.mark.parametrize(
    ("function", "done"),
    [(lambda a, b: np.nan if a == 0 else a, None), (monotone, np.arange(42) > 5)],
    ids=["nan", "partial"],
)
def test_holes_are_not_filled(panel_of, function, done):
    panel = panel_of(function, done)
    with pytest.raises(InputError, match=r"--smooth 4: 36 of 42 points of train_loss are computed"):
        plot.main([str(panel.surface.path), "--smooth=4"])
    assert not list(panel.surface.path.parent.glob("*.png"))


def test_lines_are_not_smoothed(tmp_path):
    path = tmp_path / "line.h5"
    surface_files.write_surface(path, ALPHA, [0.0], {"train_loss": ALPHA**2})
    for options in (["--smooth=2"], [str(path), "--smooth=2", "--compare"]):
        with pytest.raises(InputError, match=r"--smooth 2.* applies to planes, but .*line"):
            plot.main([str(path), *options])
    with pytest.raises(InputError, match="'17' is not a whole number from 1 to 16"):
        plot.main([str(path), "--smooth=17"])


def test_marks_of_a_smooth_panel_stay_where_they_are(panel_of):
    before = panel_of(monotone)
    assert smooth_panel(before, 4).surface.center is None
    centered = replace(before.surface, beta=BETA - BETA[2])
    assert centered.center == (2, 2)
    panel = smooth_panel(replace(before, surface=centered), 4)
    assert panel.surface.center == (8, 8)
    assert panel.values[8, 8] == before.values[2, 2]
