"""The picture of medians over the distance from the center, alone and of several surfaces.

Oracle: on a circle of radius r, 0.1 + 2 alpha^2 + 6 beta^2 has the median 0.1 + 4 r^2, and 5 % of
the directions are below 0.1 + (4 - 2 cos 9 degrees) r^2. What is drawn is read from the artists.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import surface_files
from csv_rows import rows_of
from matplotlib.figure import Figure
from test_edge_figures import check, check_texts_are_apart

import landscape_mpi
from landscape_mpi import plot
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.compare import make_shared_panels
from landscape_mpi.views.curve_colors import COLORS
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.ring import RING, join_rings

AXIS = np.linspace(-1.0, 1.0, 51)
OUTER = math.cos(0.05 * math.pi)
GUESSING = math.log(4)


def bowl(a, b):
    return 0.1 + 2 * a * a + 6 * b * b


@pytest.fixture
def write(tmp_path):
    def make(name, function, alpha=AXIS, beta=AXIS, *, model=None, classes=4, **options):
        known = {"model": model or name, "data": "digits"} | (
            {"n_classes": classes} if classes else {}
        )
        values = {"train_loss": surface_files.plane(alpha, beta, function)}
        path = tmp_path / f"{name}.h5"
        return surface_files.write_surface(path, alpha, beta, values, attributes=known, **options)

    return make


@pytest.fixture
def panels_of():
    def make(*paths, kind="linear", **options):
        surfaces = [read_surface(path) for path in paths]
        return make_shared_panels(surfaces, None, ScaleRequest(kind, **options))[0]

    return make


def legend(figure):
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def medians(axes):
    """Return the lines of medians: those that are not of guessing, its marks, or edges of bands."""
    return [line for line in axes.lines if line.get_linewidth() == 1.6]


def dotted(axes):
    return [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.0]


def marks(axes):
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


def test_a_center_above_guessing_has_no_mark_off_its_median(write, panels_of):
    figure = RING(panels_of(write("high", lambda a, b: 2.0 + bowl(a, b)))[0])
    (axes,) = (each for each in figure.axes if each.get_visible())
    assert dotted(axes) == [pytest.approx(GUESSING)]
    assert marks(axes) == []


def test_a_center_that_linspace_misses_by_rounding_is_the_center(panels_of, tmp_path):
    axis = np.linspace(-1e6, 1e6, 15)
    assert axis[7] != 0
    values = surface_files.plane(axis, axis, lambda a, b: bowl(a / 1e6, b / 1e6))
    loss = {"train_loss": values}
    path = surface_files.write_surface(tmp_path / "large.h5", axis, axis, loss)
    figure = RING(panels_of(path)[0])
    (axes,) = (each for each in figure.axes if each.get_visible())
    assert axes.get_xlabel() == "distance from the center"


def test_median_band_and_guessing_of_one_surface(write, panels_of):
    figure = RING(panels_of(write("net", bowl))[0])
    (axes,) = (each for each in figure.axes if each.get_visible())
    assert axes.get_title() == "net, digits"
    assert axes.get_xlabel() == "distance from the center"
    assert axes.get_ylabel() == "mean loss over the training set (nat)"
    (median,) = medians(axes)
    radius = median.get_xdata()
    np.testing.assert_allclose(radius, np.linspace(0, 1, 51))
    np.testing.assert_allclose(median.get_ydata(), 0.1 + 4 * radius**2, atol=5e-3)
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    for side, sign in ((corners[:, 1].min(), 0), (corners[:, 1].max(), 1)):
        wanted = 0.1 + (4 + 2 * OUTER) * sign
        assert side == pytest.approx(wanted, abs=0.02)
    at_end = corners[np.isclose(corners[:, 0], 1.0), 1]
    assert at_end.min() == pytest.approx(0.1 + 4 - 2 * OUTER, abs=0.02)
    assert dotted(axes) == [pytest.approx(GUESSING)]
    (reached,) = marks(axes)
    assert reached == pytest.approx((math.sqrt((GUESSING - 0.1) / 4), GUESSING), abs=2e-3)
    assert axes.get_xlim() == (0.0, 1.0)
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_ylim()[1] == pytest.approx(0.1 + 4 + 2 * OUTER, rel=0.06)
    assert legend(figure) == [
        "median over the directions",
        "5 to 95 % of the directions",
        "guessing: 1.39 nat",
    ]


def test_several_surfaces_stand_in_one_pair_of_axes(write, panels_of):
    done = np.ones((51, 51))
    done[0, 0] = 0
    paths = [write("deep", bowl), write("flat", lambda a, b: bowl(a, b) / 2, done=done)]
    paths.append(write("wide", bowl, 2 * AXIS, 2 * AXIS))
    figure = join_rings(panels_of(*paths)).draw()
    (axes,) = (each for each in figure.axes if each.get_visible())
    assert axes.get_title() == ""
    assert [line.get_color() for line in medians(axes)] == list(COLORS[:3])
    for line, factor in zip(medians(axes), (1.0, 0.5, 1.0), strict=True):
        radius = line.get_xdata()
        np.testing.assert_allclose(line.get_ydata(), factor * (0.1 + 4 * radius**2), atol=0.02)
    assert axes.get_xlim() == (0.0, 2.0)
    assert len(axes.collections) == 3
    assert [place for place, _ in marks(axes)] == pytest.approx(
        [math.sqrt((GUESSING / factor - 0.1) / 4) for factor in (1.0, 0.5, 1.0)], abs=0.01
    )
    assert legend(figure) == [
        *("deep", "flat, 2600 of 2601 points", "wide"),
        *("5 to 95 % of the directions", "guessing: 1.39 nat"),
    ]
    assert len({round(level, 9) for level in dotted(axes)}) == 1


def test_files_of_one_network_are_named_by_their_files(write, panels_of):
    figure = join_rings(panels_of(*(write(name, bowl, model="net") for name in "ab"))).draw()
    assert legend(figure)[:2] == ["a", "b"]


@pytest.mark.parametrize("low", [0.0, 0.1, 1.0])
def test_the_axis_ends_where_the_colours_end_and_says_what_is_beyond(write, panels_of, low):
    """The values go from 0.1 to 200, and those of circles up to 100.1."""
    (panel,) = panels_of(write("steep", lambda a, b: 0.1 + 100.0 * (a * a + b * b)))
    figure = RING(replace(panel, scale=replace(panel.scale, clipped=(low, 4.0))))
    assert figure.axes[0].get_ylim() == (low if low == 1.0 else 0.0, 4.0)
    assert "beyond the axis: up to 100 nat" in legend(figure)
    whole = RING(panel)
    assert whole.axes[0].get_ylim()[1] > 100
    assert not any("beyond" in text for text in legend(whole))


def test_given_levels_end_the_axis_too(write, panels_of):
    path = write("steep", lambda a, b: 0.1 + 100.0 * (a * a + b * b))
    figure = RING(panels_of(path, levels=[1.0, 2.0, 3.0, 4.0])[0])
    assert figure.axes[0].get_ylim()[1] == 4.0


def test_guessing_is_left_out_where_all_values_are_far_below(write, panels_of):
    figure = RING(panels_of(write("small", lambda a, b: bowl(a, b) / 100))[0])
    assert dotted(figure.axes[0]) == []
    assert marks(figure.axes[0]) == []
    assert figure.axes[0].get_ylim()[1] < 0.1
    nothing_known = RING(panels_of(write("other", bowl, classes=None))[0])
    assert dotted(nothing_known.axes[0]) == []


def test_the_axis_is_logarithmic_where_the_scale_is(write, panels_of):
    path = write("steep", lambda a, b: math.exp(12 * math.hypot(a, b)))
    figure = RING(make_panel(read_surface(path), "train_loss"))
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    (median,) = medians(axes)
    np.testing.assert_allclose(
        np.log(median.get_ydata())[5:], 12 * median.get_xdata()[5:], atol=0.2
    )
    low, high = axes.get_ylim()
    assert 0.2 < low <= 1.0
    assert math.exp(12) <= high < 5 * math.exp(12)
    signs = write("signs", lambda a, b: 1e4 * a * a * a)
    assert RING(panels_of(signs, kind="symlog")[0]).axes[0].get_yscale() == "function"


def test_labels_of_a_logarithmic_axis_are_powers_of_ten_where_few_fit(write, panels_of):
    path = write("net", lambda a, b: 8e-5 + 900 * (a * a + b * b) ** 2, classes=None)
    (axes,) = (each for each in RING(panels_of(path, kind="log")[0]).axes if each.get_visible())
    exponents = np.log10(axes.get_yticks())
    np.testing.assert_allclose(exponents, np.round(exponents), atol=1e-9)
    assert len(exponents) > 3


@pytest.mark.parametrize(("rise", "ticks"), [(0.0, 2), (10.0, 3)])
def test_losses_of_1e36_are_not_pressed_together_by_guessing(write, panels_of, rise, ticks):
    path = write("lost", lambda a, b: 1e36 * (1 + rise * (a * a + b * b)))
    figure = RING.join(panels_of(path, kind="log")).draw()
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    (median,) = (line for line in axes.lines if len(line.get_xdata()) > 2)
    drawn = np.log10(median.get_ydata() / low) / np.log10(high / low)
    assert np.ptp(drawn) > 0.9 if rise else np.allclose(drawn, drawn[0], atol=1e-6)
    assert 0.02 < drawn.min() < 0.6
    texts = [text.get_text() for text in axes.get_yticklabels()]
    assert len(texts) >= ticks
    assert max(map(len, texts)) < 20
    assert not any("guessing" in text for text in legend(figure))


def test_a_hole_interrupts_the_curve_and_is_told(write, panels_of):
    path = write(
        "net", lambda a, b: math.inf if (round(a, 3), round(b, 3)) == (0.6, 0.0) else bowl(a, b)
    )
    figure = RING(panels_of(path)[0])
    (median,) = medians(figure.axes[0])
    gap = np.isnan(median.get_ydata())
    assert gap.any()
    assert ((median.get_xdata()[gap] > 0.55) & (median.get_xdata()[gap] < 0.65)).all()
    assert legend(figure)[-2:] == [
        "not finite: 1 point",
        "circles beside missing values are left out",
    ]


@pytest.mark.parametrize(
    ("function", "axis", "words"),
    [
        (
            lambda a, b: math.nan,
            AXIS,
            "points without a finite value lie beside every circle around",
        ),
        (bowl, AXIS + 1.0, "no circle lies within the plane around the center"),
        (
            bowl,
            AXIS + 2.0,
            "no circle lies within the plane around (1, 0), the point nearest to (0",
        ),
    ],
)
def test_without_a_circle_it_says_why(write, panels_of, function, axis, words):
    figure = RING(panels_of(write("net", function, axis))[0])
    (text,) = figure.axes[0].texts
    assert text.get_text().replace("\n", " ").startswith(words)


def test_around_another_point_than_0_the_axis_says_which(write, panels_of):
    figure = RING(panels_of(write("net", bowl, AXIS + 0.013, AXIS[:-1]))[0])
    label = figure.axes[0].get_xlabel().replace("\n", " ")
    assert label == "distance from (0.013, 0), the point nearest to (0, 0)"
    assert figure.axes[0].get_xlim() == (0.0, pytest.approx(0.96))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("columns", [None, 1, 2])
def test_hard_values_beside_one_another_and_no_text_on_another(write, panels_of, tmp_path, columns):
    done = np.zeros((51, 51))
    done[::10, ::10] = 1
    paths = [
        write("a_bowl", bowl),
        write("negative", lambda a, b: -bowl(a, b)),
        write("huge", lambda a, b: 1e36 * bowl(a, b)),
        write("constant", lambda a, b: 2.5),
        write("begun", bowl, done=done),
        write("nan", lambda a, b: math.nan),
        write("a_network_of_a_long_name_with_shortcuts", lambda a, b: 3 * bowl(a, b)),
    ]
    for chosen in (paths, paths[:1] + paths[-1:]):
        for kind in ("linear", None):
            joint = join_rings(panels_of(*chosen, kind=kind))
            check_texts_are_apart(check(joint.draw, tmp_path, columns=columns))


def test_the_command_writes_picture_and_numbers_of_all_files(write, tmp_path, capsys):
    paths = [write("deep", bowl), write("flat", lambda a, b: bowl(a, b) / 2)]
    out = tmp_path / "out"
    options = ["--compare", "--kind=ring", "--columns=1", "--dpi=60", f"--out-dir={out}"]
    assert plot.main([*map(str, paths), *options]) == 0
    names = ["deep_and_flat_train_loss_ring" + end for end in (".csv", ".png", "_numbers.csv")]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    circles, numbers = rows_of(out / names[0]), rows_of(out / names[2])
    assert [row["surface"] for row in numbers] == list(map(str, paths))
    for row, factor in zip(numbers, (1.0, 0.5), strict=True):
        reached = math.sqrt((GUESSING / factor - 0.1) / 4)
        assert float(row["radius_of_guessing"]) == pytest.approx(reached, abs=2e-3)
        for column, bend in (
            ("percentile_5", -2 * OUTER),
            ("median", 0),
            ("percentile_95", 2 * OUTER),
        ):
            wanted = factor * (0.1 + (4 + bend) / 4)
            assert float(row[f"{column}_at_0.5"]) == pytest.approx(wanted, abs=6e-3)
    assert len(circles) == 2 * 51
    printed = capsys.readouterr().out.splitlines()
    assert printed[2].startswith(
        f"{paths[0]}: train_loss: on circles around the center, the median"
    )
    assert printed[-3:] == [str(out / names[1]), str(out / names[0]), str(out / names[2])]


def test_lines_have_no_circles(write, tmp_path):
    assert plot.main([str(write("line", bowl, AXIS, [0.0])), "--dpi=30"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.h5", "line_line.png"]
    line = landscape_mpi.open_surface(tmp_path / "line.h5")
    with pytest.raises(InputError, match=r"plot\('ring'\) needs a plane, but this is a line"):
        line.plot("ring", ax=Figure().subplots())


def test_one_column_is_for_the_ring_alone(write):
    words = [str(write("a", bowl)), str(write("b", bowl)), "--compare", "--columns=1"]
    text = (
        "Pass --columns 2, or for planes --kind ring, which draws all of them in one pair of axes"
    )
    with pytest.raises(InputError, match=text):
        plot.main([*words, "--kind=ring,contour"])
    lines = [str(write(name, bowl, AXIS, [0.0])) for name in "cd"]
    with pytest.raises(InputError, match=text):
        plot.main([*lines, "--compare", "--columns=1", "--kind=ring"])


def test_a_file_of_the_reference_program_that_is_not_complete(tmp_path):
    path = tmp_path / "theirs.h5"
    missing = {51 * 25 + 40}  # the point (0.6, 0)
    surface_files.write_reference(
        path, AXIS, AXIS, lambda a, b: (bowl(a, b), 50.0), missing=missing
    )
    assert plot.main([str(path), "--kind=ring", "--quantity=train_loss", "--dpi=30"]) == 0
    radius = np.array(
        [float(r["radius"]) for r in rows_of(tmp_path / "theirs_train_loss_ring.csv")]
    )
    assert not ((radius > 0.565) & (radius < 0.635)).any()
    assert radius[-1] == 1.0
    (numbers,) = rows_of(tmp_path / "theirs_train_loss_ring_numbers.csv")
    assert float(numbers["guessing"]) == pytest.approx(math.log(10))
    assert numbers["radius_of_guessing"] == ""  # behind the circles that are left out


@pytest.mark.parametrize("layout", ["constrained", None])
def test_in_the_users_own_axes(write, layout):
    surface = landscape_mpi.open_surface(write("net", bowl))
    figure = Figure(figsize=(8, 3.5), layout=layout)
    left, right = figure.subplots(1, 2)
    assert surface.plot("contour", ax=left) is left
    assert surface.plot("ring", ax=right, title="rings") is right
    assert right.get_title() == "rings"
    (median,) = medians(right)
    np.testing.assert_allclose(median.get_ydata(), surface.rings().median)
    figure.draw_without_rendering()
    whole = figure.bbox
    for axes in (left, right):
        place = axes.get_tightbbox()
        assert whole.x0 - 1 <= place.x0 <= place.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= place.y0 <= place.y1 <= whole.y1 + 1


def test_published_networks_are_told_apart(data_dir):
    """The network without shortcuts reaches guessing at a fifth of the distance of the other."""
    folder = data_dir / "li2018" / "surfaces"
    if not folder.exists():
        pytest.skip("LANDSCAPE_DATA has no li2018/surfaces")
    paths = [folder / f"{name}.h5" for name in ("resnet56", "resnet56_noshort_201")]
    panels = make_shared_panels(
        [read_surface(path) for path in paths], ["train_loss"], ScaleRequest("linear")
    )[0]
    (axes, *_) = join_rings(panels).draw().axes
    (bowl_at, _), (chaos_at, _) = marks(axes)
    assert chaos_at < 0.2 * bowl_at
