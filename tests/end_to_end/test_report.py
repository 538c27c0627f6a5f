"""Oracle: the page's parts unpacked with base64, gzip and json alone; HTML read by html.parser.

What a browser shows of it is in test_report_page.py. That neither torch nor mpi4py is needed is
proved in a process that cannot import them.
"""

import base64
import gzip
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import surface_files
from limits import LIMIT_S
from surface_files import plane, write_surface

from landscape_mpi import report
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.schema import RUN

ALPHA, BETA = np.linspace(-1, 1, 5), np.linspace(-1, 1, 3)
MEGABYTE = 1e6


def bowl(a, b):
    return 0.25 + a * a + 0.1 * b


def page_of(path, *options):
    assert report.main([str(path), *options]) == 0
    return path.with_suffix(".html").read_text()


def part(page, name):
    packed = re.search(rf'<script [^>]*id="{name}">([^<]*)</script>', page)[1]
    return gzip.decompress(base64.b64decode(packed)).decode()


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f8")


def content_of(page):
    return json.loads(part(page, "data"))


@pytest.fixture
def surface(tmp_path):
    values = {"train_loss": plane(ALPHA, BETA, bowl), "train_error": plane(ALPHA, BETA, bowl) * 9}
    return write_surface(tmp_path / "net.h5", ALPHA, BETA, values)


def values_of(quantity):
    kind = {"f8": "<f8", "f4": "<f4"}[quantity["kind"]]
    return np.frombuffer(base64.b64decode(quantity["values"]), kind)


@pytest.mark.parametrize("factor", [1, 1e-30, 1e30])
def test_values_of_whose_digits_nothing_shows_take_half_the_room(tmp_path, factor):
    """Rounded to float32 they agree to seven digits, and a picture has some thousand pixels."""
    values = factor * plane(ALPHA, BETA, bowl) / 3
    values[0, 0], values[1, 2] = np.nan, -np.inf
    (packed,) = content_of(
        page_of(write_surface(tmp_path / "n.h5", ALPHA, BETA, {"train_loss": values}))
    )["surfaces"]
    (quantity,) = packed["quantities"]
    assert len(base64.b64decode(quantity["values"])) == 4 * values.size
    np.testing.assert_allclose(values_of(quantity), values.ravel(), rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: 1e6 + 1e-4 * a * b,  # differences that float32 loses
        lambda a, b: 1e300 * (a * a + 2),
        lambda a, b: 1e-40 * (a * a + 2) / 3,
    ],
    ids=["far from zero", "large", "small"],
)
def test_values_that_float32_would_change_are_those_of_the_file_bit_for_bit(tmp_path, function):
    values = plane(ALPHA, BETA, function)
    page = page_of(write_surface(tmp_path / "net.h5", ALPHA, BETA, {"train_loss": values}))
    (quantity,) = content_of(page)["surfaces"][0]["quantities"]
    assert values_of(quantity).dtype == np.float64
    assert values_of(quantity).tobytes() == values.tobytes()


def test_values_of_a_constant_keep_their_digits(tmp_path):
    values = np.full((5, 3), 1 / 3)
    page = page_of(write_surface(tmp_path / "net.h5", ALPHA, BETA, {"train_loss": values}))
    (quantity,) = content_of(page)["surfaces"][0]["quantities"]
    assert set(values_of(quantity)) == {1 / 3}


def test_the_values_are_those_of_the_file_bit_for_bit(tmp_path, capsys):
    values = plane(ALPHA, BETA, bowl)
    values[0, 0], values[1, 2], values[2, 1] = np.nan, np.inf, 1e300
    path = write_surface(tmp_path / "net.h5", ALPHA, BETA, {"train_loss": values})
    page = page_of(path)
    (packed,) = content_of(page)["surfaces"]
    found = values_of(packed["quantities"][0])
    assert found.tobytes() == values.tobytes()
    assert list(floats(packed["alpha"])) == list(ALPHA)
    assert packed["quantities"][0]["done"] is None
    size = path.with_suffix(".html").stat().st_size / MEGABYTE
    said = f"{path.with_suffix('.html')}: {size:.1f} MB, opens in any browser\n"
    assert capsys.readouterr().out == said


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    values = {"train_loss": plane(ALPHA, BETA, bowl)}
    paths = [tmp_path / "a" / "net.h5", tmp_path / "b" / "net.h5", tmp_path / "b" / "other.h5"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write_surface(path, ALPHA, BETA, values)
    page = page_of(paths[0], *map(str, paths[1:]))
    assert re.findall(r'<p class="file">([^<]*)</p>', page) == ["a/net.h5", "b/net.h5", "other.h5"]


def test_falling_axes_rise_on_the_page(tmp_path):
    values = {"train_loss": plane(ALPHA[::-1], BETA, lambda a, b: 10 * a + b)}
    page = page_of(write_surface(tmp_path / "net.h5", ALPHA[::-1], BETA, values))
    (packed,) = content_of(page)["surfaces"]
    assert list(floats(packed["alpha"])) == list(ALPHA)
    expected = plane(ALPHA, BETA, lambda a, b: 10 * a + b).ravel()
    np.testing.assert_allclose(values_of(packed["quantities"][0]), expected, rtol=1e-7)


def test_a_partial_surface_says_how_to_join_its_points(tmp_path):
    """On a plane the weighted means are its own values."""
    axis = np.linspace(-1, 1, 9)
    done = np.zeros((9, 9))
    done[::2, ::4] = 1
    slope = plane(axis, axis, lambda a, b: 3 * a - 2 * b + 1)
    page = page_of(write_surface(tmp_path / "net.h5", axis, axis, {"train_loss": slope}, done=done))
    (quantity,) = content_of(page)["surfaces"][0]["quantities"]
    assert list(base64.b64decode(quantity["done"])) == list(done.ravel().astype(int))
    gaps = quantity["gaps"]
    places, corners = (
        np.frombuffer(base64.b64decode(gaps[name]), "<i4") for name in ("places", "corners")
    )
    weights = floats(gaps["weights"]).reshape(-1, 3)
    assert sorted(places) == list(np.flatnonzero(done.ravel() == 0))
    assert done.ravel()[corners].all()
    joined = (weights * slope.ravel()[corners].reshape(-1, 3)).sum(axis=1)
    np.testing.assert_allclose(joined, slope.ravel()[places], atol=1e-12)


@pytest.mark.parametrize("kind", ["log", "symlog", "linear", None])
def test_the_scale_that_is_asked_for(surface, kind):
    page = page_of(surface, *([f"--{kind}"] if kind else []))
    assert content_of(page)["scale"] == kind


def test_a_cross_entropy_of_ten_classes_is_drawn_up_to_ten_nat(tmp_path):
    path = surface_files.write_reference(tmp_path / "m.h5", ALPHA, BETA, lambda a, b: (a + 2, 9))
    scales = content_of(page_of(path))["scales"]
    levels = [0.1, 0.5, *range(1, 11)]
    assert scales["train_loss"].items() >= {"top": 10, "levels": levels, "added": 0.1}.items()
    assert scales["train_error"]["top"] is None


def test_three_surfaces_of_101_x_101_points_stay_below_3_megabytes(tmp_path, capsys):
    """Random mantissas, which nothing compresses."""
    axis, draw = np.linspace(-1, 1, 101), np.random.default_rng(0)
    names = ("train_loss", "train_error", "test_loss", "test_error")
    paths = []
    for number in range(3):
        values = {name: draw.random((101, 101)) for name in names}
        paths.append(str(write_surface(tmp_path / f"{number}.h5", axis, axis, values)))
    report.main([*paths, f"--out={tmp_path / 'page.html'}"])
    assert (tmp_path / "page.html").stat().st_size < 3 * MEGABYTE


def test_the_same_files_give_the_same_page(surface):
    assert page_of(surface) == page_of(surface)


class Outside(html.parser.HTMLParser):
    """Collects every address a page names."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        named = {"src", "href", "action", "data", "poster", "srcset"}
        self.addresses += [value for name, value in attributes if name in named]


def test_the_page_names_no_address_and_lets_the_browser_refuse_any(surface):
    page = page_of(surface)
    outside = Outside()
    outside.feed(page)
    assert outside.addresses == []
    assert "default-src 'none'" in page
    assert "form-action 'none'" in page


def test_plotly_js_is_in_it_whole(surface):
    import plotly.offline

    """But for the parentheses around the function that makes it: with them it is parsed once."""
    begin, end = ": this, (() => {\n", "\n})));"
    ours = part(page_of(surface), "library")
    assert (ours.count(begin), ours.count(end)) == (1, 1)
    plain = ours.replace(begin, ": this, () => {\n").replace(end, "\n}));")
    assert plain == plotly.offline.get_plotlyjs()


def test_every_part_of_the_script_is_in_the_page(surface):
    page = page_of(surface)
    parts = sorted((Path(report.__file__).parent / "views/report/script").glob("*.js"))
    assert len(parts) > 10
    for part_of_script in parts:
        assert page.count(part_of_script.read_text()) == 1, part_of_script.name


def test_words_of_a_file_are_no_html(tmp_path):
    values = {"train_loss": plane(ALPHA, BETA, bowl)}
    attributes = {"model": "</script><b>net", "data": '"x" & $y ${z}'}
    path = write_surface(tmp_path / "<i>n.h5", ALPHA, BETA, values, attributes=attributes)
    page = page_of(path)
    assert "<b>net" not in page
    assert "&lt;/script&gt;&lt;b&gt;net" in page
    assert "&quot;x&quot; &amp; $y ${z}" in page
    assert "<i>n" not in page


def add_provenance(path):
    rows = np.zeros(3, RUN)
    start, end = b"2026-11-01T10:00:00+00:00", b"2026-11-01T10:02:05+00:00"
    where = (b"2 threads", b"4 x H100", b"4 x node7", b"torch 2", b"parallel HDF5", b"python")
    rows[0] = (start, end, b"complete", 15, 4, b"1", *where, b"ada", 0)
    with h5py.File(path, "r+") as file:
        group = file["provenance"]
        group.create_dataset("runs", data=rows)
        group.attrs["command"] = "python -m landscape_mpi.surface --x=-1:1:5 --out 'a b.h5'"
        group.attrs["checkpoint_sha256"] = "12fca82f"
        group.attrs.update({"user": "ada <l>", "host": "node7"})
        file["seconds"][...] = 2.0


def test_who_ran_what_on_what_for_how_long(surface):
    add_provenance(surface)
    page = page_of(surface)
    cells = re.findall(r"<td>([^<]*)</td>", page)
    run = ["1", "ada", "2026-11-01 10:00:00", "2 min 5 s", "complete", "15", "4"]
    assert cells[-9:] == [*run, "4 x H100", "4 x node7"]
    told = dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', page))
    assert told["who ran it"] == "ada &lt;l&gt;"
    assert told["on which host"] == "node7"
    assert told["on what hardware"] == "4 x H100"
    assert told["how long its runs took"] == "2 min 5 s"
    assert told["command that makes it again"].endswith("--x=-1:1:5 --out &#x27;a b.h5&#x27;")
    assert '<th scope="row">SHA-256 of the checkpoint</th><td>12fca82f</td>' in page
    assert '<th scope="row">time of all points on their ranks</th><td>30 s</td>' in page
    assert "python -m landscape_mpi.surface --x=-1:1:5 --out &#x27;a b.h5&#x27;</code>" in page
    assert f"python -m landscape_mpi.report {surface}</code>" in page


def test_what_is_not_known_of_a_surface_is_said_to_be(surface, tmp_path):
    """Old files do not name a user, nor do those of the reference implementation."""
    reference = surface_files.write_reference(
        tmp_path / "m.h5", ALPHA, BETA, lambda a, b: (a + 2, 90 - b)
    )
    rows = ("who ran it", "on which host", "on what hardware", "how long its runs took")
    for path in (surface, reference):
        told = dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', page_of(path)))
        for row in (*rows, "command that makes it again"):
            assert told[row] == "unknown: the file does not say", row
    old = np.dtype([(name, RUN[name]) for name in RUN.names if name != "user"])
    with h5py.File(surface, "r+") as file:
        run = np.zeros(1, old)
        run["started"] = b"2026-11-01T10:00:00+00:00"
        file["provenance"].create_dataset("runs", data=run)
    assert "<td>1</td><td>unknown</td><td>2026-11-01 10:00:00</td>" in page_of(surface)


def test_a_plane_without_a_point_at_the_center_tells_the_nearest(tmp_path):
    alpha, beta = np.linspace(-1, 1.1, 4), np.linspace(0.5, 1, 3)
    values = {"train_loss": plane(alpha, beta, lambda a, b: 10 * a + b + 9)}
    told = page_of(write_surface(tmp_path / "net.h5", alpha, beta, values))
    assert "<dt>train loss at (-0.3, 0.5), nearest to the center</dt><dd>6.5 nat</dd>" in told


def test_the_numbers_are_those_of_the_summary(surface):
    from landscape_mpi.store.reader import read_surface
    from landscape_mpi.views.summary import describe

    page = page_of(surface)
    lines = describe(read_surface(surface))[1:]
    # Options stand in an element of their own, which keeps them in one line.
    shown = [
        re.sub(r"<[^>]*>", "", text) for text in re.findall(r"<(?:li|h3)>(.*?)</(?:li|h3)>", page)
    ]
    assert shown == [line.strip().replace("'", "&#x27;") for line in lines]
    assert "smallest 0.15 at (0, -1), largest 1.35" in shown


def test_quantities_and_sums_that_are_asked_for(tmp_path):
    values = {"train_loss": np.full((5, 3), 2.0), "weight_decay_term": np.full((5, 3), 0.5)}
    path = write_surface(tmp_path / "net.h5", ALPHA, BETA, values)
    page = page_of(path, "--quantity=train_loss+weight_decay_term", "--log")
    content = content_of(page)
    (quantity,) = content["surfaces"][0]["quantities"]
    assert set(values_of(quantity)) == {2.5}
    assert content["scale"] == "log"
    with pytest.raises(InputError, match="'train_lost' is not known. Did you mean train_loss"):
        report.main([str(path), "--quantity=train_lost"])


def test_a_file_of_the_reference_implementation(tmp_path):
    path = surface_files.write_reference(
        tmp_path / "m.h5", ALPHA, BETA, lambda a, b: (10 * a + b + 20, 90 - a)
    )
    (packed,) = content_of(page_of(path))["surfaces"]
    expected = plane(ALPHA, BETA, lambda a, b: 10 * a + b + 20).ravel()
    assert [q["name"] for q in packed["quantities"]] == ["train_loss", "train_error"]
    np.testing.assert_allclose(values_of(packed["quantities"][0]), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--out={folder}/page.pdf"], "does not end in .html.* Name it page.html"),
        (["--out={folder}/gone/page.html"], "there is no directory"),
        (["--log", "--linear"], "not allowed with"),
        (["--quantity=,"], "the list holds no name"),
        (["{folder}/net.h5"] * 8, "9 surface files are named, but a page holds at most 8"),
        (["--watchh"], "Did you mean --watch"),
    ],
)
def test_options_that_cannot_be(surface, options, text):
    words = [option.format(folder=surface.parent) for option in options]
    with pytest.raises(InputError, match=text):
        report.main([str(surface), *words])
    assert not list(surface.parent.glob("*.html"))


def test_files_that_are_none(tmp_path, surface):
    with pytest.raises(MissingInputError, match="gone.h5: does not exist"):
        report.main([str(surface), str(tmp_path / "gone.h5")])
    text = tmp_path / "text.h5"
    text.write_text("no")
    with pytest.raises(InputError, match="text.h5: is not an HDF5 file"):
        report.main([str(text)])
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="is an HDF5 file, but not a surface file"):
        report.main([str(foreign)])
    short = tmp_path / "short.h5"
    short.write_bytes(surface.read_bytes()[:-100])
    with pytest.raises(InputError, match="is truncated"):
        report.main([str(short)])
    new = write_surface(
        tmp_path / "new.h5", ALPHA, BETA, {"train_loss": np.ones((5, 3))}, done=np.zeros((5, 3))
    )
    with pytest.raises(InputError, match="0 of 15 points are computed"):
        report.main([str(new)])
    assert not list(tmp_path.glob("*.html"))


def test_bad_input_ends_with_status_2(tmp_path):
    command = [sys.executable, "-m", "landscape_mpi.report", str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {tmp_path}: is a directory")
    assert ended.stderr.count("\n") == 1


def test_runs_without_torch_mpi_and_pyplot(surface):
    code = surface_files.WITHOUT_TORCH_AND_MPI.format(command="report")
    subprocess.run([sys.executable, "-c", code, str(surface)], check=True, capture_output=True)
    assert surface.with_suffix(".html").exists()


def test_watching_writes_the_page_each_round_until_the_surface_is_complete(surface):
    """Rounds land here as a job writes them: more values, then more flags."""
    with h5py.File(surface, "r+") as file:
        file["done"][...] = 0
    argv = [sys.executable, "-m", "landscape_mpi.report", str(surface), "--watch"]
    watching = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    page = surface.with_suffix(".html")
    reloads = []
    for n_rows in (2, 5):
        with h5py.File(surface, "r+", locking=False) as file:
            file["done"][:n_rows] = 1
        assert watching.stdout.readline().startswith(f"{page}: ")
        content = content_of(page.read_text())
        reloads.append(content["reload"])
        flags = content["surfaces"][0]["quantities"][0]["done"]
        assert (flags is None) == (n_rows == 5)
    assert watching.wait(timeout=LIMIT_S) == 0
    assert reloads == [10, None]


@pytest.mark.parametrize("towards", [(1, -1), (-1, 1), (1, 1), (-1, -1)])
def test_a_page_begins_where_no_wall_stands_before_the_basin(tmp_path, towards):
    """A wall of 300 nat stands on one side of a basin; the camera must not be behind it."""

    def wall(a, b):
        return 300.0 if a * towards[0] + b * towards[1] > 0.5 else 0.1 + a**2 + b**2

    axis = np.linspace(-1, 1, 31)
    page = page_of(
        write_surface(tmp_path / "a.h5", axis, axis, {"train_loss": plane(axis, axis, wall)})
    )
    azimuth = np.radians(content_of(page)["view"]["azimuth"])
    assert np.cos(azimuth) * towards[0] + np.sin(azimuth) * towards[1] < 0


def test_labels_are_the_titles_of_surfaces(tmp_path):
    values = {"train_loss": plane(ALPHA, BETA, bowl)}
    paths = [write_surface(tmp_path / f"{name}.h5", ALPHA, BETA, values) for name in "abc"]
    labels = ["--label=with <b>", "--label=without", "--label=third"]
    out = tmp_path / "page.html"
    assert report.main([*map(str, paths), *labels, f"--out={out}"]) == 0
    page = out.read_text()
    found = re.findall(r'<h2 id="name-\d">(.*?)</h2>', page)
    assert [html.unescape(title) for title in found] == ["with <b>", "without", "third"]
    assert "<title>with &lt;b&gt;, without and third: loss landscape</title>" in page
    with pytest.raises(InputError, match="--label: 1 name is given for 3 files"):
        report.main([*map(str, paths), "--label=a"])


@pytest.mark.parametrize("ends", ["100:200", ":-1", "3:"])
def test_a_range_that_leaves_nothing_of_the_first_quantity(tmp_path, ends):
    """The bowl goes from 0.15 to 1.35 nat, and its error, which is shown second, to 90 %."""
    values = {"train_loss": plane(ALPHA, BETA, bowl), "train_error": np.linspace(0, 90, 15)}
    path = write_surface(tmp_path / "net.h5", ALPHA, BETA, values)
    with pytest.raises(InputError, match=rf"net.h5: train_loss: --range {ends} leaves nothing .* "):
        report.main([str(path), f"--range={ends}"])
    assert not path.with_suffix(".html").exists()
    assert page_of(path, "--range=80:200", "--quantity=train_error,train_loss")


def test_the_title_names_data_in_a_file_without_its_folder(tmp_path):
    known = {"model": "net", "data": "npz:/some/where/first4000.npz"}
    path = write_surface(
        tmp_path / "a.h5", ALPHA, BETA, {"train_loss": plane(ALPHA, BETA, bowl)}, attributes=known
    )
    page = page_of(path)
    assert "<title>net, first4000.npz" in page
    assert "npz:/some/where/first4000.npz" in page  # where it comes from
