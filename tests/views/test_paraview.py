"""Oracle: pixels of what ParaView draws by the scripts; where it is not, the scripts as text.

The light darkens colours and keeps their hue, so that yellow and violet are told by channels.
"""

import ast
import shutil

import h5py
import numpy as np
import pvpython
import pytest
import surface_files
from made_trajectory import make_trajectory
from test_render import columns_of

from landscape_mpi import vtp
from landscape_mpi.errors import InputError
from landscape_mpi.store.trajectory import Trajectories, write_trajectories

AXIS = np.linspace(-1.0, 1.0, 11)


@pytest.fixture
def write(tmp_path):
    def make(name, function):
        values = {"train_loss": surface_files.plane(AXIS, AXIS, function)}
        path = surface_files.write_surface(tmp_path / f"{name}.h5", AXIS, AXIS, values)
        with h5py.File(path, "a") as file:
            run = make_trajectory("sgd", alpha=[0.8, 0.0, -0.8], beta=[-0.6] * 3)
            write_trajectories(file, Trajectories((run,), {}))
        return path

    return make


def settings_of(script):
    """Return the constants a script begins with, as Python reads them."""
    found = {}
    for node in ast.parse(script.read_text()).body:
        if isinstance(node, ast.Assign):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def test_the_script_names_what_lies_beside_it(write, tmp_path, capsys):
    path = write("my.net", lambda a, b: 10.0 ** (2 * a))
    assert vtp.main([str(path), "--log", "--contours", "--paraview"]) == 0
    script = tmp_path / "my.net_paraview.py"
    assert f"{script}: opens it with paraview --script={script}" in capsys.readouterr().out
    found = settings_of(script)
    assert found["SURFACE"] == "my.net.vtp"
    assert [line[0] for line in found["LINES"]] == ["my.net_contours.vtp", "my.net_path.vtp"]
    np.testing.assert_allclose(found["RANGE"], [-2, 2])
    assert found["TICKS"] == [(-1.0, "0.1"), (0.0, "1"), (1.0, "10")]
    # The mesh is half as high as its plane is wide, and drawn 0.6 as high.
    assert found["STRETCH"] == pytest.approx(0.6 / 0.5)
    assert (found["BAR"], found["FRAME"], found["OCCLUSION"]) == (True, True, None)
    assert found["TIME"] is None
    assert found["TITLE"].replace("\n", " ") == "train loss (nat)"
    assert str(tmp_path) not in script.read_text()


def test_the_script_of_a_series_has_one_range_and_names_its_time(write, tmp_path):
    paths = [write(f"epoch_{k:02}", lambda a, b, k=k: k + a) for k in (1, 20)]
    out = tmp_path / "run.pvd"
    vtp.main([*map(str, paths), f"--series={out}", "--linear", "--paraview"])
    found = settings_of(tmp_path / "run_paraview.py")
    assert (found["SURFACE"], found["TIME"]) == ("run.pvd", "epoch")
    np.testing.assert_allclose(found["RANGE"], [0, 21])
    assert found["STRETCH"] == pytest.approx(0.6 / 0.5, rel=1e-3)


def test_the_script_has_the_look_of_the_paper(write, tmp_path):
    path = write("net", lambda a, b: 0.01 + a * a)
    words = ["--paraview", "--look=paper", "--camera=20,35", "--size=800x600"]
    assert vtp.main([str(path), *words]) == 0
    found = settings_of(tmp_path / "net_paraview.py")
    assert (found["CAMERA"], found["SIZE"]) == ((20.0, 35.0), [800, 600])
    assert (found["BAR"], found["FRAME"], found["TRANSPARENT"]) == (False, False, True)
    assert found["STRETCH"] == pytest.approx(0.85 / 0.5, rel=1e-3)
    assert len(found["LAMPS"]) == 2
    assert found["OCCLUSION"][0] == pytest.approx(0.24)
    for height, text in found["TICKS"]:
        assert height == pytest.approx(np.log10(float(text) + 0.1), abs=1e-4)
    cool, warm = np.array(found["COLORS"][0][1:]), np.array(found["COLORS"][-1][1:])
    assert cool[2] > 2 * cool[0]
    assert warm[0] > 2 * warm[2]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--out=net.stl"], "--paraview needs a .vtp, because net.stl has no quantities"),
        (["--out=no/net.vtp"], "there is no directory no"),
    ],
)
def test_what_gives_no_script(write, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    path = write("net", lambda a, b: a)
    with pytest.raises(InputError, match=text):
        vtp.main([str(path), "--paraview", *words])
    assert [file.name for file in tmp_path.iterdir()] == ["net.h5"]


def test_where_paraview_is_not_the_tests_skip_and_say_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LANDSCAPE_EXPECT_PARAVIEW", raising=False)
    missing = "^no pvpython and no Xvfb on PATH: apt-get install paraview xvfb"
    with pytest.raises(pytest.skip.Exception, match=f"{missing}$"):
        pvpython.find_paraview()
    (tmp_path / "Xvfb").touch(mode=0o755)
    with pytest.raises(pytest.skip.Exception, match="^no pvpython on PATH"):
        pvpython.find_paraview()
    (tmp_path / "Xvfb").unlink()
    monkeypatch.setenv("LANDSCAPE_EXPECT_PARAVIEW", "1")
    with pytest.raises(pytest.fail.Exception, match=f"{missing}; LANDSCAPE_EXPECT_PARAVIEW=1"):
        pvpython.find_paraview()


def test_paraview_draws_it_wherever_the_folder_is(write, tmp_path):
    pvpython.find_paraview()
    path = write("net", lambda a, b: a - 0.2 * b)
    vtp.main([str(path), "--contours=6", "--paraview"])
    elsewhere = tmp_path / "moved folder"
    elsewhere.mkdir()
    for made in (*tmp_path.glob("*.vtp"), tmp_path / "net_paraview.py"):
        shutil.move(made, elsewhere)
    script, picture = elsewhere / "net_paraview.py", tmp_path / "net.png"
    (pixels,) = pvpython.draw(script, picture, cwd=tmp_path)
    assert pixels.shape == (1200, 1600, 3)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert columns_of(pixels, yellow=True) > columns_of(pixels, yellow=False) + 300
    bar = pixels[:, int(0.83 * pixels.shape[1]) :]
    assert (np.ptp(bar, axis=2) > 60).any(axis=1).sum() > 400
    assert (bar < 60).all(axis=2).sum() > 300  # letters
    red, green, blue = pixels.transpose(2, 0, 1)
    assert ((red > 1.8 * green) & (blue > 1.2 * green)).sum() > 500  # the path


@pytest.mark.parametrize("azimuth", [-120, 60])
def test_both_axes_have_labels_whatever_the_camera(write, tmp_path, azimuth):
    """Letters are black, and the lines of the box are grey; the bar stands to the right of both."""
    pvpython.find_paraview()
    path = write("net", lambda a, b: 0.01 + a * a + b * b)
    vtp.main([str(path), "--paraview", f"--camera={azimuth},40", "--size=900x700"])
    (pixels,) = pvpython.draw(tmp_path / "net_paraview.py", tmp_path / "net.png", cwd=tmp_path)
    letters = (pixels < 60).all(axis=2)[350:, :740]
    left, right = letters[:, :300].sum(), letters[:, 430:].sum()
    assert min(left, right) > 50


@pytest.mark.parametrize("azimuth", [-118, 20])
def test_the_look_of_the_paper_fills_the_picture(write, tmp_path, azimuth):
    pvpython.find_paraview()
    path = write("net", lambda a, b: 0.01 + a * a + 3 * b * b + (20 if a == b == 1 else 0))
    words = ["--paraview", "--look=paper", f"--camera={azimuth},40", "--size=900x700"]
    vtp.main([str(path), *words])
    (pixels,) = pvpython.draw(tmp_path / "net_paraview.py", tmp_path / "net.png", cwd=tmp_path)
    drawn = np.argwhere((pixels != pixels[0, 0]).any(axis=2))
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    assert ((high - low) / [700, 900]).max() > 0.9
    assert (low > 3).all()
    assert (high < [696, 896]).all()


def test_paraview_steps_through_a_series(write, tmp_path):
    pvpython.find_paraview()
    paths = [write(f"epoch_{k}", lambda a, b, k=k: k * a) for k in (1, 5)]
    vtp.main([*map(str, paths), f"--series={tmp_path / 'run.pvd'}", "--paraview"])
    script = tmp_path / "run_paraview.py"
    first, last = pvpython.draw(script, tmp_path / "run.png", cwd=tmp_path)
    yellow = [
        ((part[:, :, 0] > 1.8 * part[:, :, 2]) & (part[:, :, 1] > 1.8 * part[:, :, 2])).sum()
        for part in (first[:, :1200], last[:, :1200])
    ]
    assert yellow[0] == 0
    assert yellow[1] > 500
    top = first[:120, 500:1100]
    assert (top < 80).all(axis=2).sum() > 50  # the number of the epoch
    assert (top != last[:120, 500:1100]).any()
