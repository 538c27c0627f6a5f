"""Paths on pictures and as meshes.

Oracles: a plane of closed form, on which bilinear heights are exact; the path that was written,
read from the artists of the figure, and from the mesh by VTK's own reader.
"""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import surface_files
from figure_texts import legend_texts
from made_trajectory import make_trajectory
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_mpi import plot, vtp
from landscape_mpi.registry import PICTURES
from landscape_mpi.store.plane_curve import PlaneCurve, write_plane_curve
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.trajectory import Trajectories, write_trajectories
from landscape_mpi.views.canvas import CHARACTER, wrap
from landscape_mpi.views.labels import POINT_INCHES
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.path import DROPPED, RUN_COLORS
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.points_on_surface import onto_surface

ALPHA, BETA = np.linspace(-1.0, 5.0, 13), np.linspace(-2.0, 2.0, 9)
SGD = {"alpha": [4.0, 3.0, 1.3, 0.0], "beta": [1.0, 1.5, 0.7, 0.0], "lr": [0.1, 0.1, 0.01, 0.01]}
ADAM = {"alpha": [9.0, 2.0, 1.0], "beta": [-1.0, -1.5, -0.2], "lr": [0.1, 0.05, 0.05]}
PLANES = [kind for kind in PICTURES if find_kind(kind).join is None]  # paths lie in them
FLAT = [kind for kind in PLANES if kind != "surface"]


def height(a, b):
    return 10 + a + 2 * b + a * b / 4


@pytest.fixture
def file_with_runs(tmp_path):
    def make(*runs, function=height, done=None):
        path = tmp_path / "net.h5"
        values = {"train_loss": surface_files.plane(ALPHA, BETA, function)}
        surface_files.write_surface(path, ALPHA, BETA, values, done=done)
        with h5py.File(path, "a") as file:
            file["alpha"].attrs["long_name"] = "1st PCA component (captures 87.3 %)"
            write_trajectories(file, Trajectories(runs, {}))
        return path

    return make


@pytest.fixture
def figure_of(file_with_runs):
    def make(kind, *runs, **options):
        return PICTURES[kind](
            make_panel(read_surface(file_with_runs(*runs, **options)), "train_loss")
        )

    return make


def lines_of(figure, **look):
    """Return the data of the lines that look like this, [n, 2] or [n, 3] each."""
    found = []
    for line in figure.axes[0].lines:
        if all(getattr(line, f"get_{name}")() == value for name, value in look.items()):
            data = line.get_data_3d() if hasattr(line, "get_data_3d") else line.get_data()
            found.append(np.stack(data, axis=1).astype(float))
    return found


@pytest.mark.parametrize("kind", FLAT)
def test_a_dot_for_every_checkpoint_in_each_run_s_color(kind, figure_of):
    runs = {"sgd": SGD | {"beta": [1.0, 1.5, 0.7, 0.1]}, "adam": ADAM}
    figure = figure_of(kind, *(make_trajectory(name, **run) for name, run in runs.items()))
    for color, run in zip(RUN_COLORS, runs.values(), strict=False):
        (dots,) = lines_of(figure, marker="o", color=color)
        np.testing.assert_array_equal(dots, np.transpose([run["alpha"], run["beta"]]))
        (end,) = lines_of(figure, marker="D", color=color)
        np.testing.assert_array_equal(end, [[run["alpha"][-1], run["beta"][-1]]])


@pytest.mark.parametrize("kind", FLAT)
def test_red_where_the_learning_rate_dropped(kind, figure_of):
    figure = figure_of(kind, make_trajectory("sgd", **SGD), make_trajectory("adam", **ADAM))
    red = lines_of(figure, color=DROPPED)
    np.testing.assert_array_equal(np.concatenate(red), [[1.3, 0.7], [2.0, -1.5]])


@pytest.mark.parametrize("kind", FLAT)
def test_the_star_does_not_hide_where_the_learning_rate_dropped(kind, figure_of):
    at_center = {"alpha": [1.0, 0.5, 0.0, 0.0], "beta": [1.0, 0.5, 0.0, 0.0], "lr": [1, 1, 1, 0.1]}
    lines = figure_of(kind, make_trajectory("sgd", **at_center)).axes[0].lines
    (star,) = (line for line in lines if line.get_marker() == "*")
    (red,) = (line for line in lines if line.get_color() == DROPPED)
    assert red.get_zorder() > star.get_zorder()
    assert red.get_markersize() < star.get_markersize()


@pytest.mark.parametrize("length", [16, 20, 28, 36, 40])
def test_what_stands_in_brackets_stays_in_one_line(length):
    label = wrap("y: 2nd PCA component (captures 6.5 %)", length * CHARACTER)
    assert all(line.count("(") == line.count(")") for line in label.split("\n"))
    assert label.replace("\n", " ") == "y: 2nd PCA component (captures 6.5 %)"


@pytest.mark.parametrize("kind", PLANES)
def test_the_legend_says_what_is_what(kind, figure_of):
    figure = figure_of(kind, make_trajectory("sgd", **SGD), make_trajectory("$dam", **ADAM))
    texts = legend_texts(figure)
    assert {"sgd: 4 checkpoints", "\\$dam: 3 checkpoints", "end of a path"} <= set(texts)
    assert {"learning rate dropped", "outside the picture: 1 checkpoint"} <= set(texts)
    label = figure.axes[0].get_xlabel().replace("\n", " ")
    assert "1st PCA component (captures 87.3 %)" in label


def test_an_end_that_the_star_of_the_center_hides_is_said_in_words(figure_of):
    both = figure_of("contour", make_trajectory("sgd", **SGD), make_trajectory("adam", **ADAM))
    assert [line.tolist() for line in lines_of(both, marker="D")] == [[[1.0, -0.2]]]
    assert {"end of a path", "a path ends at the center"} <= set(legend_texts(both))
    alone = figure_of("contour", make_trajectory("sgd", **SGD), make_trajectory("again", **SGD))
    assert not lines_of(alone, marker="D")
    assert "end of a path" not in legend_texts(alone)
    assert "2 paths end at the center" in legend_texts(alone)


def test_an_end_at_a_center_that_has_no_star_is_marked(file_with_runs):
    surface = replace(
        read_surface(file_with_runs(make_trajectory("sgd", **SGD))), alpha=ALPHA + 0.25
    )
    assert surface.center is None
    figure = PICTURES["surface"](make_panel(surface, "train_loss"))
    assert len(lines_of(figure, marker="D")) == 1
    assert "end of a path" in legend_texts(figure)


def test_without_a_drop_nothing_is_red(figure_of):
    figure = figure_of("contour", make_trajectory("sgd", **SGD | {"lr": [0.1, 0.09, 0.08, 0.07]}))
    assert "learning rate dropped" not in legend_texts(figure)
    assert not lines_of(figure, color=DROPPED)


def test_in_space_the_path_lies_on_the_surface(figure_of):
    figure = figure_of("surface", make_trajectory("sgd", **SGD))
    (line,) = lines_of(figure, color=RUN_COLORS[0], marker="None")
    assert len(line) > 30  # between the checkpoints too
    np.testing.assert_allclose(line[:, 2], height(*line[:, :2].T))


def test_the_picture_keeps_its_range_when_a_path_leaves_it(figure_of):
    axes = figure_of("contour", make_trajectory("adam", **ADAM)).axes[0]
    assert axes.get_xlim() == (-1, 5)
    assert axes.get_ylim() == (-2, 2)


def test_no_label_of_a_line_hides_a_checkpoint(figure_of):
    a = np.linspace(-1, 5, 40)
    crowd = make_trajectory("sgd", alpha=np.tile(a, 3), beta=np.repeat([-1.0, 0.0, 1.0], 40))
    figure = figure_of("contour", crowd, function=lambda a, b: a)
    axes = figure.axes[0]
    pixels = axes.transData.transform(np.stack([crowd["alpha"], crowd["beta"]], axis=1))
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert boxes
    radius = POINT_INCHES * figure.dpi * 0.9
    for box in boxes:
        x, y = np.clip(pixels[:, 0], box.x0, box.x1), np.clip(pixels[:, 1], box.y0, box.y1)
        assert np.hypot(*(pixels - np.stack([x, y], axis=1)).T).min() > radius


def test_no_path_leaves_it_out(file_with_runs, tmp_path, capsys):
    path = file_with_runs(make_trajectory("sgd", **SGD))
    for word, folder in (((), "with"), (("--no-path",), "without"), (("--no-path",), "again")):
        argv = [str(path), "--kind=heatmap", "--dpi=50", f"--out-dir={tmp_path / folder}", *word]
        assert plot.main(argv) == 0
    drawn, bare, again = (
        (tmp_path / folder / "net_train_loss_heatmap.png").read_bytes()
        for folder in ("with", "without", "again")
    )
    assert bare == again != drawn
    capsys.readouterr()


def test_heights_between_points_are_bilinear_also_on_falling_axes(file_with_runs):
    surface = read_surface(file_with_runs(make_trajectory("sgd", **SGD)))
    points = np.random.default_rng(0).uniform((-1, -2), (5, 2), (50, 2))
    found = onto_surface(surface, surface.values["train_loss"])(points)
    np.testing.assert_allclose(found, height(*points.T))
    assert np.isnan(
        onto_surface(surface, surface.values["train_loss"])(np.array([[6.0, 0.0]]))
    ).all()


def read_path(path):
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    data = reader.GetOutput()
    arrays = data.GetPointData()
    names = [arrays.GetArrayName(k) for k in range(arrays.GetNumberOfArrays())]
    values = {name: vtk_to_numpy(arrays.GetArray(name)) for name in names}
    return vtk_to_numpy(data.GetPoints().GetData()), data, values


def parts_of(data):
    """Return the single points of VTK's polydata, then its lines, as numbers of points."""
    found = []
    for cell in range(data.GetNumberOfCells()):
        ids = data.GetCell(cell).GetPointIds()
        found.append([ids.GetId(k) for k in range(ids.GetNumberOfIds())])
    n_dots = data.GetNumberOfVerts()
    return [place for (place,) in found[:n_dots]], found[n_dots:]


def test_the_path_as_a_mesh_lies_on_the_mesh(file_with_runs, capsys):
    path = file_with_runs(make_trajectory("sgd", **SGD), make_trajectory("adam", **ADAM))
    assert vtp.main([str(path), "--scale=0.5", "--linear", "--range=:13", "--lid"]) == 0
    beside = path.parent / "net_path.vtp"
    assert f"{beside}: the trajectories of training runs, on the surface" in capsys.readouterr().out
    points, data, values = read_path(beside)
    dots, lines = parts_of(data)
    flat = np.transpose([SGD["alpha"] + ADAM["alpha"][1:], SGD["beta"] + ADAM["beta"][1:]])
    np.testing.assert_array_equal(points[dots][:, :2], flat)
    clipped = np.minimum(surface_files.plane(ALPHA, BETA, height), 13)
    expected = onto_surface(read_surface(path), clipped)(points[:, :2]) / 2
    np.testing.assert_allclose(points[:, 2], expected)
    np.testing.assert_array_equal(values["run"][dots], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(values["epoch"][dots], [0, 1, 2, 3, 1, 2])
    for number, (line, run) in enumerate(zip(lines, (SGD, ADAM), strict=True)):
        assert len(line) > 12  # between the checkpoints too
        assert set(values["run"][line]) == {number}
        epoch = values["epoch"][line]
        for column, axis in enumerate(("alpha", "beta")):
            between = np.interp(epoch, np.arange(len(run[axis])), run[axis])
            np.testing.assert_allclose(points[line][:, column], between, atol=1e-12)


def test_a_path_outside_the_plane_gives_no_mesh(file_with_runs, capsys):
    path = file_with_runs(make_trajectory("far", alpha=[9.0, 8.0], beta=[9.0, 8.0]))
    assert vtp.main([str(path)]) == 0
    assert not (path.parent / "net_path.vtp").exists()
    capsys.readouterr()


def test_the_path_as_a_mesh_lies_on_a_sum_too(file_with_runs, capsys):
    path = file_with_runs(make_trajectory("sgd", **SGD))
    with h5py.File(path, "a") as file:
        file["weight_decay_term"] = file["train_loss"][()] / 2
        file["weight_decay_term"].attrs["units"] = "nat"
    assert (
        vtp.main([str(path), "--quantity=train_loss+weight_decay_term", "--linear", "--scale=1"])
        == 0
    )
    points, _, _ = read_path(path.parent / "net_path.vtp")
    loss = surface_files.plane(ALPHA, BETA, height)
    expected = onto_surface(read_surface(path), loss)(points[:, :2])
    np.testing.assert_allclose(points[:, 2], 1.5 * expected)
    capsys.readouterr()


def test_a_curve_as_a_mesh_with_its_straight_line_and_its_points(tmp_path, capsys):
    t = np.linspace(0.0, 1.0, 21)
    # A parabola: a Bezier curve of three points, of which the middle one lies outside the plane.
    bends = {"alpha": [0.0, 2.0, 4.0], "beta": [-1.0, 3.0, -1.0]}
    along = {
        name: (1 - t) ** 2 * p + 2 * t * (1 - t) * q + t**2 * r for name, (p, q, r) in bends.items()
    }
    curve = PlaneCurve(
        {"t": t, **along, "residual": 0.01 * t},
        {f"bend_{name}": np.array(v) for name, v in (bends | {"residual": [0, 0.5, 0]}).items()},
        {"kind": "bezier", "start": "1", "end": "2"},
    )
    path = tmp_path / "net.h5"
    surface_files.write_surface(
        path, ALPHA, BETA, {"train_loss": surface_files.plane(ALPHA, BETA, height)}
    )
    with h5py.File(path, "a") as file:
        write_plane_curve(file, curve)
    assert vtp.main([str(path), "--linear", "--scale=2"]) == 0
    assert f"{tmp_path / 'net_curve.vtp'}: a curve between solutions" in capsys.readouterr().out
    points, data, values = read_path(tmp_path / "net_curve.vtp")
    on_bends, (on_curve, straight) = parts_of(data)
    np.testing.assert_allclose(points[on_curve][:, :2], np.transpose([*along.values()]))
    np.testing.assert_allclose(points[:, 2], 2 * height(*points[:, :2].T))
    np.testing.assert_array_equal(values["t"][on_curve], t)
    np.testing.assert_array_equal(values["residual"][on_curve], 0.01 * t)
    np.testing.assert_allclose(points[straight][:, 1], -1)
    np.testing.assert_allclose(points[straight][:, 0], 4 * values["t"][straight])
    assert points[on_bends][:, :2].tolist() == [[0, -1], [4, -1]]
    for cells, kind in ((on_curve, 0), (straight, 1), (on_bends, 2)):
        assert set(values["path"][cells]) == {kind}
