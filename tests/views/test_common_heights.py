"""Oracle: decades counted by hand; the corners of polygons read back from matplotlib's axes."""

import argparse

import numpy as np
import pytest
from surface_files import plane, square_writer

from landscape_mpi import plot, vtp
from landscape_mpi.draw.meshes import choose_shape
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.common_heights import find_common
from landscape_mpi.views.compare import draw_grid, make_shared_panels
from landscape_mpi.views.film import make_film
from landscape_mpi.views.heights import choose_heights
from landscape_mpi.views.pictures import panels_for
from landscape_mpi.views.space import Space

AXIS = np.linspace(-1.0, 1.0, 21)
FOUR_DECADES = np.linspace(-1.0, 3.0, 101)


def corner(a, b):
    """Rise to 90 nat on most of the plane, and to 1e6 nat in one corner."""
    return 1e6 if a > 0.6 and b > 0.6 else 90 * (a * a + b * b) / 2


def bowl(a, b):
    return 150 * (a * a + b * b)


@pytest.fixture
def write(tmp_path):
    return square_writer(tmp_path, AXIS)


@pytest.fixture
def six(write):
    """Five bowls up to 300 nat or less, and one surface with a corner of 1e6 nat."""
    bowls = [write(f"bowl{k}", lambda a, b, k=k: bowl(a, b) / (k + 1)) for k in range(5)]
    return [*bowls, write("corner", corner)]


def panels_of(paths):
    return make_shared_panels([read_surface(path) for path in paths], None)[0]


def test_heights_end_where_those_of_the_others_end():
    outlier = np.append(FOUR_DECADES, [9.0] * 20)
    common = find_common([FOUR_DECADES - 0.5, FOUR_DECADES, outlier], "log")
    assert common.end == 3.0
    assert common.alone == (False, False, False)


@pytest.mark.parametrize("wider", [1.5, 0.5])
def test_ranges_that_are_alike_are_not_cut(wider):
    common = find_common([FOUR_DECADES, -1 + wider * (FOUR_DECADES + 1)], "log")
    assert (common.end, common.alone) == (None, (False, False))


def test_a_surface_is_not_cut_by_more_than_15_percent_of_its_points():
    """If points rise as squares do, 85 % of them end below 0.85 squared."""
    rising = np.linspace(0.0, 1.0, 1001) ** 2
    wide = -1.0 + 8.4 * rising
    end = find_common([FOUR_DECADES, wide], "log").end
    assert end == pytest.approx(-1.0 + 0.85**2 * 8.4)
    assert np.mean(wide > end) == pytest.approx(0.15, abs=0.01)
    # Of a wider one, this cut would not be enough.
    assert find_common([FOUR_DECADES, -1.0 + 9.0 * rising], "log").end is None


def test_a_surface_is_not_cut_for_little():
    """Without the highest 15 % of a surface that rises evenly, 0.85 of the height would be left."""
    assert find_common([FOUR_DECADES, np.linspace(-1.0, 6.4, 149)], "log").end is None


def test_a_surface_far_from_the_others_has_heights_of_its_own():
    common = find_common([FOUR_DECADES, FOUR_DECADES + 30, FOUR_DECADES, np.array([np.nan])], "log")
    assert common.alone == (False, True, False, False)
    assert common.end is None


def test_flat_surfaces_are_no_measure_for_others():
    common = find_common([np.full(9, 1.9), np.linspace(-0.5, 1.1, 9), np.full(9, 1.9)], "log")
    assert (common.end, common.alone) == (None, (False, False, False))


def test_one_point_of_1e36_does_not_flatten_its_own_surface():
    values = plane(AXIS, AXIS, bowl)
    values[3, 4] = 1e36
    assert choose_heights([values], "nat").high == 300.0
    assert choose_heights([values], "nat", kind="linear").high == 300.0
    values -= 5.0
    assert choose_heights([values], "nat").kind == "linear"
    assert choose_heights([values], "nat").high == 300.0


def test_a_corner_of_minus_1e36_flattens_neither_heights_nor_colours(write, tmp_path, capsys):
    """The bowl goes from -3 to 297 nat, which the colours and heights keep."""
    path = write("lost", lambda a, b: -1e36 if a > 0.8 and b > 0.8 else bowl(a, b) - 3)
    heights = choose_heights([read_surface(path).values["train_loss"]], "nat")
    assert (heights.kind, heights.low, heights.high) == ("linear", -3.0, None)
    (panel,) = panels_of([path])
    assert panel.scale.kind == "linear"
    assert panel.scale.clipped == (-3.0, 297.0)
    figure = draw_grid(panels_for([panel], "surface", 1, Space()), "surface")
    low, high = figure.axes[0].get_zlim()
    assert low > -30
    assert high > 250
    said = " ".join(text.get_text() for each in figure.legends for text in each.get_texts())
    assert "0.9 % of the plane is below -3 nat, down to -1e+36, and cut off" in said
    assert vtp.main([str(path), f"--out={tmp_path / 'x.vtp'}"]) == 0
    assert "points beyond -3, where they would flatten the rest: 4" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [None, "log", "linear"])
@pytest.mark.parametrize("lower", [0.0, 5.0])
def test_a_loss_that_overflows_on_a_third_of_the_plane_does_not_flatten_the_rest(kind, lower):
    """The bowl begins at 0 or -5 nat; 7 of 21 columns of the plane are 1e36."""
    values = plane(AXIS, AXIS, bowl) + 1e-3 - lower
    values[:7] = 1e36
    high = choose_heights([values], "nat", kind=kind).high
    assert high is not None
    assert high == pytest.approx(values[7:].max(), rel=0.05)
    # With half of the plane at 1e36, nobody can say which half is the surface.
    values[:11] = 1e36
    assert choose_heights([values], "nat", kind=kind).high is None


@pytest.mark.parametrize(("corner", "end"), [(1e5, None), (1e7, 300.0)])
def test_a_surface_alone_is_cut_if_a_corner_takes_more_than_half_of_its_box(corner, end):
    """Three quarters of it span 3.2 decades from 0.1 nat; up to 1e7 nat it spans 8."""
    values = plane(AXIS, AXIS, bowl)
    values[:3, :3] = corner
    assert choose_heights([values], "nat").high == end


def test_an_end_that_is_asked_for_is_kept():
    values = [plane(AXIS, AXIS, bowl), plane(AXIS, AXIS, corner)]
    assert choose_heights(values, "nat").high == 300.0
    assert choose_heights(values, "nat", ends=(None, 2e6)).high == 2e6


def test_one_corner_does_not_flatten_five_bowls(six):
    figure = draw_grid(panels_for(panels_of(six), "surface", 1, Space()), "surface")
    boxes = [axes for axes in figure.axes if hasattr(axes, "get_zlim")]
    assert len({axes.get_zlim() for axes in boxes}) == 1
    low, high = boxes[0].get_zlim()
    assert high == pytest.approx(np.log10(300.1))
    tops = [np.asarray(axes.collections[0]._faces)[..., 2].max() for axes in boxes]
    assert min(tops) > low + 0.5 * (high - low)
    assert max(tops) == pytest.approx(high)
    share = np.mean(plane(AXIS, AXIS, corner) > 300)
    words = [text.get_text() for axes in boxes for text in axes.texts]
    assert words == [f"{round(100 * share)} % above 300 nat, up to 1e+06: cut off"]


def test_a_picture_alone_says_that_it_is_cut(write, tmp_path):
    path = write("net", bowl)
    figure = draw_grid(
        panels_for(panels_of([path]), "surface", 1, Space(ends=(None, 10.0))), "surface"
    )
    (legend,) = figure.legends
    share = round(100 * np.mean(plane(AXIS, AXIS, bowl) > 10))
    said = f"{share} % of the plane is above 10 nat, up to 300, and cut off"
    assert said in [text.get_text() for text in legend.get_texts()]


def test_a_surface_far_away_has_a_bar_of_its_own_and_the_picture_says_so(write):
    paths = [write("near", bowl), write("far", lambda a, b: 1e30 * (1 + bowl(a, b)))]
    paths.append(write("also", lambda a, b: 0.7 * bowl(a, b)))
    figure = draw_grid(panels_for(panels_of(paths), "surface", 1, Space()), "surface")
    near, far, also = (axes.get_zlim() for axes in figure.axes if hasattr(axes, "get_zlim"))
    assert near == also
    assert near[1] == pytest.approx(np.log10(300.1))
    assert far[0] == pytest.approx(30.0)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "one range would flatten some surfaces, so they have different ranges" in texts


def test_meshes_films_and_pictures_end_at_the_same_height(six, tmp_path, capsys):
    surfaces = [read_surface(path) for path in six]
    options = argparse.Namespace(
        quantity="train_loss", range=None, kind=None, scale=None, lid=False
    )
    assert choose_shape(surfaces, options)["heights"].high == 300.0
    film = make_film(surfaces, "train_loss", fps=10, words=["a"] * 6)
    assert film.draw(5).axes[0].get_zlim()[1] == pytest.approx(np.log10(300.1))
    out = tmp_path / "all.pvd"
    assert vtp.main([*map(str, six), f"--series={out}"]) == 0
    beyond = int((plane(AXIS, AXIS, corner) > 300).sum())
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(f", {beyond} cut off") for line in lines[:6]] == [False] * 5 + [True]


def test_the_command_of_a_mesh_says_what_it_cut(write, capsys):
    spike = write("spike", lambda a, b: 1e36 if (a, b) == (1.0, 1.0) else bowl(a, b))
    assert vtp.main([str(spike)]) == 0
    said = capsys.readouterr().out
    assert "points beyond 300, where they would flatten the rest: 1" in said
    assert vtp.main([str(spike), "--range=:50"]) == 0
    assert "points beyond --range: " in capsys.readouterr().out


def test_the_command_of_pictures_compares_six_surfaces(six, tmp_path):
    words = ["--compare", "--kind=surface", "--dpi=40", f"--out-dir={tmp_path / 'out'}"]
    assert plot.main([*map(str, six), *words]) == 0
