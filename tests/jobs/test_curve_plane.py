"""The plane of a curve, and the pictures.

Oracles: Gram-Schmidt and least squares in float64 numpy on the weights that torch reads; the values
of a surface at a corner beside those of the curve's own evaluation; what matplotlib drew.
"""

from dataclasses import replace

import h5py
import matplotlib.image
import numpy as np
import pytest
from curve_runs import digits, run, train_ends
from matplotlib.lines import Line2D

from landscape_mpi import plot
from landscape_mpi.compute.curve import weights_at
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.plane_path import path_of
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.curve_profile import draw_curve_profile
from landscape_mpi.views.flat_pictures import CONTOUR
from landscape_mpi.views.pictures import make_panels
from landscape_mpi.zoo.curve_file import read_curve, write_curve


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """A Bezier curve of three points and a polygon of five, after an epoch."""
    folder = train_ends(tmp_path_factory.mktemp("ends"))
    for kind, n in (("bezier", 3), ("polygon", 5)):
        words = (*digits(folder), "--kind", kind, "--bends", n, "--epochs=1")
        assert run("train", *words, "--out", folder / f"{kind}.pt")[0] == 0
    return folder


def flat_points(path):
    content = read_curve(path).content
    return np.stack(
        [
            np.concatenate([point[name].numpy().astype(float).ravel() for name in content.trained])
            for point in content.points
        ]
    )


def flat_direction(path, axis, names):
    return np.concatenate([read_directions(path)[axis][name].ravel() for name in names])


@pytest.mark.parametrize(
    ("kind", "words", "through"),
    [("bezier", [], (2, 1)), ("polygon", [], (4, 2)), ("polygon", ["--through", "1,3"], (1, 3))],
)
def test_the_plane_is_that_of_gram_schmidt(curves, tmp_path, kind, words, through):
    out = tmp_path / "plane.h5"
    status, told, err = run("plane", curves / f"{kind}.pt", *words, "--out", out)
    assert (status, err) == (0, "")
    assert f"through points 0, {through[0]} and {through[1]}" in told
    points = flat_points(curves / f"{kind}.pt")
    moved = points - points[0]
    u = moved[through[0]] / np.linalg.norm(moved[through[0]])
    v = moved[through[1]] - (moved[through[1]] @ u) * u
    v /= np.linalg.norm(v)
    names = read_curve(curves / f"{kind}.pt").content.trained
    for axis, expected in (("alpha", u), ("beta", v)):
        np.testing.assert_allclose(flat_direction(out, axis, names), expected, atol=1e-6)

    curve = path_of(out)
    expected = moved @ np.stack([u, v], axis=1)
    scale = np.abs(expected).max()
    for column, axis in enumerate(("alpha", "beta")):
        np.testing.assert_allclose(curve[f"bend_{axis}"], expected[:, column], atol=1e-5 * scale)
    for t, alpha, residual in zip(curve["t"], curve["alpha"], curve["residual"], strict=True):
        place = weights_at(kind, len(points), t) @ moved
        assert alpha == pytest.approx(place @ u, abs=1e-5 * scale)
        if t > 0:
            away = place - (place @ u) * u - (place @ v) * v
            found = np.linalg.norm(away) / np.linalg.norm(place)
            assert residual == pytest.approx(found, abs=1e-4)
    in_plane = [mark.name for mark in curve.marks()]
    assert in_plane == (["1", "2"] if not words else ["1"])


def test_ends_of_one_name_are_told_apart_by_their_folders(curves, tmp_path):
    content = read_curve(curves / "bezier.pt").content
    ends = {"start": "with/net.pt", "end": "other/net.pt"}
    write_curve(tmp_path / "curve.pt", replace(content, record={**content.record, **ends}))
    assert run("plane", tmp_path / "curve.pt", "--out", tmp_path / "plane.h5")[0] == 0
    marks = path_of(tmp_path / "plane.h5").marks()
    assert [mark.name for mark in marks] == ["with/net", "other/net"]


def test_a_surface_of_the_plane_covers_curve_and_bends_and_keeps_them(curves, tmp_path, alone):
    plane, out = tmp_path / "plane.h5", tmp_path / "surface.h5"
    assert run("plane", curves / "bezier.pt", "--out", plane)[0] == 0
    words = ["landscape_mpi.surface", "--directions", plane, "--model=resnet8", "--data=digits"]
    words += ["--limit=100", "--batch-norm=reestimate", "--out", out]
    # The curve's file is the checkpoint of its start; so is the start's own file.
    dry = alone([*words, "--checkpoint", curves / "1.pt", "--dry-run"], check=True)
    assert "51 x 51" in dry.stdout
    alone([*words, "--checkpoint", curves / "bezier.pt", "--x=fit:5", "--y=fit:5"], check=True)
    surface, curve = read_surface(out), path_of(plane)
    for axis, grid in (("alpha", surface.alpha), ("beta", surface.beta)):
        both = np.concatenate([curve[axis], curve[f"bend_{axis}"]])
        margin = 0.2 * np.ptp(both)
        # The center is a point of the grid, so it reaches up to a step further.
        assert grid[0] <= both.min() - margin
        assert grid[-1] >= both.max() + margin
        assert 0 in grid
    assert surface.curve is not None
    np.testing.assert_array_equal(surface.curve["alpha"], curve["alpha"])
    assert [mark.name for mark in surface.marks] == ["1", "2"]
    with h5py.File(out) as file:
        assert "towards the end" in file["alpha"].attrs["long_name"]

    figure = CONTOUR(make_panels(surface, ["train_loss"])[0])
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 121]
    for line in lines:
        np.testing.assert_array_equal(line.get_ydata(), curve["beta"])
    assert lines
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"Bezier curve", "straight line", "bend"} <= set(labels)
    assert any(label.startswith("A: 1") for label in labels)


def test_another_center_is_refused(curves, tmp_path, alone):
    plane, out = tmp_path / "plane.h5", tmp_path / "surface.h5"
    assert run("plane", curves / "bezier.pt", "--out", plane)[0] == 0
    words = ["landscape_mpi.surface", "--directions", plane, "--model=resnet8", "--data=digits"]
    done = alone([*words, "--checkpoint", curves / "2.pt", "--out", out])
    assert done.returncode == 2
    assert "so the curve does not lie in this plane" in done.stderr
    assert not out.exists()


def test_directions_without_a_curve_still_need_a_grid(curves, tmp_path, alone):
    plane, out = tmp_path / "plane.h5", tmp_path / "surface.h5"
    assert run("plane", curves / "bezier.pt", "--out", plane)[0] == 0
    with h5py.File(plane, "r+") as file:
        del file["curve"]
    words = ["landscape_mpi.surface", "--directions", plane, "--model=resnet8", "--data=digits"]
    done = alone([*words, "--checkpoint", curves / "1.pt", "--out", out])
    assert done.returncode == 2
    assert "error: --x is not given" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--through", "3,1"],
            "has the points 0, its start, to 2, its end. Name two of them other than 0.",
        ),
        (["--through", "1,1"], "is not two different whole numbers"),
        (["--out", "{curves}/bezier.pt"], "is a file that this command reads"),
        (
            ["--out", "{curves}/1.pt"],
            "1.pt is not an HDF5 file, or a damaged one, so it is not replaced",
        ),
    ],
)
def test_bad_input_is_one_message(curves, tmp_path, words, told):
    asked = [word.format(curves=curves) for word in words]
    before = [path.read_bytes() for path in sorted(curves.glob("*.pt"))]
    status, _, err = run("plane", curves / "bezier.pt", "--out", tmp_path / "p.h5", *asked)
    assert status == 2
    assert err.count("error:") == 1
    assert told in err
    assert list(tmp_path.iterdir()) == []
    assert [path.read_bytes() for path in sorted(curves.glob("*.pt"))] == before


def test_a_plane_replaces_a_plane_and_no_other_hdf5_file(curves, tmp_path):
    plane, other = tmp_path / "plane.h5", tmp_path / "other.h5"
    for _ in range(2):
        assert run("plane", curves / "bezier.pt", "--out", plane)[0] == 0
    with h5py.File(other, "w") as file:
        file["losses"] = [1.0, 2.0]
    before = other.read_bytes()
    status, _, err = run("plane", curves / "bezier.pt", "--out", other)
    assert status == 2
    assert "other.h5 is an HDF5 file, but not one of a plane, so it is not replaced" in err
    assert other.read_bytes() == before


def test_the_picture_of_an_evaluated_curve_has_both_paths(curves, tmp_path, capsys):
    out = tmp_path / "curve.h5"
    words = ("evaluate", curves / "bezier.pt", "--points", 4, "--limit", 100)
    assert run(*words, "--out", out)[0] == 0
    surface = read_surface(out)
    figure = draw_curve_profile(make_panels(surface, None))
    losses, errors = figure.axes
    assert (losses.get_ylabel(), errors.get_ylabel()) == ("loss (nat)", "error (%)")
    drawn = [line for line in errors.get_lines() if isinstance(line, Line2D)]
    expected = [
        surface.values[f"{split}_error"][:, k] for split in ("train", "test") for k in (0, 1)
    ]
    for line, values in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
        np.testing.assert_array_equal(line.get_xdata(), [0, 1 / 3, 2 / 3, 1])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    highest = surface.values["test_error"][:, 1].max()
    assert f"the straight line: test error up to {highest:.3g} %" in labels
    assert plot.main([str(out), "--dpi", "60"]) == 0
    assert str(tmp_path / "curve_along.png") in capsys.readouterr().out
    picture = matplotlib.image.imread(tmp_path / "curve_along.png")
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10
