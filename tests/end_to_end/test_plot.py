"""Oracle: the files on disk, their own magic bytes, and the sentences printed.

That neither torch nor mpi4py is needed is proved in a process that cannot import them.
"""

import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import surface_files
from limits import LIMIT_S

from landscape_mpi import plot
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.registry import PICTURES

ALPHA = np.linspace(-1.0, 1.0, 5)
BETA = np.linspace(-0.5, 0.5, 3)
MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture
def surface(tmp_path):
    values = {
        "train_loss": surface_files.plane(ALPHA, BETA, lambda a, b: 0.5 + a * a + b),
        "train_error": surface_files.plane(ALPHA, BETA, lambda a, b: 10 * a * a),
    }
    return surface_files.write_surface(tmp_path / "net.h5", ALPHA, BETA, values)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".h5")


def test_every_quantity_and_kind_is_written_beside_the_file(surface, capsys):
    assert plot.main([str(surface), "--dpi=40"]) == 0
    wanted = [f"net_{q}_{k}.png" for q in ("train_error", "train_loss") for k in PICTURES]
    wanted += [
        f"net_{q}_ring{e}.csv" for q in ("train_error", "train_loss") for e in ("", "_numbers")
    ]
    assert names_in(surface.parent) == sorted(wanted)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        f"{surface}: train_loss: 15 of 15 points; min 0 at (0, -0.5); max 2 at (-1, 0.5); "
        "center 0.5"
    )
    assert printed[2] == str(surface.parent / "net_train_loss_contour.png")
    assert len(printed) == 2 + 10 + 2 + 4  # a sentence for each ring, and its tables


@pytest.mark.parametrize("suffix", MAGIC)
def test_formats_and_choices(surface, tmp_path, suffix):
    chosen = ["--quantity=train_error", "--kind=filled,contour", f"--format={suffix}"]
    out = tmp_path / "new" / "figures"
    plot.main([str(surface), *chosen, "--levels=2,5", "--linear", f"--out-dir={out}"])
    assert names_in(out) == [f"net_train_error_{k}.{suffix}" for k in ("contour", "filled")]
    assert all(path.read_bytes().startswith(MAGIC[suffix]) for path in out.iterdir())


def test_the_kinds_offered_are_the_kinds_there_are(capsys):
    assert "kinds of picture: contour, filled, heatmap, surface, ring; a line" in " ".join(
        plot.make_parser().format_help().split()
    )
    with pytest.raises(SystemExit) as ended:
        plot.main(["--list=kinds"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PICTURES)
    assert "heatmap     one cell for each point, nothing interpolated" in lines


def test_several_files_a_line_and_one_of_the_reference(surface, tmp_path):
    values = {"train_loss": ALPHA**2, "train_error": ALPHA**2}
    line = surface_files.write_surface(tmp_path / "line.h5", ALPHA, [0.0], values)
    reference = surface_files.write_reference(
        tmp_path / "m.t7_x[-1,1,5].h5", ALPHA, BETA, lambda a, b: (a + b + 2, 90 - a)
    )
    out = tmp_path / "out"
    files = [str(path) for path in (surface, line, reference)]
    plot.main([*files, "--kind=heatmap", f"--out-dir={out}", "--dpi=40"])
    assert names_in(out) == [
        "line_line.png",
        "m.t7_x[-1,1,5]_train_error_heatmap.png",
        "m.t7_x[-1,1,5]_train_loss_heatmap.png",
        "net_train_error_heatmap.png",
        "net_train_loss_heatmap.png",
    ]


def test_nothing_is_written_where_one_file_is_bad(surface, tmp_path):
    with pytest.raises(MissingInputError, match="gone.h5: does not exist"):
        plot.main([str(surface), str(tmp_path / "gone.h5")])
    values = {"train_error": np.eye(5, 3), "train_loss": np.full((5, 3), 1e-3)}
    bad = surface_files.write_surface(tmp_path / "bad.h5", ALPHA, BETA, values)
    with pytest.raises(InputError, match="no level of --levels 1.5 lies in its range, 0 to 1"):
        plot.main([str(surface), str(bad), "--quantity=train_error", "--levels=1.5"])
    assert names_in(surface.parent) == []


@pytest.fixture
def several(tmp_path):
    values = {
        "train_loss": surface_files.plane(ALPHA, BETA, lambda a, b: 0.5 + a * a + b * b),
        "train_gain": surface_files.plane(ALPHA, BETA, lambda a, b: -0.5 - a * a - b * b),
    }
    return surface_files.write_surface(tmp_path / "net.h5", ALPHA, BETA, values)


SYMLOG = "; center -0.5; drawn with --symlog, because --log needs positive values"
OTHERS = "; center -0.5; drawn with other levels, because none of --levels is in its range"


@pytest.mark.parametrize(("option", "words"), [("--log", SYMLOG), ("--levels=1,1.5", OTHERS)])
@pytest.mark.parametrize("compared", [False, True])
def test_what_suits_one_quantity_alone_stops_no_other(option, words, compared, several, capsys):
    files = [str(several)] * 2 + ["--compare"] if compared else [str(several)]
    assert plot.main([*files, option, "--kind=contour,surface", "--dpi=30"]) == 0
    assert len(names_in(several.parent)) == 4
    said = [line for line in capsys.readouterr().out.splitlines() if "15 of 15" in line]
    assert all(line.endswith(words) == (": train_gain:" in line) for line in said)
    assert len(said) == (4 if compared else 2)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--log", "--log needs positive values; the largest is -0.5"),
        ("--levels=1.0", "no level of"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--compare"]])
def test_what_does_not_suit_the_one_that_is_named_is_refused(option, words, more, several):
    files = [str(several), str(several)] if more else [str(several)]
    with pytest.raises(InputError, match=words):
        plot.main([*files, "--quantity=train_gain", option, *more])
    assert names_in(several.parent) == []


def test_nothing_computed_yet(tmp_path):
    values = {"train_loss": np.full((5, 3), np.nan)}
    path = surface_files.write_surface(
        tmp_path / "new.h5", ALPHA, BETA, values, done=np.zeros((5, 3))
    )
    with pytest.raises(InputError, match="0 of 15 points are computed"):
        plot.main([str(path)])


def test_files_of_one_name(surface, tmp_path):
    other = tmp_path / "other" / "net.h5"
    other.parent.mkdir()
    other.write_bytes(surface.read_bytes())
    with pytest.raises(
        InputError, match="two of the files have the same name and would write this picture"
    ):
        plot.main([str(surface), str(other), f"--out-dir={tmp_path}"])


def test_folder_that_cannot_be_made(surface):
    with pytest.raises(InputError, match=r"--out-dir .*net.h5/deep: cannot be made \(Not a dir"):
        plot.main([str(surface), f"--out-dir={surface}/deep"])


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--levels=many", "'many' is neither a number of levels nor a rising list of levels"),
        ("--levels=3,2", "'3,2' is neither"),
        ("--levels=1,nan", "'1,nan' is neither"),
        ("--levels=0", "0 levels: pass a number from 1 to 200"),
        ("--kind=cube", r"--kind: 'cube' is not known\. .*heatmap"),
        ("--kind=,", "the list holds no name"),
        ("--dpi=1e5", "'1e5' is not a whole number from 20 to 2400"),
        ("--format=jpg", "invalid choice: 'jpg'"),
        ("--quantity=train_lost", "'train_lost' is not known. Did you mean train_loss"),
    ],
)
def test_options_that_cannot_be(surface, option, text):
    with pytest.raises(InputError, match=text):
        plot.main([str(surface), option])


def test_watching_draws_each_round_until_the_surface_is_complete(surface, tmp_path):
    """Rounds land here as a job writes them: more values, then more flags."""
    with h5py.File(surface, "r+") as file:
        file["done"][...] = 0
    options = ["--watch", "--quantity=train_loss", "--kind=heatmap", "--dpi=30"]
    argv = [sys.executable, "-m", "landscape_mpi.plot", str(surface), *options]
    watching = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    picture = tmp_path / "net_train_loss_heatmap.png"
    pictures = []
    for n_rows in (2, 4, 5):
        with h5py.File(surface, "r+", locking=False) as file:
            file["done"][:n_rows] = 1
        assert f": {3 * n_rows} of 15 points;" in watching.stdout.readline()
        assert watching.stdout.readline() == f"{picture}\n"
        pictures.append(picture.read_bytes())
    assert watching.wait(timeout=LIMIT_S) == 0
    assert watching.stdout.read() == ""
    assert len(set(pictures)) == 3
    assert all(png.startswith(MAGIC["png"]) for png in pictures)


def test_watching_ends_cleanly_with_ctrl_c(surface):
    with h5py.File(surface, "r+") as file:
        file["done"][2] = 0
    argv = [sys.executable, "-m", "landscape_mpi.plot", str(surface), "--watch", "--dpi=30"]
    watching = subprocess.Popen(
        [*argv, "--kind=heatmap"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for _ in range(4):  # two quantities, two pictures
        watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    rest, _ = watching.communicate(timeout=LIMIT_S)
    assert watching.returncode == 0
    assert rest == ""
    assert names_in(surface.parent) == ["net_train_error_heatmap.png", "net_train_loss_heatmap.png"]


def test_watching_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError, match="gone.h5: does not exist"):
        plot.main(["--watch", str(tmp_path / "gone.h5")])


def test_log_and_linear_exclude_one_another(surface):
    with pytest.raises(InputError, match="--linear: not allowed with argument --log"):
        plot.main([str(surface), "--log", "--linear"])


@pytest.mark.parametrize(("option", "wanted"), [("--log", "log"), ("--symlog", "symlog")])
def test_scale_asked_for(surface, option, wanted):
    assert plot.make_parser().parse_args([str(surface), option]).scale == wanted
    assert plot.make_parser().parse_args([str(surface)]).scale is None


def test_runs_without_torch_mpi_and_pyplot(surface):
    code = surface_files.WITHOUT_TORCH_AND_MPI.format(command="plot")
    subprocess.run(
        [sys.executable, "-c", code, str(surface), "--dpi=30"], check=True, capture_output=True
    )
    assert "net_train_loss_surface.png" in names_in(surface.parent)


def test_bad_input_ends_with_status_2(tmp_path):
    command = [sys.executable, "-m", "landscape_mpi.plot", str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {tmp_path}: is a directory")
