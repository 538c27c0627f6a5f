"""Oracle: wells put at known points of a grid, and the artists of the pictures they give."""

import numpy as np
import pytest
import surface_files
from figure_texts import legend_texts
from libraries import needs_gudhi
from PIL import Image

from landscape_mpi import plot
from landscape_mpi.errors import InputError
from landscape_mpi.registry import PICTURES
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.compare import draw_grid
from landscape_mpi.views.critical import MAXIMUM, MINIMUM, SADDLE, with_critical
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.smooth import smooth_panel

pytestmark = needs_gudhi

ALPHA, BETA = np.linspace(-1.0, 2.0, 7), np.linspace(-0.5, 0.5, 5)
FLAT = ("contour", "filled", "heatmap")
SHAPES = {"o": "minima", "D": "saddles", "^": "maxima"}


def wells():
    """A bowl, 0 at (0, 0), with a well at (1.5, 0.25), 4.5 below its pass, and a hill of 3."""
    values = 4.0 + ALPHA[:, None] ** 2 + BETA**2
    values[2, 2], values[5, 3], values[1, 2] = 0.0, 0.5, 8.0
    return values


@pytest.fixture
def panel_of(tmp_path):
    def make(values, beta=BETA, *, least=0.0, kind="linear", done=None, name="net"):
        path = tmp_path / f"{name}.h5"
        surface_files.write_surface(path, ALPHA, beta, {"train_loss": values}, done=done)
        return with_critical(
            make_panel(read_surface(path), "train_loss", ScaleRequest(kind)), least
        )

    return make


def markers(axes):
    """Return the places of each kind of point, and the areas of their markers."""
    found = {}
    for artist in axes.collections:
        vertices = artist.get_paths()[0].vertices if len(artist.get_paths()) == 1 else ()
        kind = {5: "saddles", 4: "maxima"}.get(len(vertices), "minima")
        if type(artist).__name__ == "PathCollection":
            places = [(float(a), float(b)) for a, b in artist.get_offsets()]
            found[kind] = dict(zip(places, artist.get_sizes(), strict=True))
    return found


@pytest.mark.parametrize("kind", FLAT)
def test_points_are_marked_where_they_are_larger_where_more_persistent(panel_of, kind):
    figure = PICTURES[kind](panel_of(wells()))
    found = markers(figure.axes[0])
    assert set(found["minima"]) == {(0.0, 0.0), (1.5, 0.25)}
    assert set(found["maxima"]) == {(-0.5, 0.0)}
    assert len(found["saddles"]) == 2
    assert found["minima"][0.0, 0.0] > found["minima"][1.5, 0.25] > found["maxima"][-0.5, 0.0]
    words = ["center (0, 0)", "2 minima", "2 saddles", "1 maximum", "larger: more persistent"]
    assert legend_texts(figure) == words


def test_weak_points_are_left_out(panel_of):
    figure = PICTURES["filled"](panel_of(wells(), least=3.7))
    assert legend_texts(figure)[1:] == ["2 minima", "1 saddle", "persistence from 3.7 nat on"]
    logarithmic = panel_of(wells() + 1.0, least=0.5, kind="log")
    assert legend_texts(PICTURES["filled"](logarithmic))[-1] == "persistence from 0.5 decades on"


def test_a_bowl_has_its_minimum_alone(panel_of):
    figure = PICTURES["contour"](panel_of(1.0 + ALPHA[:, None] ** 2 + BETA**2))
    assert legend_texts(figure) == ["center (0, 0)", "1 minimum"]
    assert set(markers(figure.axes[0])["minima"]) == {(0.0, 0.0)}


def test_labels_of_lines_lie_on_no_mark(panel_of):
    figure = PICTURES["contour"](panel_of(wells()))
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert boxes
    for places in markers(axes).values():
        for x, y in axes.transData.transform(list(places)):
            assert not any(box.contains(x, y) for box in boxes)


def test_smooth_pictures_mark_the_points_that_were_computed(panel_of):
    figure = PICTURES["contour"](smooth_panel(panel_of(wells()), 4))
    assert set(markers(figure.axes[0])["minima"]) == {(0.0, 0.0), (1.5, 0.25)}


def test_side_by_side_the_same_persistence_is_the_same_size(panel_of):
    panels = [panel_of(wells(), name="a"), panel_of(10.0 * wells(), name="b")]
    shared = [
        with_critical(make_panel(p.surface, p.name, scale=panels[1].scale), 0.0) for p in panels
    ]
    first, second = (markers(axes)["minima"] for axes in draw_grid(shared, "filled").axes[:3:2])
    assert second[1.5, 0.25] > 2 * first[1.5, 0.25]


def test_nothing_computed_or_finite_is_no_mark(panel_of):
    assert panel_of(np.full((7, 5), np.nan)).critical is None
    done = np.zeros((7, 5))
    done[0, :2] = 1
    assert panel_of(wells(), done=done).critical is None


def test_the_shapes_are_those_of_the_legend():
    assert {look["marker"] for look in (MINIMUM, SADDLE, MAXIMUM)} == set(SHAPES)


def test_the_command_marks_them(tmp_path, capsys):
    path = surface_files.write_surface(tmp_path / "net.h5", ALPHA, BETA, {"train_loss": wells()})
    pixels = []
    for option in ([], ["--critical"], ["--critical=99"]):
        plot.main([str(path), "--kind=heatmap", "--dpi=40", "--linear", *option])
        picture = Image.open(tmp_path / "net_train_loss_heatmap.png").convert("RGB")
        pixels.append(np.asarray(picture, int)[..., :3])
    red = [np.sum((p[..., 0] > 200) & (p[..., 1] < 140) & (p[..., 2] < 110)) for p in pixels]
    assert red[0] == 0 < red[2] < red[1]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--critical=-1"], "'-1' is not a finite number of at least 0"),
        (["--critical=nan"], "'nan' is not a finite number of at least 0"),
    ],
)
def test_thresholds_that_cannot_be(argv, text):
    with pytest.raises(InputError, match=text):
        plot.main(["net.h5", *argv])


def test_what_has_none(tmp_path, panel_of):
    with pytest.raises(
        InputError, match=r"--critical marks points of planes, .* landscape_mpi.topology"
    ):
        panel_of(np.ones(7), [0.0])
    with pytest.raises(InputError, match="--critical applies to surfaces, not to --weights"):
        plot.main(["--weights", str(tmp_path), "--critical"])
