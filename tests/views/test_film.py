"""Oracle: the frames as ffmpeg and Pillow decode them, and the pictures' own closed forms.

A plane that rises along alpha shows its yellow end on the right, and after half a turn on the
left. Scales are shared if a surface that is the lowest throughout has no colour of the upper half.
"""

import itertools
import os
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import surface_files
from folders import ROOT
from PIL import Image, ImageSequence

from landscape_mpi import plot
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.film import make_film
from landscape_mpi.views.levels import ScaleRequest

AXIS = np.linspace(-1.0, 1.0, 9)


@pytest.fixture
def write(tmp_path):
    def make(name, function, *, axis=AXIS, **more):
        values = {"train_loss": surface_files.plane(axis, axis, function)} | more
        return surface_files.write_surface(tmp_path / f"{name}.h5", axis, axis, values)

    return make


def read_mp4(path):
    """Return frames, float [n, rows, columns, 3], and what the file says of itself."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    columns, rows = about["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(rows, columns, 3) for frame in reader]
    return np.array(frames, float), about


def read_gif(path):
    with Image.open(path) as film:
        frames = [
            (np.asarray(frame.convert("RGB"), float), frame.info["duration"])
            for frame in ImageSequence.Iterator(film)
        ]
    return np.array([pixels for pixels, _ in frames]), [duration for _, duration in frames]


def place_of_yellow(pixels):
    """Return the mean column of what is yellow left of the colour bar, as a share of the width."""
    columns = pixels.shape[1]
    red, green, blue = pixels[:, : int(0.8 * columns)].transpose(2, 0, 1)
    found = (red > 1.8 * blue) & (green > 1.8 * blue) & (red > 60)
    assert found.sum() > 50
    return np.flatnonzero(found.any(axis=0)).mean() / columns


def share_of(pixels, *, upper):
    """Return the share of pixels left of the colour bar with a colour of a half of viridis."""
    red, green, blue = pixels[:, : int(0.8 * pixels.shape[1])].transpose(2, 0, 1)
    colored = np.abs(green - blue) + np.abs(red - green) > 40
    return float((colored & ((green > 1.25 * blue) == upper)).mean())


def test_a_turning_surface_as_mp4(write, tmp_path, capsys):
    path, out = write("net", lambda a, b: a), tmp_path / "turn.mp4"
    assert plot.main([str(path), f"--film={out}", "--seconds=0.4"]) == 0
    frames, about = read_mp4(out)
    assert frames.shape[0] == 8
    rows, columns = frames.shape[1:3]
    assert columns == 960
    assert rows % 2 == 0
    assert 500 < rows < 900
    assert about["codec"] == "h264"
    assert about["pix_fmt"].startswith("yuv420p")
    assert about["fps"] == 20
    assert f"{out}: 8 frames, 0.4 s, 960 x {rows} pixels" in capsys.readouterr().out
    assert frames[0].std() > 20
    assert place_of_yellow(frames[0]) > place_of_yellow(frames[4]) + 0.1
    assert all(np.abs(a - b).mean() > 0.5 for a, b in itertools.pairwise(frames))
    border = np.concatenate([frames[:, :3], frames[:, -3:]], axis=1)
    assert border.min() > 235  # nothing is cut
    assert frames[:, :, :3].min() > 235
    assert frames[:, :, -3:].min() > 235


def test_checkpoints_follow_one_another_in_one_scale(write, tmp_path):
    """The highest surface comes first on the command line, and has the highest number."""
    heights = {100: 4.0, 7: 0.0, 20: 2.0}
    paths = [
        write(f"epoch_{k:03}", lambda a, b, low=low: low + 0.3 * a) for k, low in heights.items()
    ]
    out = tmp_path / "run.gif"
    assert plot.main([*map(str, paths), f"--film={out}", "--kind=heatmap", "--seconds=3"]) == 0
    frames, durations = read_gif(out)
    assert durations == [1000, 1000, 1000]
    assert frames.shape[0] == 3
    assert frames.shape[2] == 560
    low, _, high = frames
    assert share_of(low, upper=True) == 0
    assert share_of(low, upper=False) > 0.2
    assert share_of(high, upper=True) > 0.2
    # The colour bar is the same, and so are the axes; the title says another epoch.
    bar = slice(int(0.87 * 560), None)
    np.testing.assert_array_equal(low[60:, bar], high[60:, bar])
    assert (low[:60] != high[:60]).any()
    assert len(np.unique(frames.reshape(-1, 3), axis=0)) <= 256


def test_a_slow_film_repeats_its_frames_and_says_which_epoch(write, tmp_path, monkeypatch):
    paths = [write(f"epoch_{k}", lambda a, b, k=k: a + k * b) for k in (1, 2)]
    titles = []

    def note(figure, *arguments):
        titles.append(figure.axes[0].get_title())
        return draw(figure, *arguments)

    from landscape_mpi.views import film_file

    draw = film_file.draw_pixels
    monkeypatch.setattr(film_file, "draw_pixels", note)
    out = tmp_path / "run.mp4"
    assert plot.main([*map(str, paths), f"--film={out}"]) == 0
    assert titles == ["resnet56, cifar10\nepoch 1", "resnet56, cifar10\nepoch 2"]
    frames, about = read_mp4(out)
    assert len(frames) == 10
    assert about["fps"] == 10
    assert np.abs(frames[0] - frames[4]).mean() < 0.5 < np.abs(frames[0] - frames[5]).mean()


def test_a_large_surface_is_thinned_and_that_is_said(write, tmp_path, capsys):
    axis = np.linspace(-1.0, 1.0, 121)
    path, out = write("net", lambda a, b: a, axis=axis), tmp_path / "turn.gif"
    assert plot.main([str(path), f"--film={out}", "--seconds=0.2"]) == 0
    assert "drawn with fewer points than computed (121 x 121)" in capsys.readouterr().out
    frames, _ = read_gif(out)
    assert frames.shape[0] == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--film=turn.avi"], "turn.avi ends in neither .mp4 nor .gif"),
        (["--film=turn.gif", "--kind=contour"], "a film of one file shows its surface turning"),
        (["--film=turn.gif", "--kind=contour,surface"], "a film shows only one of them"),
        (["--film=turn.gif", "--kind=ring"], "ring cannot be a film. To draw all files in one pic"),
        (["--film=turn.gif", "--quantity=train_loss,test_loss"], "a film shows only one of them"),
        (["--film=turn.gif", "--compare"], "--compare applies to pictures, not to --film"),
        (["--film=turn.gif", "--out-dir=x"], "--out-dir applies to pictures, not to --film"),
        (["--film=no/turn.gif"], "there is no directory no"),
        (["--film=net.h5"], "net.h5 ends in neither"),
        (["--film=turn.gif", "--seconds=0"], "'0' is not above 0"),
        (["--film=turn.gif", "--seconds=1000"], "1000 is longer than 600 s"),
        (["--seconds=5"], "--seconds applies only to a film"),
        (["--film=turn.gif", "--quantity=train_los"], "Did you mean train_loss"),
    ],
)
def test_what_makes_no_film(write, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    path = write("net", lambda a, b: a)
    with pytest.raises(InputError, match=text):
        plot.main([str(path), *words])
    assert [file.name for file in tmp_path.iterdir()] == ["net.h5"]


def test_a_film_without_a_finite_value_is_refused(write, tmp_path):
    path = write("net", lambda a, b: np.nan)
    with pytest.raises(InputError, match="no value of train_loss is finite, so every frame"):
        plot.main([str(path), f"--film={tmp_path / 'turn.gif'}"])
    assert not (tmp_path / "turn.gif").exists()


def test_a_line_is_no_film(tmp_path):
    path = surface_files.write_surface(tmp_path / "l.h5", AXIS, [0.0], {"train_loss": AXIS})
    with pytest.raises(InputError, match="--film needs a plane, but this file holds lines"):
        plot.main([str(path), f"--film={tmp_path / 'l.gif'}"])


def test_two_files_of_one_number(write, tmp_path):
    paths = [write("a7", lambda a, b: a), write("b7", lambda a, b: a)]
    with pytest.raises(InputError, match="--film: .*end in the same number, 7"):
        plot.main([*map(str, paths), f"--film={tmp_path / 'l.gif'}"])


def test_a_film_that_breaks_off_leaves_the_one_before(write, tmp_path, monkeypatch):
    path, out = write("net", lambda a, b: a), tmp_path / "turn.mp4"
    out.write_bytes(b"the one before")
    from landscape_mpi.views import film_file

    n_left = iter(range(2))

    def draw(*arguments):
        if next(n_left, None) is None:
            raise KeyboardInterrupt
        return drawn(*arguments)

    drawn = film_file.draw_pixels
    monkeypatch.setattr(film_file, "draw_pixels", draw)
    with pytest.raises(KeyboardInterrupt):
        plot.main([str(path), f"--film={out}", "--seconds=0.4"])
    assert out.read_bytes() == b"the one before"
    assert {file.name for file in tmp_path.iterdir()} == {"net.h5", "turn.mp4"}


def test_without_the_encoder_one_message_and_without_torch_and_mpi_a_gif(write, tmp_path):
    path = write("net", lambda a, b: a)
    blocked = '("torch", "mpi4py")', '("torch", "mpi4py", "imageio_ffmpeg")'
    code = surface_files.WITHOUT_TORCH_AND_MPI.format(command="plot").replace(*blocked)
    code = code.replace("status = main(sys.argv[1:])", RUN_BOTH)
    argv = [sys.executable, "-c", code, str(path), "--seconds=0.2"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--film: an .mp4 needs imageio-ffmpeg, which is not installed here." in done.stdout
    assert "pip install 'landscape_mpi[animation]'. Or name a .gif" in done.stdout
    assert not (tmp_path / "a.mp4").exists()
    assert read_gif(tmp_path / "a.gif")[0].shape[0] == 2


RUN_BOTH = """
from landscape_mpi.errors import InputError
try:
    main([*sys.argv[1:], "--film=a.mp4"])
except InputError as problem:
    print(problem)
status = main([*sys.argv[1:], "--film=a.gif"])
"""


def test_a_scale_that_does_not_suit_the_film_is_refused_though_none_is_named(write):
    surface = read_surface(write("net", lambda a, b: -1 - a * a))
    with pytest.raises(InputError, match="--log needs positive values"):
        make_film([surface], None, asked=ScaleRequest("log"), fps=2)
    values = {"train_gain": surface_files.plane(AXIS, AXIS, lambda a, b: -1 - a * a)}
    both = read_surface(write("both", lambda a, b: 1 + a * a, **values))
    assert make_film([both], None, asked=ScaleRequest("log"), fps=2).n_frames > 2
