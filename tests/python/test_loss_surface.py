"""Surfaces in Python: values, datasets, copies, and pictures in the user's own axes.

Oracles: h5py on the file itself; the figure that the plot command draws; matplotlib's own
measure of what is drawn where; a Python in which torch and mpi4py cannot be imported.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import itertools
import subprocess
import sys
from html.parser import HTMLParser

import h5py
import matplotlib as mpl
import numpy as np
import pytest
import surface_files
import xarray
from made_trajectory import make_trajectory
from matplotlib import pyplot
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

import landscape_mpi
from landscape_mpi import surface as surface_command
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.plane_curve import PlaneCurve, write_plane_curve
from landscape_mpi.store.solution_marks import Mark, write_marks
from landscape_mpi.store.trajectory import Trajectories, write_trajectories
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.picture_kind import find_kind

ALPHA, BETA = np.linspace(-1.0, 1.0, 21), np.linspace(-1.0, 1.0, 15)


def bowl(a, b):
    return 0.01 + 3 * (a * a + 2 * b * b) + 0.8 * abs(np.sin(6 * a) * b)


def values_of(alpha, beta):
    loss = surface_files.plane(alpha, beta, bowl)
    return {"train_loss": loss, "train_error": 90 * (1 - np.exp(-loss))}


def write(path, alpha=ALPHA, beta=BETA, **more):
    return surface_files.write_surface(path, alpha, beta, values_of(alpha, beta), **more)


def with_runs(path):
    """A plane with the paths of two runs, of four and of two checkpoints, and two solutions."""
    write(path)
    long = make_trajectory("sgd", alpha=[0.8, 0.5, 0.1, 0.0], beta=[0.7, 0.2, 0.3, 0.0])
    short = make_trajectory("adam", alpha=[-0.9, -0.2], beta=[0.4, -0.1])
    with h5py.File(path, "a") as file:
        write_trajectories(file, Trajectories((long, short), {}))
        write_marks(file, [Mark("one", 0.0, 0.0), Mark("other", 0.5, -0.5)])
    return path


def with_curve(path):
    write(path)
    t = np.linspace(0, 1, 9)
    place = {"alpha": t - 0.5, "beta": t * (1 - t), "residual": 0 * t}
    bends = {"bend_alpha": [-0.5, 0.0, 0.5], "bend_beta": [0, 0.5, 0], "bend_residual": [0, 0, 0]}
    arrays = {name: np.array(values, float) for name, values in bends.items()}
    known = {"kind": "bezier", "start": "1", "end": "2"}
    with h5py.File(path, "a") as file:
        write_plane_curve(file, PlaneCurve({"t": t, **place}, arrays, known))
    return path


def along(path, **attributes):
    """Lines from one solution to another: along a curve, or between pairs."""
    t = np.linspace(0.0, 1.0, 9)
    values = values_of(t - 0.5, np.arange(float(attributes.pop("n"))))
    return surface_files.write_surface(
        path, t, np.arange(values["train_loss"].shape[1]), values, attributes=attributes
    )


@pytest.fixture
def plane(tmp_path):
    return landscape_mpi.open_surface(write(tmp_path / "plane.h5"))


@pytest.fixture
def line(tmp_path):
    return landscape_mpi.open_surface(write(tmp_path / "line.h5", beta=[0.0]))


@pytest.fixture(autouse=True)
def settings_stay():
    """Nothing here changes matplotlib's settings, nor leaves a figure of pyplot behind."""
    before, figures = dict(mpl.rcParams), pyplot.get_fignums()
    yield
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == figures


# The package.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the examples: loss 1 + alpha^2 + beta^2, a file named mine.h5."""
    monkeypatch.chdir(tmp_path)
    alpha, beta = np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 3)
    loss = surface_files.plane(alpha, beta, lambda a, b: 1 + a * a + b * b)
    values = {"train_loss": loss, "train_error": 10 * loss}
    surface_files.write_surface("mine.h5", alpha, beta, values)
    return tmp_path


def public_names():
    """Yield the public names with what they have to say of themselves."""
    for name in landscape_mpi.__all__:
        value = getattr(landscape_mpi, name)
        yield name, value
        is_room = inspect.isclass(value) and value.__module__.startswith("landscape_mpi.python.")
        for member, inside in vars(value).items() if is_room else ():
            documented = inspect.isfunction(inside) or isinstance(inside, property)
            if member[0] != "_" and documented:
                yield f"{name}.{member}", inside


def modules():
    return sorted({getattr(landscape_mpi, name).__module__ for name in landscape_mpi.__all__})


@pytest.mark.parametrize("name", modules())
def test_the_examples_are_right(name, folder):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("name", dict(public_names()))
def test_each_public_name_has_an_example(name):
    assert ">>> " in inspect.getdoc(dict(public_names())[name])


def test_the_names_are_found_and_listed():
    assert set(landscape_mpi.__all__) <= set(dir(landscape_mpi))
    assert all(getattr(landscape_mpi, name) for name in landscape_mpi.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'open_surfaces'"):
        _ = landscape_mpi.open_surfaces


def test_all_of_it_runs_without_torch_and_mpi(folder):
    code = """
import sys
sys.modules.update(dict.fromkeys(("torch", "mpi4py")))
import landscape_mpi as lm
assert not {"numpy", "h5py", "matplotlib", "xarray"} & set(sys.modules)
from matplotlib.figure import Figure
surface = lm.open_surface("mine.h5")
assert "xarray" not in sys.modules
surface.to_xarray(), surface.summary(), repr(surface), surface._repr_html_()
axes = Figure().subplots(1, 2, subplot_kw={"projection": "3d"})
surface.plot("surface", ax=axes[0])
surface.plot(ax=Figure().subplots())
assert "matplotlib.pyplot" not in sys.modules
surface.save("copy.h5")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Values.


def test_the_arrays_are_those_of_the_file_and_cannot_be_changed(tmp_path):
    done = np.ones((21, 15))
    done[3:5, 7] = 0
    path = write(tmp_path / "part.h5", done=done)
    surface = landscape_mpi.open_surface(str(path))
    with h5py.File(path) as file:
        for axis in ("alpha", "beta"):
            np.testing.assert_array_equal(getattr(surface, axis), file[axis])
        for name in ("train_loss", "train_error"):
            expected = np.where(done == 1, file[name], np.nan)
            np.testing.assert_array_equal(surface.values[name], expected)
    np.testing.assert_array_equal(surface.done, done == 1)
    assert surface.center == (10, 7)
    with pytest.raises(ValueError, match="read-only"):
        surface.values["train_loss"][0, 0] = 1
    with pytest.raises(TypeError):
        surface.values["train_loss"] = np.zeros(3)
    assert repr(surface) == (
        f"<LossSurface {path}: resnet56 on cifar10, 21 x 15 points, 313 computed; train_loss "
        f"{bowl(0, 0):.4g} to {bowl(1, 1):.4g}>"
    )


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_table_of_a_notebook_is_well_formed_and_shows_the_numbers(tmp_path):
    surface = landscape_mpi.open_surface(write(tmp_path / "a<b.h5"))
    parser = Cells()
    parser.feed(surface._repr_html_())
    assert not parser.open
    assert str(tmp_path / "a<b.h5") in "".join(parser.texts)
    assert {"train_loss", "nat", f"{bowl(0, 0):.4g}", f"{bowl(1, 1):.4g}", "315"} <= set(
        parser.texts
    )


def test_the_summary_is_that_of_the_command(plane, capsys):
    with pytest.raises(SystemExit) as end:
        surface_command.parse([f"--summary={plane.path}"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    advice = (
        "--x is wide: along alpha the basin below 0.11 is 3.6 steps across; try --x=-0.5:0.5:21"
    )
    assert advice in told
    in_python = (
        "x is wide: along alpha the basin below 0.11 is 3.6 steps across; try x=(-0.5, 0.5, 21)"
    )
    assert in_python in plane.summary()
    without_advice = [
        [line for line in text.splitlines() if "; try " not in line]
        for text in (told, plane.summary())
    ]
    assert without_advice[0] == without_advice[1]
    assert len(without_advice[0]) > 8


def test_a_file_that_is_not_there():
    with pytest.raises(MissingInputError, match="gone.h5: does not exist"):
        landscape_mpi.open_surface("gone.h5")


# Copies.


def test_a_copy_is_the_whole_file_and_replaces_nothing_silently(plane, tmp_path):
    other = tmp_path / "other.h5"
    assert plane.save(other) == other
    assert other.read_bytes() == plane.path.read_bytes()
    with pytest.raises(InputError, match="already exists and would be lost. Pass overwrite=True"):
        plane.save(other)
    other.write_bytes(b"")
    plane.save(str(other), overwrite=True)
    assert other.read_bytes() == plane.path.read_bytes()
    with pytest.raises(InputError, match="the file of this surface"):
        plane.save(plane.path, overwrite=True)
    with pytest.raises(MissingInputError, match="there is no folder"):
        plane.save(tmp_path / "none" / "x.h5")
    with pytest.raises(InputError, match="is a folder"):
        plane.save(tmp_path)


def test_a_copy_that_is_not_whole_is_not_kept(plane, tmp_path):
    with plane.path.open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(InputError, match=r"the copy of .*plane.h5 is not complete, so it is"):
        plane.save(tmp_path / "other.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plane.h5"]


# Numbers.


def test_rings_are_those_of_a_cone(tmp_path, line):
    """0.2 + r at the distance r, whatever the direction."""
    loss = surface_files.plane(ALPHA, BETA, lambda a, b: 0.2 + np.hypot(a, b))
    values = {"train_loss": loss, "train_error": 10 * loss}
    path = surface_files.write_surface(tmp_path / "cone.h5", ALPHA, BETA, values)
    cone = landscape_mpi.open_surface(path)
    rings = cone.rings()
    np.testing.assert_allclose(rings.median[5:], 0.2 + rings.radius[5:], atol=0.01)
    assert rings.reach(0.8) == pytest.approx(0.6, abs=0.01)
    error = cone.rings("train_error")
    np.testing.assert_allclose(error.at(0.5), (7, 7, 7), atol=0.1)
    both = cone.rings("train_loss+train_loss")
    np.testing.assert_allclose(both.median, 2 * rings.median)
    with pytest.raises(InputError, match=r"'train_lose' is not known. Did you mean train_loss"):
        cone.rings("train_lose")
    with pytest.raises(InputError, match=r"rings\(\) needs a plane, but this is a line"):
        line.rings()


# xarray.


def test_a_dataset_has_what_the_file_has(tmp_path):
    done = np.ones((21, 15))
    done[:2] = 0
    path = write(tmp_path / "part.h5", done=done)
    dataset = landscape_mpi.open_surface(path).to_xarray()
    with h5py.File(path) as file:
        assert set(dataset.coords) == {"alpha", "beta"}
        for name in ("alpha", "beta", "train_loss", "train_error"):
            found, known = dataset[name], file[name]
            assert found.attrs == {key: known.attrs[key] for key in ("units", "long_name")}
            expected = known[...]
            if expected.ndim == 2:
                assert found.dims == ("alpha", "beta")
                expected = np.where(done == 1, expected, np.nan)
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(dataset.done, file["done"][...] == 1)
        assert dataset.attrs["model"] == file.attrs["model"]
    assert dataset.encoding["source"] == str(path)
    at = dataset.train_loss.sel(alpha=0.5, beta=0, method="nearest")
    assert float(at) == pytest.approx(bowl(0.5, 0))


def test_a_dataset_can_be_written_and_read_again(plane, tmp_path):
    dataset = plane.to_xarray()
    dataset.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "again.nc", engine="h5netcdf") as again:
        xarray.testing.assert_equal(again, dataset)


def test_trajectories_of_different_lengths_and_solutions_are_in_it(tmp_path):
    path = with_runs(tmp_path / "runs.h5")
    dataset = landscape_mpi.open_surface(path).to_xarray()
    with h5py.File(path) as file:
        groups = [file["trajectory/run_0"], file["trajectory/run_1"]]
        assert list(dataset.run.values) == [group.attrs["name"] for group in groups]
        for group, run in zip(groups, ("sgd", "adam"), strict=True):
            n = len(group["alpha"])
            rows = dataset.sel(run=run)
            for name in ("alpha", "beta", "residual", "epoch", "lr", "components"):
                row = rows[f"trajectory_{name}"]
                np.testing.assert_array_equal(row[:n], group[name])
                assert row[n:].isnull().all()
                assert row.attrs["long_name"] == group[name].attrs["long_name"]
            texts = [text.decode() for text in group["file"]]
            assert list(rows.trajectory_file.values[:n]) == texts
        assert list(dataset.mark.values) == ["one", "other"]
        for name in ("alpha", "beta"):
            np.testing.assert_array_equal(dataset[f"mark_{name}"], file[f"marks/{name}"])
    dataset.to_netcdf(tmp_path / "again.nc", engine="h5netcdf")


def test_a_curve_is_in_it(tmp_path):
    path = with_curve(tmp_path / "curve.h5")
    dataset = landscape_mpi.open_surface(path).to_xarray()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(dataset.t, file["curve/t"])
        for name in ("alpha", "beta", "residual", "bend_alpha", "bend_beta", "bend_residual"):
            np.testing.assert_array_equal(dataset[f"curve_{name}"], file[f"curve/{name}"])
    assert dataset.curve_alpha.dims == ("t",)


# Pictures.


def places_of(figure):
    """Return what each subplot takes in pixels, with its labels, bars and legends."""
    figure.draw_without_rendering()
    return [axes.get_tightbbox() for axes in figure.axes]


def parts_of(figure, owner_of):
    """Return the extent of each subplot together with its bar and its second axis."""
    groups = {}
    for axes, place in zip(figure.axes, places_of(figure), strict=True):
        groups.setdefault(owner_of(axes), []).append(place)
    return [mpl.transforms.Bbox.union(places) for places in groups.values()]


def four(plane, line, *, layout, size):
    figure = Figure(figsize=size, layout=layout)
    kinds = ("contour", "filled", "surface", "line")
    made = {}
    for place, kind in enumerate(kinds, start=1):
        projection = "3d" if kind == "surface" else None
        axes = figure.add_subplot(2, 2, place, projection=projection)
        before = set(figure.axes)
        assert (line if kind == "line" else plane).plot(kind, ax=axes) is axes
        made |= dict.fromkeys({*figure.axes} - before, kind) | {axes: kind}
    return figure, made


@pytest.mark.parametrize("size", [(9, 7), (12, 8), (6.4, 4.8)])
@pytest.mark.parametrize("layout", ["constrained", "tight", None])
def test_four_pictures_in_the_users_figure_neither_touch_nor_are_cut(plane, line, layout, size):
    if layout != "constrained" and size == (6.4, 4.8):
        size = (8, 6)  # here matplotlib's own labels of two rows do not touch
    figure, made = four(plane, line, layout=layout, size=size)
    owners = parts_of(figure, made.get)
    whole = figure.bbox
    for place in owners:
        assert whole.x0 - 1 <= place.x0
        assert place.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= place.y0
        assert place.y1 <= whole.y1 + 1
    for one, other in itertools.combinations(owners, 2):
        shared = mpl.transforms.Bbox.intersection(one, other)
        assert shared is None or min(shared.width, shared.height) < 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(6.4, 4.8), (9, 7)])
def test_a_note_below_small_pictures_leaves_them_their_width(tmp_path, size):
    """Half of the plane lies above 10 nat, as a note says; the usual figure is small."""
    values = surface_files.plane(ALPHA, BETA, lambda a, b: 0.01 + 15 * (a * a + b * b))
    path = surface_files.write_surface(
        tmp_path / "high.h5",
        ALPHA,
        BETA,
        {"train_loss": values},
        attributes={"model": "resnet56", "data": "cifar10", "n_classes": 10},
    )
    high = landscape_mpi.open_surface(path)
    figure = Figure(figsize=size, layout="constrained")
    for axes in (places := figure.subplots(2, 2)).flat:
        high.plot("contour", ax=axes)
    figure.draw_without_rendering()
    for axes in places.flat:
        picture, (note,) = axes.get_window_extent(), axes.get_legend().get_texts()[1:]
        assert "% above 10 nat, up to 30" in note.get_text().replace("\n", " ")
        assert picture.width > 0.14 * figure.bbox.width
        box = axes.get_tightbbox()
        assert figure.bbox.x0 - 1 <= box.x0
        assert box.x1 <= figure.bbox.x1 + 1


def test_the_lines_are_those_of_the_plot_command(plane):
    axes = Figure().subplots()
    plane.plot("contour", ax=axes)
    panel = make_panel(plane._surface, "train_loss")
    house = find_kind("contour")(panel).axes[0]
    mine, theirs = (
        next(c for c in a.collections if isinstance(c, ContourSet)) for a in (axes, house)
    )
    np.testing.assert_array_equal(mine.levels, theirs.levels)
    for one, other in zip(mine.get_paths(), theirs.get_paths(), strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
    assert axes.get_title() == house.get_title() == "resnet56, cifar10"
    assert axes.get_xlim() == house.get_xlim()


@pytest.mark.parametrize("kind", ["contour", "filled", "heatmap"])
def test_the_bar_is_as_tall_as_the_picture_and_beside_it(kind, plane):
    for layout in ("constrained", None):
        figure = Figure(figsize=(7, 3), layout=layout)
        axes = figure.subplots()
        plane.plot(kind, ax=axes)
        figure.draw_without_rendering()
        bar = next(other for other in figure.axes if other is not axes)
        picture, place = axes.get_window_extent(), bar.get_window_extent()
        assert place.height == pytest.approx(picture.height, abs=1)
        assert 5 < place.x0 - picture.x1 < 20
        per_unit = [
            picture.width / np.ptp(axes.get_xlim()),
            picture.height / np.ptp(axes.get_ylim()),
        ]
        assert per_unit[0] == pytest.approx(per_unit[1], rel=0.01)


def test_what_is_not_wanted_is_left_out(plane):
    figure = Figure()
    axes = figure.subplots()
    plane.plot(ax=axes, colorbar=False, legend=False, title="")
    assert figure.axes == [axes]
    assert axes.get_legend() is None
    assert axes.get_title() == ""


def test_a_line_has_loss_and_error_or_what_is_named(line):
    figure = Figure()
    line.plot(ax=figure.subplots())
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nat)", "error (%)"]
    alone = Figure()
    line.plot(ax=alone.subplots(), quantity="train_error")
    assert [axes.get_ylabel() for axes in alone.axes] == ["error (%)"]


def test_a_trajectory_is_drawn_unless_it_is_not_wanted(tmp_path):
    surface = landscape_mpi.open_surface(with_runs(tmp_path / "runs.h5"))
    counts = []
    for path in (True, False):
        axes = Figure().subplots()
        surface.plot(ax=axes, path=path)
        counts.append(len(axes.lines))
    assert counts[0] > counts[1]


@pytest.mark.parametrize(
    ("known", "words", "n_lines"),
    [
        ({"curve": "bezier", "bends": 3, "n": 2}, "Bezier curve of 3 points", 2),
        ({"solutions": ["a.pt", "b.pt", "c.pt"], "n": 3}, "", 3),
    ],
)
def test_lines_between_solutions(known, words, n_lines, tmp_path):
    surface = landscape_mpi.open_surface(along(tmp_path / "along.h5", **known))
    for quantity, label in ((None, "loss (nat)"), ("train_error", "error (%)")):
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        surface.plot(ax=axes, quantity=quantity)
        assert (axes.get_ylabel(), len(axes.lines)) == (label, n_lines)
        assert words in axes.get_title()
        assert figure.axes == [axes]


def test_without_axes_there_is_a_new_figure_of_pyplot(plane):
    for kind, name in (("contour", "rectilinear"), ("surface", "3d")):
        axes = plane.plot(kind)
        assert axes.name == name
        assert pyplot.gcf() is axes.figure
        pyplot.close(axes.figure)


def test_inside_a_figure_of_figures(plane):
    whole = Figure(figsize=(9, 4), layout="constrained")
    left, right = whole.subfigures(1, 2)
    plane.plot("contour", ax=left.subplots())
    plane.plot("surface", ax=right.add_subplot(projection="3d"))
    for place in places_of(whole):
        assert whole.bbox.x0 - 1 <= place.x0
        assert place.x1 <= whole.bbox.x1 + 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "heat"}, "plot: 'heat' is not known. Did you mean heatmap? Known: contour, fil"),
        ({"kind": "line"}, "plot('line') needs a line, but this is a plane of 21 x 15 points"),
        ({"kind": "surface"}, "plot('surface') needs 3-D axes, but ax is flat"),
        ({"quantity": "loss"}, "'loss' is not known"),
        ({"quantity": ["train_loss", "train_error"]}, "a picture of a plane shows one quantity"),
        ({"scale": "logarithmic"}, "plot: scale: 'logarithmic' is not known"),
        ({"levels": [1e6]}, "lies in its range"),
    ],
)
def test_what_cannot_be_drawn_is_said(plane, options, words):
    with pytest.raises(InputError) as problem:
        plane.plot(ax=Figure().subplots(), **options)
    assert words in str(problem.value)


def test_kinds_of_a_line_and_axes_in_space(line, plane):
    with pytest.raises(InputError, match="needs a plane, but this is a line"):
        line.plot("contour", ax=Figure().subplots())
    with pytest.raises(InputError, match="needs flat axes, but ax has projection='3d'"):
        plane.plot(ax=Figure().add_subplot(projection="3d"))


def test_nothing_computed_yet(tmp_path):
    path = write(tmp_path / "new.h5", done=np.zeros((21, 15)))
    surface = landscape_mpi.open_surface(path)
    assert "0 computed" in repr(surface)
    assert surface.to_xarray().train_loss.isnull().all()
    with pytest.raises(InputError, match="0 of 315 points are computed"):
        surface.plot(ax=Figure().subplots())


def test_a_scale_of_what_is_drawn_alone(tmp_path):
    """Quantities that are not drawn need not suit it; one that is drawn must."""
    values = values_of(ALPHA, BETA) | {"train_gain": -1 - ALPHA[:, None] ** 2 - BETA**2}
    path = surface_files.write_surface(tmp_path / "gain.h5", ALPHA, BETA, values)
    surface = landscape_mpi.open_surface(path)
    assert surface.plot("contour", scale="log").get_title()
    assert surface.plot("contour", levels=[1.5]).get_title()
    with pytest.raises(InputError, match="train_gain: .*positive values; the largest is -1"):
        surface.plot("contour", quantity="train_gain", scale="log")
    pyplot.close("all")


def test_a_new_picture_in_space_uses_the_width_of_its_figure(plane):
    axes = plane.plot("surface")
    figure = axes.figure
    try:
        places = places_of(figure)
        whole = mpl.transforms.Bbox.union(places)
        assert whole.width > 0.8 * figure.bbox.width
        assert whole.x1 <= figure.bbox.x1 + 1
        bar = next(other for other in figure.axes if other is not axes)
        assert axes.get_tightbbox().x1 < bar.get_tightbbox().x0
    finally:
        pyplot.close(figure)
