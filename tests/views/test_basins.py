"""The number of basins of several surfaces, over the least persistence that counts.

Oracle: the pools of a union-find over sorted points, of test_topology.py, and wells that are
read off by eye; what is drawn is read from the artists.
"""

import h5py
import numpy as np
import pytest
import surface_files
from csv_rows import rows_of
from libraries import needs_gudhi
from matplotlib.patches import StepPatch
from test_edge_figures import check, check_texts_are_apart
from test_topology import minima_by_hand
from test_topology_command import ALPHA, BETA, LINE, VALUES

from landscape_mpi import topology
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.basins import count_basins, join_basins

pytestmark = needs_gudhi

AXIS = np.linspace(-1.0, 1.0, 25)
# Basins of the planes that the method's authors published; those from 0.1 nat on.
PUBLISHED = {"resnet20": 2, "resnet56": 5, "resnet56_noshort": 66, "resnet110_noshort": 53}
DEEPER = {"resnet20": 1, "resnet56": 5, "resnet56_noshort": 46, "resnet110_noshort": 39}
ROUGH = np.exp(np.random.default_rng(2).normal(size=(25, 25)))


@pytest.fixture
def write(tmp_path):
    def make(name, values, alpha=AXIS, beta=AXIS, **options):
        path = tmp_path / f"{name}.h5"
        return surface_files.write_surface(path, alpha, beta, {"train_loss": values}, **options)

    return make


@pytest.fixture
def three(write):
    bowl = 1.0 + AXIS[:, None] ** 2 + AXIS**2
    return [write("rough", ROUGH), write("bowl", bowl), write("wells", VALUES + 1.0, ALPHA, BETA)]


def found_in(paths, *options):
    chosen = topology.make_parser().parse_args([*map(str, paths), "--compare", *options])
    return topology.find_each([read_surface(path) for path in paths], chosen)


def by_hand(values, persistence, count=8):
    """Return how many pools are so deep where they end, and one that never does."""
    ended = [(p, s) for p, s, _ in minima_by_hand(values, count) if s is not None]
    return 1 + sum(values[saddle] - values[pool] >= persistence for pool, saddle in ended)


@pytest.mark.parametrize("count", [4, 8])
def test_numbers_are_those_of_union_find(three, count):
    rough, bowl, wells = found_in(three, f"--neighbours={count}")
    for persistence in (0.0, 0.01, 0.1, 0.7, 2.0, 50.0):
        assert count_basins(rough, persistence) == by_hand(ROUGH, persistence, count)
        assert count_basins(bowl, persistence) == 1
    assert [count_basins(wells, p) for p in (0, 2, 2.1, 5, 5.1, 100)] == [3, 3, 2, 2, 1, 1]


def test_persistence_in_decades(three):
    rough = found_in(three, "--log")[0]
    for persistence in (0.0, 0.1, 0.5):
        assert count_basins(rough, persistence) == by_hand(np.log10(ROUGH), persistence)


def test_the_command_writes_picture_and_table_of_all_files(three, capsys):
    assert topology.main([*map(str, three), "--compare", "--dpi=30"]) == 0
    stem = three[0].with_name("rough_and_bowl_and_wells_train_loss_basins")
    printed = capsys.readouterr().out.splitlines()
    n = [by_hand(ROUGH, p) for p in (0, 0.01, 0.1, 1)]
    assert printed[0].startswith(
        f"{three[0]}: train_loss, 25 x 25 points: {n[0]} basins, of at least 0.01, 0.1, 1 nat: "
        f"{n[1]}, {n[2]}, {n[3]}; largest persistence "
    )
    assert printed[1:] == [
        f"{three[1]}: train_loss, 25 x 25 points: one basin",
        f"{three[2]}: train_loss, 7 x 5 points: 3 basins, of at least 0.01, 0.1, 1 nat: 3, 3, 3; "
        "largest persistence 5 nat, 55.6 % of the height; in all 7 nat",
        "the grids differ in their points, and a finer one shows more basins",
        f"{stem}.csv",
        f"{stem}.png",
    ]
    rows = rows_of(stem.with_suffix(".csv"))
    for row in rows:
        if row["surface"] == str(three[0]):
            assert int(row["basins"]) == by_hand(ROUGH, float(row["persistence"]))
    wells = [row for row in rows if row["surface"] == str(three[2])]
    assert [(float(row["persistence"]), int(row["basins"])) for row in wells] == [
        *((0.0, 3), (2.0, 3), (5.0, 2)),
    ]
    assert {row["unit"] for row in rows} == {"nat"}


def steps(figure):
    (axes,) = (each for each in figure.axes if each.get_visible())
    return [each.get_data() for each in axes.patches if isinstance(each, StepPatch)]


def test_the_curves_show_the_numbers(three):
    figure = join_basins(found_in(three)).draw()
    rough, bowl, wells = steps(figure)
    middles = np.sqrt(rough.edges[1:] * rough.edges[:-1])
    assert rough.values.tolist() == [by_hand(ROUGH, persistence) for persistence in middles]
    assert bowl.values.tolist() == [1]
    assert wells.values.tolist() == [3, 2, 1]
    assert wells.edges[1:3].tolist() == [2.0, 5.0]
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlim() == (rough.edges[0], rough.edges[-1])
    assert axes.get_xlabel() == "least persistence that counts (nat)"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        f"rough: 25 x 25 points, {rough.values[0]} basins",
        "bowl: 25 x 25 points, 1 basin",
        "wells: 7 x 5 points, 3 basins",
    ]


def test_what_is_less_persistent_than_asked_for_is_left_out(three):
    figure = join_basins(found_in(three, "--min-persistence=3")).draw()
    *_, wells = steps(figure)
    assert wells.values.tolist() == [2, 1]
    assert figure.axes[0].get_xlim()[0] == 3.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("columns", [None, 1, 2])
def test_pictures_have_nothing_cut_and_no_text_on_another(write, tmp_path, columns):
    hole = ROUGH.copy()
    hole[3, 4], hole[9, 9] = np.nan, np.inf
    done = np.ones((25, 25))
    done[1::2] = 0
    paths = [
        write("rough", ROUGH),
        write("huge", 1e36 * ROUGH),
        write("negative", -ROUGH),
        write("a_network_with_a_hole", hole),
        write("begun", ROUGH, done=done),
        write("constant", np.full((25, 25), 2.5)),
    ]
    for chosen in (paths, paths[-1:] * 2, paths[2:4]):
        check_texts_are_apart(check(join_basins(found_in(chosen)).draw, tmp_path, columns=columns))


def test_the_picture_of_one_column_is_as_wide_as_it(three, tmp_path):
    from PIL import Image

    options = ["--compare", "--columns=1", "--dpi=100", f"--out={tmp_path / 'all.png'}"]
    assert topology.main([*map(str, three), *options]) == 0
    assert Image.open(tmp_path / "all.png").width == pytest.approx(335, abs=2)
    assert (tmp_path / "all.csv").exists()


def test_what_cannot_be_compared(three, write, tmp_path):
    line = write("line", LINE, ALPHA, [0.0])
    both = np.stack([LINE, LINE**2], axis=1)
    lines = write("lines", both, ALPHA, [1.0, 2.0], attributes={"repeats": 2})
    ours = write("ours", ROUGH)
    with h5py.File(ours, "r+") as file:
        file["train_loss"].attrs["units"] = "1"
    before = sorted(tmp_path.iterdir())
    for words, text in (
        ([three[0], "--compare"], "draws 2 to 21 surface files in one picture, but 1 is named"),
        (
            [*three * 8, "--compare"],
            "draws 2 to 21 surface files in one picture, but 24 are named",
        ),
        (
            three,
            "3 surface files are named, but without --compare the command takes one. Pass "
            "--compare to count the basins of all in one picture",
        ),
        (
            [three[0], "--columns=1"],
            "--columns 1 applies only to --compare; a merge tree is drawn for",
        ),
        ([three[0], line, "--compare"], r"rough.h5 is a plane and .*line.h5 a line. Their basins"),
        (
            [three[0], lines, "--compare"],
            "lines.h5: --compare needs one line or plane per file, "
            "but this file holds 2 lines, each with its own",
        ),
        ([three[0], ours, "--compare"], "persistence has the unit nat in .* and none in .*ours.h5"),
    ):
        with pytest.raises(InputError, match=text):
            topology.main(list(map(str, words)))
    with pytest.raises(MissingInputError, match="gone.h5: does not exist"):
        topology.main([str(three[0]), str(tmp_path / "gone.h5"), "--compare"])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_surfaces(name, data_dir):
    path = data_dir / "li2018" / "surfaces" / f"{name}.h5"
    if not path.exists():
        pytest.skip("LANDSCAPE_DATA has no li2018/surfaces")
    assert count_basins(found_in([path, path])[0], 0.1) == DEEPER[name]
    (found, _) = found_in([path, path], "--log")
    values = np.log10(read_surface(path).values["train_loss"])
    for persistence in (0.0, 0.01, 0.05, 0.1):
        assert count_basins(found, persistence) == by_hand(values, persistence)
    assert count_basins(found, 0.0) == PUBLISHED[name]
