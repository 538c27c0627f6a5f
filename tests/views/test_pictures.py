"""Oracle: closed forms on rectangles: where f = alpha, every contour is a vertical line.

What is drawn is read from the artists of the figure (paths, colours, texts, limits), and
the written PNG is decoded by Pillow, which shares nothing with the drawing.
"""

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import surface_files
from figure_texts import legend_texts
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from PIL import Image

from landscape_mpi.draw.folder import check_distinct
from landscape_mpi.errors import InputError
from landscape_mpi.registry import PICTURES
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.canvas import CENTER, color_map, write_figure
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.panel import make_panel, summarize
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.pictures import make_panels, plan_pictures

ALPHA = np.linspace(-1.0, 2.0, 7)
BETA = np.linspace(-0.5, 0.5, 5)
PLANES = [kind for kind in PICTURES if find_kind(kind).join is None]  # pictures of the plane itself


@pytest.fixture
def panel_of(tmp_path):
    def make(function, alpha=ALPHA, beta=BETA, done=None, **options):
        values = {"train_loss": surface_files.plane(alpha, beta, function)}
        path = tmp_path / "net.h5"
        surface_files.write_surface(path, alpha, beta, values, done=done)
        return make_panel(read_surface(path), "train_loss", ScaleRequest(**options))

    return make


def written(figure, tmp_path):
    """Write the figure as the command does; return its pixels, float [rows, columns, 3]."""
    path = tmp_path / "picture.png"
    write_figure(lambda: figure, path, dpi=60)
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"), float)


def main_axes(figure):
    return figure.axes[0]


def contour_lines(figure):
    """Return the vertices of each contour level that is drawn."""
    sets = [c for c in main_axes(figure).collections if type(c).__name__.endswith("ContourSet")]
    return [path.vertices for path in sets[0].get_paths()]


def tilted(a, b):
    return 10.0 + a


@pytest.mark.parametrize("coarse", [False, True], ids=["complete", "partial"])
def test_contours_of_alpha_are_vertical(panel_of, coarse):
    done = np.ones((7, 5))
    if coarse:
        done[1::2], done[:, 1::2] = 0, 0
    figure = PICTURES["contour"](panel_of(tilted, done=done, levels=[9.5, 11.25]))
    first, second = contour_lines(figure)
    np.testing.assert_allclose(first[:, 0], -0.5, atol=1e-12)
    np.testing.assert_allclose(second[:, 0], 1.25, atol=1e-12)
    assert np.ptp(first[:, 1]) == 1.0


def test_log_contours_interpolate_the_logarithm(panel_of):
    alpha, beta = [0.0, 1.0], [0.0, 1.0]
    panel = panel_of(lambda a, b: 100.0**a, alpha, beta, levels=[10.0])
    (line,) = contour_lines(PICTURES["contour"](panel))
    np.testing.assert_allclose(line[:, 0], 0.5)


def test_heat_map_shows_each_value_in_its_own_cell(panel_of):
    panel = panel_of(lambda a, b: a + 10 * b)
    figure = PICTURES["heatmap"](panel)
    (mesh,) = [c for c in main_axes(figure).collections if isinstance(c, QuadMesh)]
    corners = mesh.get_coordinates()
    middles = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    expected = middles[..., 0] + 10 * middles[..., 1]
    np.testing.assert_allclose(mesh.get_array(), expected)


@pytest.mark.parametrize("kind", PLANES)
def test_axes_titles_and_units_are_named(panel_of, kind):
    figure = PICTURES[kind](panel_of(tilted))
    axes = main_axes(figure)
    assert axes.get_title() == "resnet56, cifar10"
    assert axes.get_xlabel() == r"$\alpha$: coordinate along the first direction"
    assert axes.get_ylabel().replace("\n", " ") == r"$\beta$: coordinate along the second direction"
    assert figure.axes[1].get_ylabel().replace("\n", " ") == "mean loss over the training set (nat)"
    assert legend_texts(figure) == ["center (0, 0)"]


@pytest.mark.parametrize("kind", PLANES)
def test_what_is_not_finite_is_named_and_hatched(panel_of, kind):
    figure = PICTURES[kind](panel_of(lambda a, b: np.nan if a > 1 else b))
    assert "not finite: 10 points" in legend_texts(figure)
    hatched = [c for c in main_axes(figure).collections if c.get_hatch()]
    assert isinstance(hatched[0], PolyCollection)
    (hole,) = hatched
    figure.draw_without_rendering()  # projects the three-dimensional one
    assert len(hole.get_paths()) in {10, 8}  # a cell a point, or the quads they take along


@pytest.mark.parametrize("kind", PICTURES)
def test_partial_surface_says_how_far_it_is(panel_of, kind):
    done = np.zeros((7, 5))
    done[::3, ::2] = 1
    figure = PICTURES[kind](panel_of(tilted, done=done))
    assert main_axes(figure).get_title() == "resnet56, cifar10\n9 of 35 points"


def test_center_is_marked_only_in_the_plane(panel_of):
    inside = main_axes(PICTURES["filled"](panel_of(tilted)))
    marks = [line for line in inside.lines if line.get_marker() == CENTER["marker"]]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(0.0, 0.0)]
    outside = PICTURES["filled"](panel_of(tilted, alpha=[1.0, 2.0]))
    assert not main_axes(outside).lines
    assert not outside.legends


@pytest.mark.parametrize(
    ("alpha", "beta", "equal"),
    [([-1, 1], [-0.5, 0.5], True), ([-1, 1], [-1, 1], True), ([-1, 1], [-0.01, 0.01], False)],
)
def test_aspect_is_equal_where_ranges_are_comparable(panel_of, alpha, beta, equal):
    figure = PICTURES["filled"](panel_of(lambda a, b: a + b, alpha, beta))
    box = main_axes(figure).get_position()
    width, height = figure.get_size_inches() * (box.width, box.height)
    assert np.isclose(width / np.ptp(alpha), height / np.ptp(beta)) == equal


def labels_drawn(figure):
    return main_axes(figure).texts


def test_pieces_of_lines_without_room_cost_no_text(panel_of, monkeypatch):
    """None of 24 x 24 islands with two lines each has room; each level is measured once."""
    made = []
    text = Axes.text

    def counted(axes, *place, **look):
        made.append(place)
        return text(axes, *place, **look)

    monkeypatch.setattr(Axes, "text", counted)
    axis = np.linspace(-1, 1, 145)
    panel = panel_of(
        lambda a, b: 1 + np.cos(24 * np.pi * a) * np.cos(24 * np.pi * b),
        alpha=axis,
        beta=axis,
        levels=[1.8, 1.9],
        kind="linear",
    )
    assert not labels_drawn(PICTURES["contour"](panel))
    assert len(made) < 10


def test_labels_are_inside_the_frame_and_apart(panel_of):
    axis = np.linspace(-1, 1, 21)
    panel = panel_of(lambda a, b: 0.001 + 20 * (a * a + b * b) ** 2, axis, axis)
    figure = PICTURES["contour"](panel)
    boxes = [text.get_window_extent() for text in labels_drawn(figure)]
    frame = main_axes(figure).get_window_extent()
    assert len(boxes) >= 5
    assert all(frame.contains(*corner) for box in boxes for corner in box.corners())
    pairs = [(a, b) for a in range(len(boxes)) for b in range(a)]
    assert not any(boxes[a].overlaps(boxes[b]) for a, b in pairs)


HARD = {
    "constant": lambda a, b: 2.5,
    "zero": lambda a, b: 0.0,
    "tiny": lambda a, b: 1e-8 * (2 + a),
    "huge": lambda a, b: 1e30 * (2 + a) * (b + 3),
    "both": lambda a, b: 10 ** (-8 + 19 * (a + 1)) if b < 0.4 else 1.0,
    "negative": lambda a, b: -1.0 - a,
    "signs": lambda a, b: a * 10 ** (6 * abs(a)),
    "not finite": lambda a, b: np.nan,
    "infinite": lambda a, b: np.inf if b > 0 else a,
    "checkered": lambda a, b: np.nan if round(2 * a + 4 * b) % 2 else a + b,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", HARD)
def test_hard_values_give_a_picture_with_nothing_cut(panel_of, tmp_path, kind, name):
    pixels = written(PICTURES[kind](panel_of(HARD[name])), tmp_path)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.std() > 5


SHAPES = {
    "2 x 3": ([-1, 0], [-1, 0, 1], None),
    "2 x 2": ([0, 1], [0, 1], None),
    "falling": ([1, 0, -1], [0, 1], None),
    "one of many": (ALPHA, BETA, [10]),
    "in a row": (ALPHA, BETA, [0, 1, 2]),
    "three": (ALPHA, BETA, [0, 4, 30]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", SHAPES)
def test_hard_shapes_give_a_picture_with_nothing_cut(panel_of, tmp_path, kind, name, finite):
    alpha, beta, points = SHAPES[name]
    done = None
    if points:
        done = np.zeros(len(alpha) * len(beta))
        done[points] = 1
    panel = panel_of(lambda a, b: 1 + a + b if finite else np.nan, alpha, beta, done)
    pixels = written(PICTURES[kind](panel), tmp_path)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.std() > 5


def test_the_map_of_colours_reaches_the_picture(panel_of, tmp_path):
    pixels = written(PICTURES["heatmap"](panel_of(tilted)), tmp_path)
    for end in (0.0, 1.0):
        wanted = 255 * np.array(color_map()(end)[:3])
        assert np.abs(pixels - wanted).max(axis=2).min() < 2


def test_log_asked_for_says_what_it_cannot_show(panel_of):
    panel = panel_of(lambda a, b: a, kind="log")
    text = "train_loss zero or negative: 15 points, drawn as the smallest"
    assert text in legend_texts(PICTURES["filled"](panel))
    assert "zero or negative, drawn as 0.5: 15" in summarize(panel)
    assert np.isfinite(panel.heights).all()


def test_symmetric_log_says_where_it_is_linear(panel_of):
    panel = panel_of(lambda a, b: a**3 * 1e3, kind="symlog")
    figure = PICTURES["filled"](panel)
    assert "linear from -100 to 100, logarithmic beyond" in legend_texts(figure)
    ticks = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert {"-1000", "-100", "0", "100", "1000"} <= set(ticks)


def test_summary_gives_range_center_and_what_is_missing(panel_of):
    done = np.ones((7, 5))
    done[0] = 0
    panel = panel_of(lambda a, b: np.inf if a > 1.9 else a * a + b, done=done)
    assert summarize(panel) == (
        "train_loss: 30 of 35 points; min -0.5 at (0, -0.5); max 2.75 at (1.5, 0.5); "
        "center 0; not finite: 5"
    )
    assert summarize(panel_of(tilted, alpha=[1, 2])).endswith("center is not a grid point")
    done[2, 2] = 0
    assert "center is not computed" in summarize(panel_of(tilted, done=done))
    far = panel_of(
        lambda a, b: 5 + 1e-6 * (a - 0.5), alpha=np.linspace(0.5, 0.50001, 6), beta=[-3, -2.999999]
    )
    assert summarize(far) == (
        "train_loss: 12 of 12 points; min 5 at (0.5, -3); max 5.00000000001 at (0.50001, -3); "
        "center is not a grid point"
    )
    assert summarize(panel_of(lambda a, b: np.nan)) == (
        "train_loss: 35 of 35 points; not finite: 35"
    )


def test_text_of_the_user_is_not_read_as_mathematics(tmp_path):
    path = tmp_path / "odd$name.h5"
    attributes = {"model": "a_$b^{", "data": "x" * 200}
    values = {"train_loss": surface_files.plane(ALPHA, BETA, tilted)}
    surface_files.write_surface(path, ALPHA, BETA, values, attributes=attributes)
    figure = PICTURES["filled"](make_panel(read_surface(path), "train_loss"))
    assert main_axes(figure).get_title().startswith(r"a_\$b^{,")
    assert written(figure, tmp_path).std() > 5


def test_the_users_matplotlibrc_does_not_show(panel_of, tmp_path):
    import matplotlib

    figures = {}
    for size in (4.0, 30.0):
        path = tmp_path / f"{size}.png"
        with matplotlib.rc_context({"font.size": size, "axes.titlesize": size}):
            write_figure(lambda: PICTURES["filled"](panel_of(tilted)), path, dpi=60)
        figures[size] = path.read_bytes()
    assert figures[4.0] == figures[30.0]


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_vector_pictures_are_the_same_file_each_time(panel_of, tmp_path, suffix):
    files = [tmp_path / f"{k}.{suffix}" for k in (1, 2)]
    for path in files:
        write_figure(lambda: PICTURES["contour"](panel_of(tilted)), path, dpi=60)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_picture_that_cannot_be_written(panel_of, tmp_path):
    with pytest.raises(InputError, match=r"cannot be written \(No such file"):
        write_figure(
            lambda: PICTURES["filled"](panel_of(tilted)), tmp_path / "no" / "a.png", dpi=60
        )


@pytest.fixture
def line(tmp_path):
    def make(values, alpha=ALPHA, beta=(0.0,), done=None):
        path = tmp_path / "line.h5"
        surface_files.write_surface(path, alpha, beta, values, done=done)
        return make_panels(read_surface(path), None)

    return make


def test_line_has_losses_and_errors_on_two_axes(line):
    square = ALPHA**2
    (picture,) = plan_pictures(
        line(
            {
                "train_loss": square + 1,
                "train_error": 10 + square,
                "test_loss": square + 2,
                "test_error": 20 + square,
            }
        ),
        kinds=["filled"],
    )
    assert picture.path.name == "line_line.png"
    left, _, right = picture.draw().axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss (nat)", "error (%)")
    drawn = {entry.get_label(): entry for axes in (left, right) for entry in axes.lines}
    train = drawn["mean loss over the training set"]
    test = drawn["misclassified share of the test set"]
    assert train.get_linestyle() == "-"
    assert test.get_linestyle() == "--"
    np.testing.assert_array_equal(train.get_ydata(), square + 1)
    np.testing.assert_array_equal(test.get_ydata(), square + 20)
    np.testing.assert_array_equal(test.get_xdata(), ALPHA)


def test_line_breaks_where_not_finite_and_joins_over_what_is_to_come(line):
    values = np.array([5.0, np.nan, 3.0, 2.0, 1.0, 2.0, 3.0])
    done = np.array([1, 1, 1, 0, 1, 1, 1])
    (picture,) = plan_pictures(line({"train_loss": values}, done=done), kinds=[])
    figure = picture.draw()
    drawn = figure.axes[0].lines[0]
    assert drawn.get_xdata().tolist() == [-1.0, -0.5, 0.0, 1.0, 1.5, 2.0]
    np.testing.assert_array_equal(drawn.get_ydata(), [5, np.nan, 3, 1, 2, 3])
    assert "not finite: 1 point" in legend_texts(figure)
    assert figure.axes[0].get_title().endswith("6 of 7 points")


def test_line_other_quantities_have_their_own_picture(line):
    pictures = plan_pictures(
        line({"train_loss": ALPHA, "hessian_min": -ALPHA}), kinds=[], suffix="svg"
    )
    names = [picture.path.name for picture in pictures]
    assert names == ["line_line.svg", "line_hessian_min_line.svg"]
    label = pictures[1].draw().axes[0].get_ylabel()
    assert label.replace("\n", " ") == "smallest eigenvalue of the Hessian of the training loss"


def test_line_along_beta(line):
    values = {"train_loss": np.arange(3.0)}
    (picture,) = plan_pictures(line(values, [0.0], [-1.0, 0.0, 1.0]), kinds=[])
    axes = picture.draw().axes[0]
    assert axes.get_xlabel().startswith(r"$\beta$")
    assert axes.lines[0].get_xdata().tolist() == [-1.0, 0.0, 1.0]


def test_line_scale_is_log_where_the_range_asks(line):
    (picture,) = plan_pictures(line({"train_loss": 10.0 ** np.arange(7)}), kinds=[])
    axes = picture.draw().axes[0]
    assert axes.get_yscale() == "log"
    assert len(axes.get_yticklabels()) > 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", HARD.values(), ids=HARD)
@pytest.mark.parametrize("alpha", [ALPHA, [0.0]], ids=["line", "point"])
def test_line_of_hard_values_has_nothing_cut(line, tmp_path, function, alpha):
    values = surface_files.plane(alpha, [0.0], function)
    error = surface_files.plane(alpha, [0.0], lambda a, b: 50.0)
    panels = line({"train_loss": values, "train_error": error}, alpha)
    (picture,) = plan_pictures(panels, kinds=[])
    pixels = written(picture.draw(), tmp_path)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.std() > 5


def test_plan_names_files_by_stem_quantity_and_kind(panel_of, tmp_path):
    panel = panel_of(tilted)
    names = [p.path for p in plan_pictures([panel], kinds=["contour", "surface"])]
    assert names == [tmp_path / f"net_train_loss_{kind}.png" for kind in ("contour", "surface")]
    (there,) = plan_pictures([panel], kinds=["filled"], out_dir=tmp_path / "d", suffix="pdf")
    assert there.path == tmp_path / "d" / "net_train_loss_filled.pdf"


def test_two_pictures_of_one_name(panel_of):
    plan = plan_pictures([panel_of(tilted)], kinds=["filled"])
    with pytest.raises(InputError, match=r"net_train_loss_filled.png: two of the files"):
        check_distinct(picture.path for picture in plan * 2)


def test_quantities_that_are_not_there(panel_of):
    surface = panel_of(tilted).surface
    with pytest.raises(InputError, match=r"--quantity: 'train_los' .* Did you mean train_loss"):
        make_panels(surface, ["train_los"])


def test_quantity_without_a_point(tmp_path):
    reference = surface_files.write_reference(
        tmp_path / "r.h5", [0.0, 1.0], [0.0, 1.0], lambda a, b: (1.0, -1.0)
    )
    surface = read_surface(reference)
    assert [panel.name for panel in make_panels(surface, None)] == ["train_loss"]
    with pytest.raises(InputError, match="0 of 4 points of train_error are computed"):
        make_panels(surface, ["train_error"])


def test_the_loss_beside_the_ratio_of_the_eigenvalues(tmp_path, monkeypatch):
    extra = {"hessian_max": ("nat", "largest eigenvalue")}
    monkeypatch.setattr(surface_files, "EXTRA", surface_files.EXTRA | extra)
    axis = np.linspace(-1, 1, 5)
    loss = surface_files.plane(axis, axis, lambda a, b: 1 + a * a + b * b)
    values = {"train_loss": loss, "hessian_min": -0.5 * loss, "hessian_max": 2 * np.ones((5, 5))}
    path = surface_files.write_surface(tmp_path / "s.h5", axis, axis, values)
    panels = make_panels(read_surface(path), None)
    picture = plan_pictures(panels, kinds=[])[0]
    assert picture.path == tmp_path / "s_curvature.png"
    figure = picture.draw()
    left, right = (axes for axes in figure.axes if axes.get_xlabel())
    assert left.get_position().x1 < right.get_position().x0
    (image,) = right.collections
    np.testing.assert_allclose(image.get_array().data, 0.25 * loss.T)


def steep(a, b):
    return 100.0 ** (a + 1)  # from 1 to a million


@pytest.mark.parametrize("kind", ["contour", "filled", "heatmap"])
def test_colors_tell_given_levels_apart_far_below_the_largest_value(kind, panel_of):
    levels = [2.0, 4.0, 6.0, 8.0, 10.0]
    figure = PICTURES[kind](panel_of(steep, kind="linear", levels=levels))
    figure.draw_without_rendering()
    bar = figure.axes[1]
    labels = [text.get_text() for text in bar.get_yticklabels()]
    assert labels[-5:] == ["2", "4", "6", "8", "10"]
    assert bar.get_ylim() == (2.0, 10.0)
    assert bar._colorbar.extend == "both"
    colored = next(c for c in main_axes(figure).collections if c.get_array() is not None)
    assert (colored.norm.vmin, colored.norm.vmax) == (2.0, 10.0)


def test_in_space_the_heights_beyond_given_levels_are_seen(panel_of):
    given = PICTURES["surface"](panel_of(steep, kind="linear", levels=[2.0, 4.0, 6.0]))
    usual = PICTURES["surface"](panel_of(steep, kind="linear"))
    ticks = [main_axes(figure).get_zticks().tolist() for figure in (given, usual)]
    assert ticks[0] == ticks[1]
    assert main_axes(given).get_zlim() == main_axes(usual).get_zlim()


def test_labels_of_uneven_levels_do_not_lie_on_one_another(panel_of):
    levels = [2.0, 3.0, 4.0, 5.0, 600_000.0, 900_000.0]
    figure = PICTURES["contour"](panel_of(steep, kind="linear", levels=levels))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[1].get_yticklabels()]
    assert len(boxes) == 3
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("npz:/scratch/me/cifar10.npz", "cifar10.npz"),
        ("npz:cifar10.npz", "cifar10.npz"),
        ("folder:/scratch/imagenet/", "imagenet"),
        ("folder:.", "folder:."),
        ("cifar10", "cifar10"),
        ("my.package:data", "my.package:data"),
    ],
)
def test_the_title_names_the_file_of_the_data_without_its_folder(data, name, panel_of):
    panel = panel_of(tilted)
    panel.surface.attributes.update(model="resnet20", data=data)
    assert main_axes(PICTURES["contour"](panel)).get_title() == f"resnet20, {name}"


def chaos(a, b):
    return 0.05 + 40 * a * a * (1 + np.cos(20 * b))  # nat


def as_cross_entropy(panel_of, function, **options):
    """Return the panel of a loss whose file says that it is the cross-entropy of 10 classes."""
    known = replace(panel_of(function).surface, attributes={"n_classes": 10})
    return make_panel(known, "train_loss", ScaleRequest(**options))


@pytest.mark.parametrize("kind", ["contour", "filled", "heatmap"])
def test_the_colours_of_a_cross_entropy_end_at_10_nat_and_the_picture_says_what_is_beyond(
    panel_of, kind
):
    panel = as_cross_entropy(panel_of, chaos)
    figure = PICTURES[kind](panel)
    figure.draw_without_rendering()
    bar = figure.axes[1]
    assert (bar.get_ylim(), bar._colorbar.extend) == ((0.0, 10.0), "max")
    values = panel.surface.values["train_loss"]
    share = round(100 * (values > 10).mean())
    words = f"{share} % of the plane is above 10 nat, up to {values.max():.0f}"
    assert words in legend_texts(figure)
    labels = [text.get_text() for text in bar.get_yticklabels()]
    assert labels[0] == "0"
    assert labels[-9:] == [str(k) for k in range(2, 11)]


def test_options_override_the_scale_of_a_cross_entropy(panel_of):
    def scale_of(**options):
        return as_cross_entropy(panel_of, chaos, **options).scale

    assert (scale_of(kind="log").kind, scale_of(kind="log").clipped) == ("log", None)
    assert scale_of(kind="linear").clipped is None
    assert scale_of(ends=(None, 5.0)).clipped == (0.0, 5.0)
    assert scale_of(ends=(0.5, None)).clipped == (0.5, 10.0)
    assert scale_of(ends=(20.0, None)).clipped[0] == 20.0
    assert scale_of(ends=(0.5, 5.0), kind="log").clipped == (0.5, 5.0)
    assert scale_of(levels=[1.0, 2.0, 30.0]).clipped == (1.0, 30.0)
    assert scale_of(levels=5).levels.tolist() == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("kind", ["contour", "filled"])
def test_a_plane_between_few_of_the_usual_lines_has_others(panel_of, kind):
    panel = as_cross_entropy(panel_of, lambda a, b: 2.2 + 0.1 * (a * a + b * b))
    figure = PICTURES[kind](panel)
    assert panel.scale.clipped == (0.0, 10.0)
    inside = panel.scale.levels[panel.scale.levels < panel.values.max()]
    assert len(inside[inside > 2.2]) >= 3
    assert len(contour_lines(figure)) >= 3
    bar = figure.axes[1]
    assert bar._colorbar.extend == "neither"  # nothing lies beyond


def test_a_basin_far_below_guessing_has_the_colours_of_its_values(panel_of):
    scale = as_cross_entropy(panel_of, lambda a, b: 0.001 + 0.01 * (a * a + b * b)).scale
    assert (scale.kind, scale.clipped) == ("log", None)


@pytest.mark.parametrize("kind", PLANES)
def test_a_loss_that_diverges_unfinished_and_not_a_number(panel_of, tmp_path, kind):
    done = np.ones((7, 5), bool)
    done[0] = False
    function = lambda a, b: 1e36 if a > 1 else np.nan if b > 0.4 else 1 + a * a  # noqa: E731
    surface = panel_of(function, done=done).surface
    panel = make_panel(replace(surface, attributes={"n_classes": 10}), "train_loss")
    assert panel.scale.clipped == (0.0, 10.0)
    pixels = written(figure := PICTURES[kind](panel), tmp_path)
    if kind != "surface":
        assert any("above 10 nat, up to 1e+36" in text for text in legend_texts(figure))
    assert np.ptp(pixels) > 100


@pytest.mark.parametrize("kind", ["contour", "heatmap"])
def test_the_share_beyond_is_the_area_that_a_heat_map_shows(tmp_path, kind):
    """Cells along alpha are 6, 3.5, 1 and 1 wide, and the first is low."""
    alpha, beta = [0.0, 6.0, 7.0, 8.0], [-1.0, 0.0, 5.0]
    loss = surface_files.plane(alpha, beta, lambda a, b: 50.0 if a > 1 else 1.0)
    known = {"model": "net", "n_classes": 10}
    path = surface_files.write_surface(
        tmp_path / "s.h5", alpha, beta, {"train_loss": loss}, attributes=known
    )
    figure = PICTURES[kind](make_panel(read_surface(path), "train_loss"))
    share = (3.5 + 1 + 1) / (6 + 3.5 + 1 + 1)
    assert f"{100 * share:.0f} % of the plane is above 10 nat, up to 50" in legend_texts(figure)


def test_what_is_not_computed_is_no_part_of_the_share(panel_of):
    def high_below(a, b):
        return 50.0 if b < 0 else 1.0

    whole = panel_of(high_below).surface
    below = np.broadcast_to(whole.beta < 0, whole.shape)
    surface = panel_of(high_below, done=below).surface
    panel = make_panel(replace(surface, attributes={"n_classes": 10}), "train_loss")
    panel = replace(panel, scale=as_cross_entropy(panel_of, chaos).scale)
    assert any(
        text.startswith("100 % of what is computed is above 10 nat")
        for text in legend_texts(PICTURES["heatmap"](panel))
    )


def test_infinite_values_lie_beyond_and_the_note_names_no_value_that_does_not(panel_of):
    function = lambda a, b: np.inf if a > 1 else 1 + a * a  # noqa: E731
    surface = panel_of(function).surface
    panel = make_panel(replace(surface, attributes={"n_classes": 10}), "train_loss")
    (words,) = [text for text in legend_texts(PICTURES["filled"](panel)) if "above" in text]
    share = round(100 * np.isinf(panel.values).mean())
    assert words == f"{share} % of the plane is above 10 nat"


def test_a_constant_has_round_numbers_on_its_bar(panel_of):
    for options in ({}, {"kind": "log"}):
        figure = PICTURES["filled"](panel_of(lambda a, b: 2.302585093, **options))
        figure.draw_without_rendering()
        labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
        assert len(labels) >= 2
        assert all(len(label) <= 4 for label in labels)


def test_the_line_of_a_cross_entropy_ends_at_10_nat(line):
    panels = line(
        {"train_loss": np.linspace(-3, 3, 31) ** 4, "train_error": np.arange(31)},
        np.linspace(-1, 1, 31),
    )
    surface = replace(panels[0].surface, attributes={"n_classes": 10})
    panels = make_panels(surface, None)
    (picture,) = plan_pictures(panels, kinds=[])
    figure = picture.draw()
    loss, error = (axes for axes in figure.axes if axes.get_ylabel())
    assert loss.get_yscale() == "linear"
    assert loss.get_ylim()[1] == 10
    assert -1 < loss.get_ylim()[0] <= 0
    assert error.get_ylim()[1] > 30
    above = round(100 * (np.linspace(-3, 3, 31) ** 4 > 10).mean())
    words = f"train loss: {above} % of the line is above 10 nat, up to 81"
    assert words in legend_texts(figure)
