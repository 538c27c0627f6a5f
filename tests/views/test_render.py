"""Oracle: Pillow's pixels: where the colours of the lowest and the highest points lie.

The light darkens colours and keeps their hue, so that yellow and violet are told by channels.
"""

import numpy as np
import pytest
import surface_files
from matplotlib import colormaps
from PIL import Image

from landscape_mpi import vtp
from landscape_mpi.draw import meshes
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.heights import choose_heights
from landscape_mpi.views.mesh import build_mesh
from landscape_mpi.views.mesh_view import view_meshes
from landscape_mpi.views.render_look import PLAIN

AXIS = np.linspace(-1.0, 1.0, 11)


@pytest.fixture
def rendered(tmp_path):
    def make(function, *options, mode="RGB"):
        values = {"train_loss": surface_files.plane(AXIS, AXIS, function)}
        path = surface_files.write_surface(tmp_path / "net.h5", AXIS, AXIS, values)
        out = tmp_path / "net.png"
        vtp.main([str(path), f"--render={out}", *options])
        return np.asarray(Image.open(out).convert(mode), float)

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


BAR = 1333  # the first column of the strip of the bar


@pytest.mark.parametrize("factor", [1.0, 1e12, 1e-9])
def test_alpha_goes_to_the_right_and_nothing_is_cut(rendered, factor):
    pixels = rendered(lambda a, b: factor * (a - 0.2 * b), "--linear", "--camera=-58,32")
    assert pixels.shape[1:] == (1600, 3)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert columns_of(pixels, yellow=True) > columns_of(pixels, yellow=False) + 300


@pytest.mark.parametrize("function", [lambda a, b: a, lambda a, b: a * a + b * b])
def test_the_surface_fills_nine_tenths_of_the_picture_both_ways(rendered, function):
    pixels = rendered(function)
    left = (pixels[:, :BAR] < 255).any(axis=2)
    rows, columns = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
    assert np.ptp(rows) / len(pixels) > 0.9
    assert np.ptp(columns) / BAR > 0.9
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(len(pixels) / 2, abs=8)


def test_the_other_way_round_and_with_its_bar(rendered):
    pixels = rendered(lambda a, b: 0.2 * b - a, "--linear", "--camera=-58,32")
    assert columns_of(pixels, yellow=True) < columns_of(pixels, yellow=False) - 300
    bar = pixels[:, BAR:]
    assert (np.ptp(bar, axis=2) > 60).any(axis=1).sum() > 0.5 * len(pixels)
    assert (bar < 60).all(axis=2).sum() > 300  # letters
    without = rendered(lambda a, b: 0.2 * b - a, "--linear", "--no-bar")
    used = np.flatnonzero((without < 255).any(axis=(0, 2)))
    assert np.ptp(used) > 0.9 * 1600


def test_a_plateau_has_the_colour_that_the_bar_gives_it(rendered):
    """The oracle is matplotlib's map at the middle of the range."""
    steps = rendered(lambda a, b: 0.0 if a < -0.7 else 1.0 if a < 0.7 else 2.0, "--linear")
    wanted = 255 * np.array(colormaps["viridis"](0.5)[:3])
    row = len(steps) // 2
    found = steps[row - 20 : row + 20, BAR // 2 - 20 : BAR // 2 + 20].reshape(-1, 3)
    np.testing.assert_allclose(np.median(found, axis=0), wanted, atol=4)


def test_the_bar_is_labelled_with_the_loss_and_not_with_its_logarithm(tmp_path):
    values = {"train_loss": surface_files.plane(AXIS, AXIS, lambda a, b: 0.01 + 99 * a * a)}
    surface = surface_files.surface_of(tmp_path / "n.h5", AXIS, AXIS, values)
    heights = choose_heights([surface.values["train_loss"]], "nat")
    mesh = build_mesh(surface, "train_loss", heights=heights)
    view = view_meshes([surface], [mesh], "train_loss", heights, PLAIN)
    assert view.title == "train loss\n(nat)"
    places, texts = view.ticks
    assert texts[:2] == ["0", "0.1"]
    np.testing.assert_allclose(places, np.log10(np.array(texts, float) + 0.1))
    np.testing.assert_allclose(view.colors_from_to, np.log10([0.1, 99.11]))


def test_lines_of_equal_value_are_dark_and_thin(rendered):
    plain = (rendered(lambda a, b: a, "--linear") < 60).all(axis=2)
    lines = (rendered(lambda a, b: a, "--linear", "--contours=6") < 60).all(axis=2)
    assert lines.sum() > plain.sum() + 600
    widths = lines[len(lines) // 2, :BAR].sum()  # across about ten lines
    assert widths < 10 * 6


def test_a_constant_and_a_hole(rendered):
    assert rendered(lambda a, b: 2.0).std() > 5
    assert rendered(lambda a, b: np.nan if a == 0 else -a * a).std() > 5


def test_the_look_of_the_paper_has_no_ground_and_its_own_colours(rendered):
    bowl = "--look=paper", "--size=640x480"
    pixels = rendered(lambda a, b: 0.1 + 20 * (a * a + b * b), *bowl, mode="RGBA")
    assert pixels.shape == (480, 640, 4)
    covered = pixels[:, :, 3]
    assert covered[0].max() == covered[:, 0].max() == 0
    assert 0.2 < (covered == 255).mean() < 0.9
    assert ((covered > 0) & (covered < 255)).sum() > 300  # smooth edges
    red, _, blue = pixels[covered == 255][:, :3].T
    assert (red > 1.3 * blue).sum() > 2000
    assert (blue > 1.3 * red).sum() > 500


def test_narrow_places_are_darker_by_occlusion(tmp_path):
    """A trench between two blocks, seen from straight above: its floor sees little sky."""
    axis = np.linspace(-1.0, 1.0, 41)
    values = {"train_loss": surface_files.plane(axis, axis, lambda a, b: float(abs(a) > 0.12))}
    path = surface_files.write_surface(tmp_path / "net.h5", axis, axis, values)
    out = tmp_path / "net.png"
    words = ["--look=paper", "--linear", "--camera=-90,90", "--size=600x600", "--relief=0.08"]
    words += ["--cmap=RdGy"]
    vtp.main([str(path), f"--render={out}", *words])
    shaded = np.asarray(Image.open(out).convert("RGB"), float)[200:400].mean(axis=(0, 2))
    floor, block = shaded[295:305].mean(), shaded[100:200].mean()
    light = 255 * np.mean([colormaps["RdGy"](end)[:3] for end in (0.0, 1.0)], axis=1)
    assert floor / light[0] < 0.985 * block / light[1]


def test_the_camera_and_the_relief_are_as_asked(rendered):
    flat = rendered(lambda a, b: a * a, "--linear", "--camera=-90,0", "--relief=0.25", "--no-bar")
    used = (flat < 255).any(axis=2)
    rows, columns = (np.ptp(np.flatnonzero(used.any(axis=k))) for k in (1, 0))
    # Seen from far away it would be a quarter; the near edge is larger.
    assert 0.2 < rows / columns < 0.35


def test_a_large_surface_is_drawn_with_fewer_points_and_a_line_says_so(
    rendered, capsys, monkeypatch
):
    monkeypatch.setattr(meshes, "MOST_DRAWN", 6)
    # On the points that are drawn, every second one, the surface is flat.
    pixels = rendered(lambda a, b: round(5 * (a + 1)) % 2 + 1e-3 * a, "--linear", "--no-bar")
    assert "drawn with fewer points than computed (11 x 11)" in capsys.readouterr().out
    assert len(np.unique(pixels[len(pixels) // 2].reshape(-1, 3), axis=0)) < 40


def test_a_lid_hides_and_the_camera_looks_past_it(tmp_path):
    """A trench that is open towards the largest alpha, in a plateau that the range cuts."""
    axis = np.linspace(-1.0, 1.0, 61)
    trench = surface_files.plane(
        axis, axis, lambda a, b: 0.05 if a > -0.2 and abs(b) < 0.15 else 50.0
    )
    values = {"train_loss": trench}
    path = surface_files.write_surface(tmp_path / "n.h5", axis, axis, values)
    surface = read_surface(path)
    heights = choose_heights([trench], "nat", ends=(None, 10.0))
    mesh = build_mesh(surface, "train_loss", heights=heights, lid=True)
    view = view_meshes([surface], [mesh], "train_loss", heights, PLAIN, lid=True)
    assert abs(view.camera.azimuth) <= 30


def test_neither_an_offset_of_the_values_nor_one_of_the_plane_changes_the_picture(tmp_path):
    """VTK draws in float32, which has 7 digits; these surfaces need 9."""
    pictures = []
    for name, offset, place in (("near", 0.0, 0.0), ("high", 5.0, 0.0), ("far", 0.0, 4096.0)):
        loss = offset + surface_files.plane(AXIS, AXIS, lambda a, b: 1e-6 * (a * a + b * b))
        axis = place + (1e-5 if place else 1.0) * AXIS
        path = tmp_path / f"{name}.h5"
        surface_files.write_surface(path, axis, axis, {"train_loss": loss})
        options = ["--linear", "--no-bar", "--camera=-60,40", "--size=400x300", "--contours"]
        vtp.main([str(path), f"--render={tmp_path / name}.png", *options])
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), float))
    near, high, far = pictures
    assert np.abs(near - high).mean() < 1
    assert np.abs(near - far).mean() < 1


@pytest.mark.parametrize("place", [0.0, 4096.0])
def test_the_triangles_of_stl_keep_apart_what_is_close_and_far_from_0(tmp_path, place):
    """The test reads the corners from the binary file: 84 bytes, then 50 for each triangle."""
    axis = place + 1e-5 * AXIS
    loss = 5.0 + surface_files.plane(AXIS, AXIS, lambda a, b: 1e-6 * (a * a + b * b))
    path = surface_files.write_surface(tmp_path / "net.h5", axis, axis, {"train_loss": loss})
    vtp.main([str(path), f"--out={tmp_path / 'net.stl'}", "--linear"])
    row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("end", "<u2")])
    corners = np.frombuffer((tmp_path / "net.stl").read_bytes()[84:], row)["corners"]
    alpha = np.unique(corners[:, :, 0].astype(float))
    np.testing.assert_allclose(np.diff(alpha), 2e-6, rtol=1e-3)
    heights = np.unique(np.round(corners[:, :, 2].astype(float) / 1e-5, 4))
    assert np.ptp(heights) == pytest.approx(1.0, abs=1e-3)  # half as high as the plane is wide
    assert len(heights) == len(np.unique(np.round(AXIS[:, None] ** 2 + AXIS**2, 9)))


def test_a_line_is_for_plot(tmp_path):
    path = surface_files.write_surface(tmp_path / "l.h5", AXIS, [0.0], {"train_loss": AXIS})
    with pytest.raises(InputError, match=r"has no faces to render. Draw it: python -m landscape"):
        vtp.main([str(path), f"--render={tmp_path / 'l.png'}"])
