"""Oracle: surfaces of few points whose wells, passes and hills are read off by eye.

The table is read back by csv, the pictures' artists are compared with it; that lines of the tree do
not cross is tried on random trees. That neither torch nor mpi4py is needed is proved in a process
that cannot import them.
"""

import csv
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import surface_files
from libraries import needs_gudhi
from matplotlib.collections import LineCollection
from PIL import Image

from landscape_mpi import topology
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.canvas import write_figure
from landscape_mpi.views.merge_tree import draw_topology, order_leaves
from landscape_mpi.views.topology import NONE

pytestmark = needs_gudhi

# From the left: the deepest well, a pass of 6, a well of 1, a pass of 4, a well of 2; below them a
# hill of 9, around which the lowest ring climbs to 5.
VALUES = np.array(
    [
        [7, 7, 7, 7, 7, 7, 7],
        [7, 0, 6, 1, 4, 2, 8],
        [7, 3, 6.5, 5, 9, 3, 8],
        [7, 6.2, 6.7, 4.5, 3.5, 3.2, 8],
        [7, 7, 7, 7, 7, 7, 7],
    ]
).T
ALPHA, BETA = np.linspace(-3.0, 3.0, 7), np.linspace(0.0, 1.0, 5)
LINE = np.array([3.0, 0.5, 5.0, 1.0, 4.0, 2.0, 9.0])


@pytest.fixture
def write(tmp_path):
    def make(values=VALUES, alpha=ALPHA, beta=BETA, **options):
        path = tmp_path / "net.h5"
        return surface_files.write_surface(path, alpha, beta, {"train_loss": values}, **options)

    return make


def rows_of(path, kind):
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind]


def found_in(path, *options):
    chosen = topology.make_parser().parse_args([str(path), *options])
    return topology.find_all(read_surface(path), chosen)


def test_says_what_there_is(write, capsys):
    path = write()
    assert topology.main([str(path), "--dpi=30"]) == 0
    stem = path.with_name("net_train_loss_topology")
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: train_loss, 7 x 5 points, 8 neighbours",
        "minima: 3",
        "saddles: 3",
        "maxima inside the grid: 1",
        "minima - saddles + maxima: 1",
        "values: 0 to 9",
        "beside the deepest minimum: largest persistence 5 nat, 55.6 % of the height; in all 7 nat",
        "basins of at least 0.1 %, 1 %, 10 % of the height: 2, 2, 2",
        "minima, the most persistent first",
        "          alpha      beta       value  persistence   basin  ends in",
        "    1        -2      0.25           0            9  40.0 %  never",
        "    2         0      0.25           1            5  17.1 %  1",
        "    3         2      0.25           2            2  42.9 %  2",
        f"{stem}.csv",
        f"{stem}.png",
    ]


def test_the_table_holds_the_points_and_the_tree(write, tmp_path):
    topology.main([str(write()), f"--out={tmp_path / 'all'}", "--dpi=30"])
    minima, saddles, maxima = (
        rows_of(tmp_path / "all.csv", kind) for kind in ("minimum", "saddle", "maximum")
    )
    assert [row["merges_into"] for row in minima] == ["", "1", "2"]
    assert [(float(row["alpha"]), float(row["value"])) for row in minima] == [
        (-2, 0),
        (0, 1),
        (2, 2),
    ]
    at = {row["number"]: row for row in saddles}
    assert [float(at[row["saddle"]]["value"]) for row in minima[1:]] == [6.0, 4.0]
    assert minima[0]["saddle"] == ""
    (top,) = maxima
    assert (float(top["value"]), float(top["alpha"]), float(top["beta"])) == (9.0, 1.0, 0.5)
    for row in minima[1:]:
        rise = float(at[row["saddle"]]["value"]) - float(row["value"])
        assert float(row["persistence"]) == rise
    assert sum(float(row["share"]) for row in minima) == pytest.approx(1.0)
    assert {row["line"] for row in (*minima, *saddles, *maxima)} == {""}


def test_persistence_in_decades(write, tmp_path, capsys):
    path = write(VALUES + 1.0)
    topology.main([str(path), "--log", "--min-persistence=0.3", f"--out={tmp_path / 'log.csv'}"])
    minima = rows_of(tmp_path / "log.csv", "minimum")
    found = [float(row["persistence"]) for row in minima]
    np.testing.assert_allclose(found, [1.0, math.log10(7 / 2)])
    assert float(minima[0]["share"]) + float(minima[1]["share"]) == pytest.approx(1.0)
    printed = capsys.readouterr().out
    assert "8 neighbours, persistence at least 0.3 decades" in printed
    assert "values: 1 to 10, 1 decades" in printed
    assert (tmp_path / "log.png").exists()


def test_a_line_has_minima_and_maxima(write, capsys):
    path = write(LINE, ALPHA, [0.0])
    topology.main([str(path), "--dpi=30"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("7 x 1 points, each point with the next")
    assert lines[1:3] == ["minima: 3", "maxima: 2, each between two minima"]
    kinds = {
        kind: rows_of(path.with_name("net_train_loss_topology.csv"), kind)
        for kind in ("minimum", "saddle", "maximum")
    }
    assert [float(row["value"]) for row in kinds["maximum"]] == [5.0, 4.0]
    assert kinds["saddle"] == []
    assert [row["saddle"] for row in kinds["minimum"]] == ["", "1", "2"]


def test_lines_along_several_directions_are_taken_one_by_one(write, capsys):
    values = np.stack([LINE, LINE**2, ALPHA**2], axis=1)
    path = write(values, ALPHA, [1.0, 2.0, 3.0], attributes={"repeats": 3})
    topology.main([str(path), "--dpi=30"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines[:4]] == [
        f"{path}: train_loss, 7 x 1 points, each point with the next, 3 lines, each by itself",
        "  line 1: 3 minima",
        "  line 2: 3 minima",
        "  line 3: 1 minimum",
    ]
    minima = rows_of(path.with_name("net_train_loss_topology.csv"), "minimum")
    assert [row["line"] for row in minima] == ["1"] * 3 + ["2"] * 3 + ["3"]


def test_what_is_left_out_is_said(write, capsys):
    values = VALUES.copy()
    values[4, 2], values[0, 0] = np.nan, np.inf
    topology.main([str(write(values)), "--dpi=30", "--format=svg"])
    lines = capsys.readouterr().out.splitlines()
    assert "left out: 2 points not finite" in lines
    assert "rings around points left out: 1; each counts as a saddle" in lines
    assert "minima - saddles + maxima: 0" in lines
    (ring,) = (
        row
        for row in rows_of(write().with_name("net_train_loss_topology.csv"), "saddle")
        if row["persistence"] == "inf"
    )
    assert float(ring["value"]) == 5.0


def test_one_basin(write, capsys):
    topology.main([str(write(1.0 + ALPHA[:, None] ** 2 + BETA)), "--dpi=30"])
    lines = capsys.readouterr().out.splitlines()
    assert "one basin: every walk downhill ends at its minimum" in lines
    assert "minima: 1, 1 of them on the border" in lines


def branches(axes):
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    return [np.array(segment) for each in lines for segment in each.get_segments()]


def test_the_tree_and_the_diagram_show_the_pairs(write):
    figure = draw_topology(found_in(write()))
    tree, diagram = figure.axes
    stems = {tuple(s[:, 1]) for s in branches(tree) if s[0, 0] == s[1, 0]}
    assert stems == {(0.0, 9.0), (1.0, 6.0), (2.0, 4.0)}
    arms = [s for s in branches(tree) if s[0, 0] != s[1, 0]]
    assert sorted(s[0, 1] for s in arms) == [4.0, 6.0]
    drawn = {tuple(map(float, p)) for c in diagram.collections for p in c.get_offsets()}
    assert drawn == {(0.0, 9.0), (1.0, 6.0), (2.0, 4.0), (5.0, 9.0)}
    assert tree.get_ylabel() == "mean loss over the training set (nat)"
    assert tree.get_ylim() == diagram.get_ylim() == diagram.get_xlim()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        "minimum, up to its saddle",
        "saddle where two meet",
        "maximum, from its saddle",
    ]


@pytest.mark.parametrize("options", [[], ["--log"]])
def test_a_high_wall_does_not_squeeze_the_tree(write, options):
    """The wells lie up to 6 and the hill up to 9, the wall at 1e5: what meets has the axes."""
    values = VALUES + 1.0
    values[-1] = 1e5
    figure = draw_topology(found_in(write(values), *options))
    tree, diagram = figure.axes
    low, high = tree.get_ylim()
    bottom, last = (np.log10([1.0, 7.0])) if options else (1.0, 7.0)
    assert (last - bottom) / (high - low) > 0.5
    assert tree.get_ylim() == diagram.get_ylim() == diagram.get_xlim()
    for axes in (tree, diagram):
        (said,) = [text for text in axes.texts if text.get_text().startswith("up to")]
        assert said.get_text() == "up to 100,000"
        assert said.xy[1] == high
    stems = [s for c in tree.collections[:2] for s in c.get_segments() if s[0][0] == s[1][0]]
    assert max(stem[1][1] for stem in stems) == high
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in diagram.collections])
    assert (drawn[:, 1] <= high).all()
    assert (drawn[:, 1] == high).sum() == 1  # of the deepest, which never ends


def test_a_tree_that_has_room_is_whole(write):
    figure = draw_topology(found_in(write()))
    assert figure.axes[0].get_ylim()[1] > 9.0
    assert not [text for axes in figure.axes for text in axes.texts if "up to" in text.get_text()]


def test_values_below_the_axis_do_not_lie_on_one_another(write):
    figure = draw_topology(found_in(write(1e5 * VALUES)))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[1].get_xticklabels()]
    assert len(boxes) > 1
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_lines_of_a_tree_do_not_cross():
    random = np.random.default_rng(3)
    for n in (1, 2, 7, 40):
        into = np.array([NONE, *(random.integers(0, k) for k in range(1, n))])
        ends = 100.0 - np.arange(n)  # a branch ends below the one it ends in
        x = np.empty(n)
        x[order_leaves(into, ends)] = np.arange(n)
        for arm in range(1, n):
            left, right = sorted((x[arm], x[into[arm]]))
            between = (left < x) & (x < right)
            assert not (between & (ends >= ends[arm])).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [
        np.ones((7, 5)),
        VALUES - 3.0,
        10.0 ** (1.5 * VALUES),
        np.random.default_rng(0).random((7, 5)),
    ],
    ids=["constant", "negative", "wide", "rough"],
)
def test_pictures_have_nothing_cut(write, tmp_path, values):
    found = found_in(write(values), *(["--log"] if values.max() > 1e9 else []))
    path = tmp_path / "tree.png"
    write_figure(lambda: draw_topology(found), path, dpi=50)
    pixels = np.asarray(Image.open(path).convert("RGB"), float)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.std() > 5


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        (VALUES, ["--log"], "--log needs positive values; 1 of 35 points are zero or negative"),
        (np.full((7, 5), np.nan), [], "net.h5: train_loss: no computed point is finite"),
        (VALUES, ["--quantity=train_lost"], "'train_lost' is not known. Did you mean train_loss"),
        (VALUES, ["--neighbours=6"], "--neighbours: invalid choice: 6"),
        (VALUES, ["--out=gone/net"], "there is no directory gone"),
        (VALUES, ["--min-persistence=-1"], "'-1' is not a finite number of at least 0"),
        (VALUES, ["--dpi=0"], "'0' is not a whole number from 20 to 2400"),
    ],
)
def test_what_cannot_be(write, values, options, text):
    path = write(values)
    with pytest.raises(InputError, match=text):
        topology.main([str(path), *options])
    assert [file.name for file in path.parent.iterdir()] == ["net.h5"]


def test_lines_between_solutions_have_their_own_command(write):
    path = write(attributes={"solutions": ["a.pt", "b.pt"]})
    with pytest.raises(InputError, match="holds lines between solutions"):
        topology.main([str(path)])


def test_nothing_computed_yet(write):
    with pytest.raises(InputError, match="0 of 35 points are computed"):
        topology.main([str(write(done=np.zeros((7, 5))))])


def test_runs_without_torch_mpi_and_pyplot(write):
    path = write()
    code = surface_files.WITHOUT_TORCH_AND_MPI.format(command="topology")
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
    assert path.with_name("net_train_loss_topology.png").exists()
