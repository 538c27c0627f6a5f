"""Oracle: closed forms whose contours are known, and pixels decoded by Pillow.

Two surfaces f and f / 10 have the same colour where they have the same value, and only there. A
picture for a column is as wide as the column: the pixels of the file over its dots per inch.
"""

import h5py
import numpy as np
import pytest
import surface_files
from matplotlib.collections import QuadMesh
from matplotlib.text import Text
from PIL import Image

from landscape_mpi import plot
from landscape_mpi.errors import InputError
from landscape_mpi.registry import COLOR_MAPS, PICTURES
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views import canvas
from landscape_mpi.views.canvas import line_colors, write_figure
from landscape_mpi.views.compare import (
    draw_grid,
    draw_lines,
    make_shared_panels,
    plan_comparison,
)
from landscape_mpi.views.grid import fit_heads
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.page import on_page, page_for
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.picture_kind import find_kind

AXIS = np.linspace(-1.0, 1.0, 9)
SHORT = np.linspace(-0.5, 0.5, 5)
PLANES = [kind for kind in PICTURES if find_kind(kind).join is None]  # side by side


def bowl(a, b):
    return 0.1 + 10 * a * a + b * b


@pytest.fixture
def write(tmp_path):
    def make(name, function, alpha=AXIS, beta=AXIS, model="net", **options):
        values = {"train_loss": surface_files.plane(alpha, beta, function)}
        attributes = {"model": model, "data": "digits"}
        path = tmp_path / f"{name}.h5"
        surface_files.write_surface(path, alpha, beta, values, attributes=attributes, **options)
        return path

    return make


@pytest.fixture
def two(write):
    return [write("deep", bowl, model="a"), write("flat", lambda a, b: bowl(a, b) / 10, model="b")]


def panels_of(paths, **options):
    return make_shared_panels(
        [read_surface(path) for path in paths], None, ScaleRequest(**options)
    )[0]


def planes(figure):
    return [axes for axes in figure.axes if axes.get_xlabel()]


@pytest.mark.parametrize("kind", PLANES)
def test_ranges_colours_and_the_one_colour_bar_are_shared(two, kind):
    figure = draw_grid(panels_of(two), kind)
    left, right = planes(figure)
    assert left.get_position().x1 < right.get_position().x0 + 1e-9
    assert (left.get_xlim(), left.get_ylim()) == (right.get_xlim(), right.get_ylim())
    assert [axes.get_title() for axes in (left, right)] == ["a, digits", "b, digits"]
    bars = [a for a in figure.axes if a not in (left, right) and a.get_visible()]
    assert [bar.get_ylabel().replace("\n", " ") for bar in bars] == [
        "mean loss over the training set (nat)"
    ]
    if kind == "surface":
        assert left.get_zlim() == right.get_zlim()
    else:
        colored = [
            next(c for c in axes.collections if c.get_array() is not None) for axes in (left, right)
        ]
        norms = [drawn.norm for drawn in colored]  # above filled contours lie grey lines
        assert len({(norm.vmin, norm.vmax) for norm in norms}) == 1


def test_the_same_level_is_where_both_have_the_same_value(two):
    """By hand: bowl = 1 at alpha = 0.3 on beta = 0, bowl / 10 = 1 at sqrt(0.99)."""
    figure = draw_grid(panels_of(two, levels=[1.0], kind="linear"), "contour")
    for axes, wanted in zip(planes(figure), (0.3, np.sqrt(0.99)), strict=True):
        (lines,) = [c for c in axes.collections if type(c).__name__.endswith("ContourSet")]
        (path,) = lines.get_paths()
        across = np.abs(path.vertices[np.abs(path.vertices[:, 1]) < 1e-9][:, 0])
        np.testing.assert_allclose(across, wanted, atol=0.05)  # linear in cells of 0.25


def test_each_surface_keeps_its_own_values_and_orientation(two):
    figure = draw_grid(panels_of(two, kind="linear"), "heatmap")
    for axes, factor in zip(planes(figure), (1.0, 0.1), strict=True):
        (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh)]
        corners = mesh.get_coordinates()
        middles = (corners[:-1, :-1] + corners[1:, 1:]) / 2
        wanted = factor * bowl(middles[..., 0], middles[..., 1])
        np.testing.assert_allclose(mesh.get_array(), wanted, atol=1e-12)


def test_another_range_is_framed_and_named(write):
    paths = [write("wide", bowl), write("narrow", bowl, SHORT, SHORT)]
    left, right = planes(draw_grid(panels_of(paths), "filled"))
    assert left.get_title() == "wide\nnet, digits"  # the titles alone would not tell them apart
    assert (right.get_xlim(), right.get_ylim()) == ((-1.0, 1.0), (-1.0, 1.0))
    assert not left.patches
    (border,) = right.patches
    assert border.get_bbox().extents.tolist() == [-0.5, -0.5, 0.5, 0.5]
    assert "nothing computed beyond" in [text.get_text() for text in right.texts]


@pytest.mark.parametrize("model", ["net", None])
def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, write, model):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    paths = [write(f"{folder}/net", bowl) for folder in "ab"]
    for path in paths if model is None else []:
        with h5py.File(path, "r+") as file:
            del file.attrs["model"], file.attrs["data"]
    figure = draw_grid(panels_of(paths), "contour")
    about = "" if model is None else "\nnet, digits"
    assert [axes.get_title() for axes in planes(figure)] == [f"a/net{about}", f"b/net{about}"]
    options = ["--compare", "--kind=heatmap", "--dpi=30", f"--out-dir={tmp_path / 'out'}"]
    assert plot.main([*map(str, paths), *options]) == 0
    (picture,) = (tmp_path / "out").iterdir()
    assert picture.name == "a_net_and_b_net_train_loss_heatmap.png"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", PLANES)
def test_a_surface_between_two_levels_partial_ones_and_nan(write, tmp_path, kind):
    done = np.zeros((9, 9))
    done[::4, ::4] = 1
    paths = [
        write("steep", lambda a, b: 10 ** (6 * a + 6)),
        write("level", lambda a, b: 2.5),
        write("part", bowl, done=done),
        write("none", lambda a, b: np.nan),
    ]
    path = tmp_path / "row.png"
    write_figure(lambda: draw_grid(panels_of(paths), kind), path, dpi=50)
    pixels = np.asarray(Image.open(path).convert("RGB"), float)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.std() > 5
    figure = draw_grid(panels_of(paths), kind)
    if kind == "contour":
        titled = [axes for axes in figure.axes if axes.get_title()]
        assert titled[1].texts[0].get_text() == "between two levels: 2.5 to 2.5"
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "d: not finite: 81 points" in legends


def test_lines_side_by_side_share_both_axes(write):
    paths = [write("a", bowl, beta=[0.0]), write("b", lambda a, b: 3 * a + 4, SHORT, [0.0])]
    rows = make_shared_panels([read_surface(path) for path in paths], None)
    (picture,) = plan_comparison(rows, kinds=["filled"])
    assert picture.path.name == "a_and_b_line.png"
    left, right = planes(picture.draw())
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    np.testing.assert_allclose(right.lines[0].get_ydata(), 3 * SHORT + 4)
    assert left.get_ylabel() == "loss (nat)"
    assert right.get_ylabel() == ""


def test_the_command_writes_one_picture_a_kind_for_all_files(two, tmp_path, capsys):
    out = tmp_path / "out"
    plot.main(
        [*map(str, two), "--compare", "--kind=filled,contour", "--dpi=40", f"--out-dir={out}"]
    )
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"deep_and_flat_train_loss_{kind}.png" for kind in ("contour", "filled")]
    assert "flat.h5: train_loss: 81 of 81 points; min 0.01" in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "inches"), [(1, 3.35), (2, 6.9)])
@pytest.mark.parametrize("kind", ["contour", "surface"])
def test_a_picture_is_as_wide_as_its_columns_and_not_cut(two, tmp_path, kind, columns, inches):
    path = tmp_path / "picture.png"
    page = page_for(columns)
    if columns == 1:
        write_figure(lambda: PICTURES[kind](panels_of(two)[0]), path, dpi=100, page=page)
    else:
        write_figure(lambda: draw_grid(panels_of(two), kind), path, dpi=100, page=page)
    pixels = np.asarray(Image.open(path).convert("RGB"), float)
    assert pixels.shape[1] / 100 == pytest.approx(inches, abs=0.02)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    drawn = np.flatnonzero((pixels < 200).any(axis=(0, 2)))
    assert np.ptp(drawn) / 100 > 0.9 * inches  # not a stamp in the middle of white


def test_letters_for_print_are_eight_points(two, tmp_path):
    sizes = []

    def draw():
        figure = PICTURES["contour"](panels_of(two)[0])
        sizes.append(planes(figure)[0].xaxis.label.get_fontsize())
        return figure

    write_figure(draw, tmp_path / "picture.pdf", dpi=100, page=page_for(1))
    assert sizes[-1] == pytest.approx(8.0)


def test_the_surface_of_one_column_has_its_unit_on_the_axis_instead_of_a_bar(two, tmp_path):
    figures = []

    def draw():
        figures.append(PICTURES["surface"](panels_of(two)[0]))
        return figures[-1]

    write_figure(draw, tmp_path / "picture.png", dpi=50, page=page_for(1))
    (axes,) = [axes for axes in figures[-1].axes if axes.get_visible()]
    assert axes.get_zlabel() == "train loss (nat)"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda w: [w("a", bowl)], "draws 2 to 12 surface files side by side, but 1 is named"),
        (lambda w: [w("a", bowl), w("l", bowl, beta=[0.0])], "a.h5 is a plane and .*l.h5 a line"),
    ],
)
def test_what_cannot_be_compared(write, tmp_path, make, text):
    with pytest.raises(InputError, match=text):
        plot.main([*map(str, make(write)), "--compare"])
    assert not list(tmp_path.glob("*.png"))


def test_quantity_that_one_lacks(two, write):
    with pytest.raises(InputError, match="deep.h5: --quantity: 'test_loss' is not known"):
        plot.main([*map(str, two), "--compare", "--quantity=test_loss"])


@pytest.mark.parametrize("option", ["--compare", "--watch"])
def test_options_for_surfaces_alone(option, tmp_path):
    with pytest.raises(InputError, match=r"applies to surfaces, not to --weights. Leave it out"):
        plot.main(["--weights", str(tmp_path), option])


def test_watching_a_row_waits_for_the_last_and_draws_each_round(write, tmp_path, monkeypatch):
    """Rounds land as a job writes them, whenever the command pauses."""
    first, second = write("one", bowl), write("two", bowl, done=np.zeros((9, 9)))
    pictures = []

    def land(_):
        pictures.append(len(list(tmp_path.glob("*.png"))))
        with h5py.File(second, "r+", locking=False) as file:
            file["done"][: 9 if len(pictures) > 1 else 4] = 1

    monkeypatch.setattr("landscape_mpi.store.follow.time.sleep", land)
    options = ["--compare", "--watch", "--kind=heatmap", "--dpi=30"]
    assert plot.main([str(first), str(second), *options]) == 0
    assert pictures == [0, 1]


def test_a_row_needs_two_columns(two):
    with pytest.raises(InputError, match="--columns 1 leaves no room for that. Pass --columns 2"):
        plot.main([*map(str, two), "--compare", "--columns=1"])


def test_watching_is_not_smooth(two):
    with pytest.raises(InputError, match="--smooth 2: needs complete surfaces, but --watch draws"):
        plot.main([*map(str, two), "--watch", "--smooth=2"])


def shown_texts(figure):
    """Return all texts of a figure that are drawn, with their extents."""
    figure.draw_without_rendering()
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text for text in found if text.get_text().strip()]


def legends_of(figure):
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]


@pytest.mark.parametrize("n", [3, 4, 5, 6, 12])
@pytest.mark.parametrize("kind", ["contour", "surface"])
def test_a_grid_has_letters_one_bar_one_legend_and_titles_that_fit(write, kind, n):
    names = ["a_network_with_a_name_that_is_far_too_long_for_its_picture", "b", "c"]
    paths = [write(f"{k}", bowl, model=names[k % 3] + str(k)) for k in range(n)]
    figure = draw_grid(panels_of(paths), kind)
    panels = [axes for axes in figure.axes if axes.get_title()]
    columns = {3: 3, 4: 2, 5: 3, 6: 3, 12: 3}[n]
    lefts = sorted({round(axes.get_position().x0, 6) for axes in panels})
    tops = sorted({round(axes.get_position().y1, 6) for axes in panels})
    assert (len(lefts), len(tops)) == (columns, -(-n // columns))
    assert [axes.get_title(loc="left") for axes in panels] == list("abcdefghijkl"[:n])
    assert len([axes for axes in figure.axes if axes.get_visible()]) == n + 1
    assert legends_of(figure) == [["center (0, 0)"]]
    texts = shown_texts(figure)
    titles = [text for text in texts if text.get_text() in {a.get_title() for a in panels}]
    boxes = [text.get_window_extent() for text in titles]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    for box in boxes:  # on no other picture
        inside = [axes.get_position().transformed(figure.transSubfigure) for axes in panels]
        assert not any(box.overlaps(place) for place in inside)


def test_narrow_pictures_have_short_labels(write):
    figure = draw_grid(panels_of([write(f"{k}", bowl) for k in range(6)]), "filled")
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes if axes.get_title()]
    assert [x for x, _ in labels] == [""] * 3 + [r"$\alpha$"] * 3
    assert [y for _, y in labels] == [r"$\beta$", "", ""] * 2
    (bar,) = [axes for axes in figure.axes if axes.get_visible() and not axes.get_title()]
    assert bar.get_ylabel() == "train loss (nat)"


def test_the_legend_says_which_pictures_an_entry_is_of(write):
    broken = write("broken", lambda a, b: np.nan if a > 0.9 else 1 + a)
    away = write("away", bowl, AXIS + 3)
    figure = draw_grid(panels_of([write("whole", bowl), broken, away]), "heatmap")
    assert legends_of(figure) == [["a, b: center (0, 0)", "b: not finite: 9 points"]]


def test_what_is_above_the_colours_stands_over_each_picture(tmp_path):
    paths = []
    for name, factor in (("low", 1.0), ("high", 5.0)):
        values = {"train_loss": factor * surface_files.plane(AXIS, AXIS, bowl)}
        known = {"model": name, "data": "cifar10", "n_classes": 10}
        paths.append(tmp_path / f"{name}.h5")
        surface_files.write_surface(paths[-1], AXIS, AXIS, values, attributes=known)
    panels = panels_of(paths)
    words = [text.get_text() for text in shown_texts(draw_grid(panels, "filled"))]
    for panel in panels:
        values = panel.surface.values["train_loss"]
        share, most = round(100 * (values > 10).mean()), f"{values.max():.3g}"
        assert f"{share} % above 10 nat, up to {most}" in words
    alone = [make_panel(panel.surface, "train_loss").scale for panel in panels]
    assert {scale.clipped for scale in alone} == {panels[0].scale.clipped} == {(0.0, 10.0)}


@pytest.mark.parametrize(("factor", "n_bars"), [(50.0, 1), (1e4, 3)])
def test_ranges_that_differ_by_more_than_100_times_have_colours_of_their_own(write, factor, n_bars):
    def tilted(a, b):
        return 2 + a + b

    paths = [write("a", tilted), write("b", tilted)]
    paths.append(write("c", lambda a, b: factor * tilted(a, b) / 3))
    row = panels_of(paths)
    figure = draw_grid(row, "filled")
    bars = [axes for axes in figure.axes if axes.get_visible() and not axes.get_title()]
    assert len(bars) == n_bars
    words = "one range would flatten some surfaces, so they have different ranges"
    assert (words in legends_of(figure)[0]) == (n_bars > 1)
    lows = {panel.scale.high for panel in row}
    assert len(lows) == (2 if n_bars > 1 else 1)


def test_the_bar_of_filled_contours_is_spaced_by_values(write):
    """The levels are 0.1, 0.5, 1, 2, 3 ... 10, and 0.5 lies at a twentieth of the bar."""
    path = write("net", lambda a, b: 5 * (a * a + b * b))
    with h5py.File(path, "a") as file:
        file.attrs["n_classes"] = 10
    figure = draw_grid(panels_of([path]), "filled")
    (bar,) = (axes for axes in figure.axes if axes.get_visible() and not axes.get_title())
    ticks = bar.get_yticks()
    bottom, top = bar.get_ylim()
    shares = (
        bar.transData.transform([(0, t) for t in ticks])[:, 1] - bar.bbox.y0
    ) / bar.bbox.height
    np.testing.assert_allclose(shares, (ticks - bottom) / (top - bottom), atol=1e-6)
    assert 0.5 in ticks
    assert shares[list(ticks).index(0.5)] == pytest.approx(0.05)


def test_lines_whose_ranges_differ_keep_an_axis_each(write):
    paths = [write("a", bowl, beta=[0.0]), write("b", lambda a, b: 1e5 * bowl(a, b), beta=[0.0])]
    paths.append(write("c", lambda a, b: 2 * bowl(a, b), beta=[0.0]))
    rows = make_shared_panels([read_surface(path) for path in paths], None, ScaleRequest("linear"))
    figure = draw_lines(rows)
    ends = [axes.get_ylim() for axes in figure.axes if axes.get_title()]
    assert ends[0] == ends[2]
    assert 20.2 < ends[0][1] < 30
    assert ends[1][1] > 1e5
    assert "train loss: one axis would flatten some lines" in legends_of(figure)[0][0]


def test_labels_title_range_and_map_of_the_command(two, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "fit", lambda draw, page: keep(draw, page))

    def keep(draw, page):
        with on_page(page):
            figures.append(draw())
        return figures[-1], "tight"

    words = ["--label=with", "--label=without", "--title=two networks", "--range=:5"]
    words += ["--cmap=coolwarm", "--kind=heatmap,ring", f"--out-dir={tmp_path / 'out'}"]
    assert plot.main([*map(str, two), "--compare", *words]) == 0
    grid, ring = figures
    assert [a.get_title() for a in grid.axes if a.get_title()] == ["with", "without"]
    assert "two networks" in [text.get_text() for text in shown_texts(grid)]
    meshes = [c for axes in grid.axes for c in axes.collections if isinstance(c, QuadMesh)]
    shared = [mesh for mesh in meshes if mesh.get_array().size == 81]
    assert [mesh.norm.vmax for mesh in shared] == pytest.approx([np.log10(5)] * 2)
    assert {mesh.get_cmap().name for mesh in shared} == {"coolwarm"}
    assert ring.axes[0].get_title() == "two networks"
    assert {"with", "without"} <= set(legends_of(ring)[0])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--label=a"], "--label: 1 name is given for 2 files. Pass --label once"),
        (
            ["--label=a", "--label= "],
            "--label: a name is empty, so nothing would say which surface",
        ),
        (["--title=a"], "--title a applies only to --compare. For a picture"),
    ],
)
def test_labels_and_titles_that_cannot_be(two, words, text):
    with pytest.raises(InputError, match=text):
        plot.main([*map(str, two), *words])


def test_13_surfaces_are_too_many(two):
    with pytest.raises(InputError, match="draws 2 to 12 surface files side by side, but 13 are"):
        plot.main([str(two[0])] * 13 + ["--compare"])


@pytest.mark.parametrize("name", [*COLOR_MAPS, "viridis_r"])
def test_lines_of_each_map_can_be_seen_on_white(name):
    with on_page(page_for(None, name)):
        colors = line_colors()(np.linspace(0, 1, 50))[:, :3]
    assert (255 * colors @ [0.299, 0.587, 0.114]).max() < 205  # grey, as Pillow would have it


@pytest.mark.parametrize("kind", PLANES)
@pytest.mark.parametrize(("times", "has_own"), [(50, False), (200, True)])
def test_planes_of_far_sizes_have_their_own_axes(kind, times, has_own, write):
    small = AXIS / times
    paths = [write("wide", bowl), write("small", bowl, alpha=small, beta=small)]
    figure = draw_grid(panels_of(paths), kind)
    drawn = [axes for axes in figure.axes if axes.get_visible() and axes.get_title()]
    spans = [np.ptp(axes.get_xlim()) for axes in drawn]
    assert (spans[0] / spans[1] > 150) == has_own
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    note = "planes differ in size by more than a factor of 100, so each picture has its own axes"
    assert (note in words) == has_own
    if has_own:
        assert all(axes.get_ylabel() for axes in drawn)
        assert not any(
            "nothing computed beyond" in text.get_text() for text in figure.findobj(Text)
        )


@pytest.mark.parametrize("compare", [[], ["--compare"]])
def test_a_range_for_the_first_of_several_quantities(tmp_path, capsys, compare):
    """The losses go to 11.1 nat, and the errors, which no option names, from 20 %."""
    paths = []
    for name in "ab":
        values = {"train_loss": surface_files.plane(AXIS, AXIS, bowl)}
        values["train_error"] = 20 + values["train_loss"]
        paths.append(surface_files.write_surface(tmp_path / f"{name}.h5", AXIS, AXIS, values))
    words = [*map(str, paths), *compare, "--range=:5", "--kind=filled,surface", "--dpi=30"]
    assert plot.main(words) == 0
    said = capsys.readouterr().out
    assert said.count("drawn over its whole range, because --range does not suit") == 2
    with pytest.raises(InputError, match="train_error: --range :5 "):
        plot.main([*words, "--quantity=train_error"])


def test_words_over_a_narrow_picture_take_a_line_for_each_end_and_keep_percents_whole():
    words = "1 % above 10 nat, up to 17.3: cut off\n5 % below 0.1 nat, down to 0.00092: cut off"
    heads = fit_heads(["with", "without"], [words, ""], 1.2)
    lines = heads.words[0].split("\n")
    assert " ".join(lines) == words.replace("\n", " ")
    assert not any(line.startswith("%") for line in lines)
    assert [line for line in lines if "%" in line] == ["1 % above 10 nat,", "5 % below 0.1 nat,"]
    assert heads.below == pytest.approx(0.16 * len(lines))
