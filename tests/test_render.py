"""Oracle: Pillow's pixels: where the colours of the lowest and the highest points lie.

The light darkens colours and keeps their hue, so that yellow and violet are told by channels.
"""

import numpy as np
import pytest
import surface_files
from PIL import Image

from landscape_mpi import vtp
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.mesh import build_mesh
from landscape_mpi.views.render import ticks_of, title_of

AXIS = np.linspace(-1.0, 1.0, 11)


@pytest.fixture
def rendered(tmp_path):
    def make(function, *options):
        values = {"train_loss": surface_files.plane(AXIS, AXIS, function)}
        path = surface_files.write_surface(tmp_path / "net.h5", AXIS, AXIS, values)
        out = tmp_path / "net.png"
        vtp.main([str(path), f"--render={out}", *options])
        return np.asarray(Image.open(out).convert("RGB"), float)

    return make


def columns_of(pixels, *, yellow):
    """Return the mean column of what is yellow, or violet, left of the scalar bar."""
    left = pixels[:, : int(0.78 * pixels.shape[1])]
    red, green, blue = left.transpose(2, 0, 1)
    found = (
        (red > 1.8 * blue) & (green > 1.8 * blue) if yellow else (blue > 1.5 * green) & (blue > 30)
    )
    assert found.sum() > 200
    return np.flatnonzero(found.any(axis=0)).mean()


@pytest.mark.parametrize("factor", [1.0, 1e12, 1e-9])
def test_alpha_goes_to_the_right_and_nothing_is_cut(rendered, factor):
    pixels = rendered(lambda a, b: factor * (a - 0.2 * b))
    assert pixels.shape == (1200, 1600, 3)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert columns_of(pixels, yellow=True) > columns_of(pixels, yellow=False) + 300


@pytest.mark.parametrize("function", [lambda a, b: a, lambda a, b: a * a + b * b])
def test_the_surface_fills_its_part_of_the_picture(rendered, function):
    pixels = rendered(function)
    left = (pixels[:, : int(0.83 * pixels.shape[1])] < 255).any(axis=2)
    rows, columns = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
    shares = np.ptp(rows) / 1200, np.ptp(columns) / 1600
    assert max(shares[0] / 0.92, shares[1] / 0.795) == pytest.approx(1.0, abs=0.01)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(600, abs=6)


def test_the_other_way_round_and_with_its_bar(rendered):
    pixels = rendered(lambda a, b: 0.2 * b - a)
    assert columns_of(pixels, yellow=True) < columns_of(pixels, yellow=False) - 300
    bar = pixels[:, int(0.85 * pixels.shape[1]) :]
    colored = np.ptp(bar, axis=2) > 60
    assert colored.any(axis=1).sum() > 400
    letters = (bar < 60).all(axis=2)
    assert letters.sum() > 300


def test_the_bar_has_round_numbers_and_says_once_that_they_are_logarithms(tmp_path):
    assert ticks_of(-2.686, 4.101) == [-2, 0, 2, 4]
    assert ticks_of(0.0013, 0.0127) == [0.002, 0.004, 0.006, 0.008, 0.01, 0.012]
    values = {"train_loss": surface_files.plane(AXIS, AXIS, lambda a, b: 2 + a)}
    path = surface_files.write_surface(tmp_path / "net.h5", AXIS, AXIS, values)
    surface = read_surface(path)
    assert title_of(build_mesh(surface, "train_loss")) == "train loss\n(nat)"
    assert title_of(build_mesh(surface, "train_loss", log=True)) == "log10(train loss)\n(nat)"


def test_lines_of_equal_value_are_dark_on_it(rendered):
    plain = (rendered(lambda a, b: a) < 45).all(axis=2).sum()
    with_lines = (rendered(lambda a, b: a, "--contours=6") < 45).all(axis=2).sum()
    assert with_lines > plain + 2000


def test_a_constant_and_a_hole(rendered):
    assert rendered(lambda a, b: 2.0).std() > 5
    assert rendered(lambda a, b: np.nan if a == 0 else -a * a).std() > 5


def test_a_line_is_for_plot(tmp_path):
    path = surface_files.write_surface(tmp_path / "l.h5", AXIS, [0.0], {"train_loss": AXIS})
    with pytest.raises(InputError, match=r"has no faces to render. Draw it with landscape_mpi"):
        vtp.main([str(path), f"--render={tmp_path / 'l.png'}"])
