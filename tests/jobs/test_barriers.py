"""Barriers between solutions, in this process and on ranks.

Oracles: a loop over pairs and places that moves the weights tensor by tensor, in double precision;
a copy of a solution whose units the test has put into another order; the lines evaluated by one
rank alone, compared bit for bit; the sentences.
"""

import csv
import io
import re
import sys
from contextlib import redirect_stdout
from importlib import import_module

import numpy as np
import pytest
import torch
from curve_runs import run
from mpi4py import MPI
from pytest_mpi import parallel_assert
from refusals import message_of
from torch.nn import functional

from landscape_mpi import plot, train
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_paths import LossPaths
from landscape_mpi.compute.motion import PathMotion
from landscape_mpi.compute.paths import LinePaths
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.compute.units import find_units
from landscape_mpi.compute.weight_matching import permuted
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.curve.barrier_matrix import words_of
from landscape_mpi.store.lines import barriers_of
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.stored_surface import read_stored_surface
from landscape_mpi.views.barriers import draw_barriers
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.summary import say_summary
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network

CNN = ("--model=cnn1", "--data=digits")
N_POINTS, LIMIT = 5, 400
FEW = (*CNN, f"--points={N_POINTS}", f"--limit={LIMIT}", "--subset=first")


def cnn1():
    return build_network("cnn1", sample=load_dataset("digits").sample).eval()


def write_solutions(folder):
    """Two trained networks, and the first again with its units in another order."""
    for seed in (1, 2):
        with redirect_stdout(io.StringIO()):
            words = [f"--seed={seed}", "--epochs=2", "--lr=0.05", "--threads=1", "--device=cpu"]
            train.main([*CNN, *words, f"--out={folder}/{seed}.pt"])
    state = {name: values.numpy() for name, values in state_of(folder / "1.pt").items()}
    (units,) = find_units(cnn1(), model="cnn1")
    order = np.random.default_rng(0).permutation(units.n)
    for place in units.places:
        state[place.name] = permuted(state[place.name], place.axis, order)
    torch.save({n: torch.from_numpy(v.copy()) for n, v in state.items()}, folder / "shuffled.pt")
    return [folder / name for name in ("1.pt", "2.pt", "shuffled.pt")]


def state_of(path):
    content = torch.load(path, weights_only=True)
    return content.get("state_dict", content)


@pytest.fixture(scope="module")
def solutions(tmp_path_factory):
    return write_solutions(tmp_path_factory.mktemp("solutions"))


def find(solutions, name, *words):
    out = solutions[0].with_name(name)
    status, text, err = run("barriers", *solutions, *FEW, *words, "--out", out)
    assert (status, err) == (0, "")
    return out, text


@pytest.fixture(scope="module", params=["none", "weights"])
def found(request, solutions):
    match = request.param
    return match, *find(solutions, f"{match}.h5", f"--match={match}")


def by_hand(first, second):
    """Losses and errors at all places of a line, of both splits, in double precision."""
    data, network, rows = load_dataset("digits"), cnn1().double(), []
    one, other = state_of(first), state_of(second)
    for t in np.linspace(0, 1, N_POINTS):
        network.load_state_dict({n: (1 - t) * one[n].double() + t * other[n].double() for n in one})
        row = []
        for name, n in (("train", LIMIT), ("test", None)):
            split = data.splits[name]
            images = (split.inputs[:n] / 255 - data.mean) / data.std
            targets = torch.from_numpy(split.targets[:n])
            with torch.no_grad():
                logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
            wrong = (logits.argmax(1) != targets).double().mean().item()
            row += [functional.cross_entropy(logits, targets).item(), 100 * wrong]
        rows.append(row)
    return np.array(rows)


def rise(values):
    t = np.linspace(0, 1, len(values))
    return max(v - ((1 - s) * values[0] + s * values[-1]) for s, v in zip(t, values, strict=True))


QUANTITIES = ("train_loss", "train_error", "test_loss", "test_error")


def rows_of(out):
    with out.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def test_lines_and_barriers_are_those_of_a_plain_loop(solutions):
    out, text = find(solutions, "plain.h5")
    surface = read_surface(out)
    pairs = [(0, 1), (0, 2), (1, 2)]
    for line, ((i, j), row) in enumerate(zip(pairs, rows_of(out), strict=True)):
        expected = by_hand(solutions[i], solutions[j])
        assert (row["first"], row["second"]) == (str(solutions[i]), str(solutions[j]))
        for column, name in enumerate(QUANTITIES):
            values = surface.values[name][:, line]
            np.testing.assert_allclose(values, expected[:, column], rtol=1e-4, atol=1e-6)
            barrier = float(row[f"{name}_barrier"])
            assert barrier == pytest.approx(rise(expected[:, column]), rel=1e-4, abs=1e-6)
    assert f"A: {solutions[0]}\nB: {solutions[1]}\nC: {solutions[2]}\n" in text
    assert "weights: 3 solutions, a line between each pair; network: " in text
    first = [float(row["train_loss_barrier"]) for row in rows_of(out)]
    cells = [f"{value:10.4g}" for value in first]
    assert f"  A{cells[0]}{cells[1]}\n  B{' ' * 10}{cells[2]}\n" in text


def test_a_line_on_which_a_loss_is_nan_has_no_barrier(found):
    surface = read_surface(found[1])
    before = barriers_of(surface, "train_loss")
    surface.values["train_loss"][1, 0] = np.nan  # of the line (0, 1), between its ends
    after = barriers_of(surface, "train_loss")
    assert np.isnan([after[0, 1], after[1, 0]]).all()
    np.testing.assert_array_equal(after[0, 2], before[0, 2])


# A logit overflows where the square of its weight is more than a float32 holds: in the middle of a
# line from -1 to 1, and of no other.
OVERFLOWING = """
import torch
from torch import nn

class Overflowing(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.place = nn.Linear(64, 10), nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return self.last(images.flatten(1)) / (self.place.abs() > 0.45)
"""


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """The file of the lines between three solutions, and what was told."""
    folder = tmp_path_factory.mktemp("overflowing")
    (folder / "overflow.py").write_text(OVERFLOWING)
    torch.manual_seed(0)
    last = {"last.weight": torch.randn(10, 64) / 8, "last.bias": torch.zeros(10)}
    names = [folder / f"{place}.pt" for place in (-1, 1, 2)]
    for name, place in zip(names, (-1.0, 1.0, 2.0), strict=True):
        torch.save(last | {"place": torch.tensor([place])}, name)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        words = ("--model=overflow:Overflowing", "--data=digits", "--points=11", "--limit=50")
        status, text, err = run("barriers", *names, *words, "--out", folder / "l.h5")
    sys.modules.pop("overflow", None)
    assert (status, err) == (0, "")
    return folder / "l.h5", text


def test_it_is_said_where_a_loss_is_not_finite(overflowing):
    out, text = overflowing
    told = [line for line in text.splitlines() if "NaN" in line]
    assert told == [
        "A to B: train_loss is NaN or infinite at t = 0.3, 0.4, 0.5, 0.6, 0.7",
        "A to C: train_loss is NaN or infinite at t = 0.2, 0.3, 0.4",
        "A to B: test_loss is NaN or infinite at t = 0.3, 0.4, 0.5, 0.6, 0.7",
        "A to C: test_loss is NaN or infinite at t = 0.2, 0.3, 0.4",
    ]
    first, second, third = rows_of(out)
    assert first["train_loss_barrier"] == first["test_loss_barrier"] == "nan"
    assert second["not_finite"] == (
        "train_loss at t = 0.2, 0.3, 0.4; test_loss at t = 0.2, 0.3, 0.4"
    )
    assert "A to B" not in first["not_finite"]
    assert third["not_finite"] == ""
    assert float(third["train_loss_barrier"]) == pytest.approx(0, abs=1e-6)


def test_many_places_are_told_by_their_ends_and_their_number():
    assert words_of(np.linspace(0.25, 0.5, 26), 101) == "at 26 of 101 places, t from 0.25 to 0.5"


def test_the_picture_shows_where_a_loss_is_not_finite(overflowing):
    surface = read_surface(overflowing[0])
    figure = draw_barriers([make_panel(surface, name) for name in QUANTITIES])
    loss_lines, losses, error_lines, errors = figure.axes
    cells = sorted(cell.get_xy() for cell in losses.patches)  # of (row, column): x is the column
    assert cells == [(-0.5, 0.5), (-0.5, 1.5), (0.5, -0.5), (1.5, -0.5)]
    spans = [span.get_extents().bounds for span in loss_lines.patches]
    assert len(spans) == 6  # t from 0.2 to 0.7
    assert not [*errors.patches, *error_lines.patches]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[2:] == ["not finite: 6 points", "no barrier: not finite on the line"]


def test_a_network_in_another_order_is_matched_back(found):
    match, out, text = found
    told = "in each pair, the second network's units were permuted to match the first's"
    assert (told in text) == (match == "weights")
    surface, row = read_surface(out), rows_of(out)[1]  # of the first and its copy
    if match == "none":
        assert float(row["train_loss_barrier"]) > 0.1
        return
    for name in QUANTITIES:
        line = surface.values[name][:, 1]
        np.testing.assert_allclose(line, line[0], rtol=1e-5)
        assert float(row[f"{name}_barrier"]) <= 1e-6 * (1 + line[0])
    # As near to the third as the original is: the same weights, whatever the order they came in.
    assert float(rows_of(out)[2]["train_loss_barrier"]) == pytest.approx(
        float(rows_of(out)[0]["train_loss_barrier"]), rel=0.2
    )


def test_matching_leaves_the_ends_the_same_function(found, solutions):
    _, out, _ = found
    surface = read_surface(out)
    for line, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        for place, k in ((0, i), (-1, j)):
            expected = by_hand(solutions[k], solutions[k])[0]
            values = [surface.values[name][place, line] for name in QUANTITIES]
            np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)


def test_the_same_command_again_computes_nothing(found, solutions):
    match, out, _ = found
    before = out.with_suffix(".csv").read_bytes()
    words = (*solutions, *FEW, f"--match={match}", "--out", out)
    status, text, _ = run("barriers", *words)
    assert status == 0
    assert "5 x 3 points, 400 train + 359 test images each; all 15 points are done" in text
    assert out.with_suffix(".csv").read_bytes() == before


def test_the_figure_holds_the_lines_and_the_matrices(found, solutions):
    _, out, _ = found
    surface, rows = read_surface(out), rows_of(out)
    figure = draw_barriers([make_panel(surface, name) for name in QUANTITIES])
    pairs = (figure.axes[:2], figure.axes[2:])
    for measure, (lines, matrix) in zip(("loss", "error"), pairs, strict=True):
        drawn = [line.get_ydata() for line in lines.lines]
        for split, three in (("train", drawn[:3]), ("test", drawn[3:])):
            np.testing.assert_array_equal(np.array(three).T, surface.values[f"{split}_{measure}"])
        above = [float(row[f"train_{measure}_barrier"]) for row in rows]
        below = [float(row[f"test_{measure}_barrier"]) for row in rows]
        (image,) = matrix.images
        cells = np.asarray(image.get_array())
        assert [cells[0, 1], cells[0, 2], cells[1, 2]] == above
        assert [cells[1, 0], cells[2, 0], cells[2, 1]] == below
        assert [text.get_text() for text in matrix.get_xticklabels()] == ["A", "B", "C"]
    title = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert all(f"{k}: {path.stem}" in title for k, path in zip("ABC", solutions, strict=True))
    assert str(solutions[0].parent) not in title
    assert ("units were permuted to match" in title) == (found[0] == "weights")


def test_the_lines_are_drawn(found, tmp_path, capsys):
    assert plot.main([str(found[1]), "--dpi=30", f"--out-dir={tmp_path}"]) == 0
    assert (tmp_path / f"{found[0]}_barriers.png").stat().st_size > 1000


@pytest.mark.parallel([1, 2, 4])
def test_any_number_of_ranks_gives_the_same_bits(tmp_path):
    folder, comm = MPI.COMM_WORLD.bcast(tmp_path), MPI.COMM_WORLD
    if comm.rank == 0:
        write_solutions(folder)
    comm.Barrier()
    paths = [folder / name for name in ("1.pt", "2.pt", "shuffled.pt")]
    status, _, _ = run("barriers", *paths, *FEW, "--round-seconds=0.05", "--out", folder / "l.h5")
    comm.Barrier()
    data, states = load_dataset("digits"), []
    for path in paths:
        network = cnn1()
        network.load_state_dict(state_of(path))
        states.append({name: values.copy() for name, values in tensors_of(network).items()})
    place = {"mean": data.mean, "std": data.std, "device": "cpu"}
    train_split = data.splits["train"].first(LIMIT)
    splits = {
        "train": ResidentSplit(train_split.inputs, train_split.targets, **place),
        "test": ResidentSplit(data.splits["test"].inputs, data.splits["test"].targets, **place),
    }
    setting = Setting(device=CPU, precision="fp32", batch=64)
    motion = PathMotion(LinePaths(3, ((0, 1), (0, 2), (1, 2))), states)
    lines = LossPaths(cnn1(), motion, splits, setting, statistics_of=splits["train"])
    surface = read_surface(folder / "l.h5")
    same = [
        np.array_equal(lines.evaluate(t, line), [surface.values[n][k, line] for n in QUANTITIES])
        for k, t in enumerate(np.linspace(0, 1, N_POINTS))
        for line in range(3)
    ]
    parallel_assert(status == 0 and all(same))


def refusal(*words):
    status, _, err = run("barriers", *words)
    return message_of(status, err)


# Except for the last, these networks use their units in another way than their layers suggest.
ODD = """
import torch
from torch import nn

class Rows(nn.Module):
    # A Linear along the places of a Conv1d, as many as its channels times eight.
    def __init__(self):
        super().__init__()
        self.rows, self.along = nn.Conv1d(1, 8, 3, padding=1), nn.Linear(64, 4)
        self.last = nn.Linear(32, 10)

    def forward(self, images):
        places = torch.relu(self.along(torch.relu(self.rows(images.flatten(2)))))
        return self.last(places.flatten(1))

class Places(nn.Module):
    # Flattened from the second axis on, so that a Linear mixes places of each channel.
    def __init__(self):
        super().__init__()
        self.filters, self.mixed = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 64)
        self.last = nn.Linear(256, 10)

    def forward(self, images):
        return self.last(torch.relu(self.mixed(torch.flatten(self.filters(images), 2))).flatten(1))

class Tied(nn.Module):
    # Two layers with one weight.
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(64, 64), nn.Linear(64, 64)
        self.other.weight = self.one.weight
        self.last = nn.Linear(64, 10)

    def forward(self, images):
        return self.last(torch.relu(self.other(torch.relu(self.one(images.flatten(1))))))

class Channels(nn.Module):
    # A Linear that takes all places of each channel of a Conv1d as one block.
    def __init__(self):
        super().__init__()
        self.rows, self.norm, self.last = nn.Conv1d(1, 8, 3), nn.BatchNorm1d(8), nn.Linear(496, 10)

    def forward(self, images):
        return self.last(torch.relu(self.norm(self.rows(images.flatten(2)))).flatten(1))
"""


def write_odd(folder, name):
    """The options that name a network that matching may mistake, and two sets of its weights."""
    (folder / "odd.py").write_text(ODD)
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(getattr(import_module("odd"), name)().state_dict(), folder / f"{seed}.pt")
    return [folder / "1.pt", folder / "2.pt", f"--model=odd:{name}", "--data=digits"]


@pytest.fixture
def odd_folder(tmp_path, monkeypatch):
    """The folder of rank 0, on every rank, from which they import."""
    folder = MPI.COMM_WORLD.bcast(tmp_path)
    monkeypatch.syspath_prepend(folder)
    yield folder
    MPI.COMM_WORLD.Barrier()
    sys.modules.pop("odd", None)


@pytest.mark.parallel([1, 2])
@pytest.mark.parametrize("name", ["Rows", "Places", "Tied"])
def test_what_matching_would_make_another_function_is_refused_on_all_ranks(odd_folder, name):
    words, comm = None, MPI.COMM_WORLD
    if comm.rank == 0:
        words = write_odd(odd_folder, name)
    a, b, *words = comm.bcast(words)
    out = odd_folder / "lines.h5"
    status, _, err = run("barriers", a, b, *words, "--match=weights", "--out", out)
    parallel_assert(status == 2)
    found = re.fullmatch(
        rf"error: --match weights: {b}, after its units were permuted to match those of {a}, is "
        r"another function: on 16 training samples its outputs differ by (\S+) of the largest\. "
        rf"--model odd:{name} uses its units in a way that is not known here, so the line would "
        r"lead to another network\. Leave --match out\.\n",
        err,
    )
    parallel_assert((found is not None and float(found[1]) > 0.01) if comm.rank == 0 else not err)
    parallel_assert(not out.exists())


def test_a_network_of_ones_own_is_matched_where_that_keeps_its_function(odd_folder):
    words = write_odd(odd_folder, "Channels")
    few = ("--points=3", "--limit=50", "--splits=train", "--match=weights")
    status, _, err = run("barriers", *words, *few, "--out", odd_folder / "lines.h5")
    assert (status, err) == (0, "")


def test_a_summary_of_a_surface_is_not_made_of_lines(found):
    with pytest.raises(InputError, match="on lines from one solution to another, not around one"):
        say_summary(found[1])


def test_bad_input_is_one_message_and_nothing_is_written(solutions, tmp_path):
    a, b, _ = solutions
    out = ("--out", tmp_path / "new.h5")
    assert refusal(a, *CNN, *out) == (
        f"barriers: {a} is one solution, but a line needs two. Name more checkpoints of the same "
        "network."
    )
    assert refusal(a, b, *CNN, "--points=2", *out) == (
        "--points 2: the ends are two of them, and a barrier lies between them. Pass --points 3 or "
        "more."
    )
    assert refusal(a, b, *CNN, "--splits=test", *out).startswith("--splits test: batch-norm's stat")
    assert "gone.pt: no such checkpoint" in refusal(a, tmp_path / "gone.pt", *CNN, *out)
    assert "--match: invalid choice: 'weight'" in refusal(a, b, *CNN, "--match=weight", *out)
    table = ("--out", tmp_path / "new.csv")
    assert "would replace it. Pass a name that ends in .h5." in refusal(a, b, *CNN, *table)
    assert list(tmp_path.iterdir()) == []
    torch.manual_seed(0)
    recurrent = build_network("densenet121", sample=load_dataset("digits").sample)
    torch.save(recurrent.state_dict(), tmp_path / "dense.pt")
    dense = (tmp_path / "dense.pt", tmp_path / "dense.pt", "--model=densenet121", "--data=digits")
    told = refusal(*dense, "--match=weights", *out)
    assert told.startswith("--match weights: the units of --model densenet121 cannot be permuted")
    assert not (tmp_path / "new.h5").exists()


def test_a_file_named_as_the_table_is_replaced_only_if_it_is_one(solutions, tmp_path):
    a, b, _ = solutions
    out, table = tmp_path / "lines.h5", tmp_path / "lines.csv"
    few = (*CNN, "--limit=50", "--splits=train", "--points=3", "--out", out)
    table.write_text("first,second,third\n1,2,3\n")
    for words in (few, (*few, "--fresh")):
        assert refusal(a, b, *words) == (
            f"--out: {out}: the matrices go to {table}, but that file exists and is not a table of "
            "barriers, so it is kept. Pass another --out, or move that file."
        )
    assert table.read_text() == "first,second,third\n1,2,3\n"
    assert list(tmp_path.iterdir()) == [table]
    table.write_text("first,second,train_loss_barrier\nx.pt,y.pt,0.5\n")
    assert refusal(a, b, *few) == (
        f"--out: {out}: the matrices go to {table}, but a table of barriers without its lines "
        "is already there. Pass another --out, move the table, or pass --fresh to replace it."
    )
    assert run("barriers", a, b, *few, "--fresh")[0] == 0
    assert [row["first"] for row in rows_of(out)] == [str(a)]
    assert run("barriers", a, b, *few)[0] == 0  # its own


def test_a_file_of_other_lines_is_left_alone(solutions, tmp_path):
    a, b, c = solutions
    out = tmp_path / "lines.h5"
    few = (*CNN, "--limit=100", "--splits=train", "--out", out)
    assert run("barriers", a, b, *few, "--points=3")[0] == 0
    before = out.read_bytes()
    assert refusal(a, b, c, *few, "--points=3") == (
        f"{out}: belongs to 2 solutions, but 3 are named. Name the same solutions, or pass a new "
        "--out, or --fresh to start over."
    )
    assert refusal(a, b, *few, "--points=5") == (
        f"{out}: has 3 places, but --points asks for 5. A resumed run needs the same "
        "number: pass --points 3, or a new --out, or --fresh to start over."
    )
    assert "matching none" in refusal(a, b, *few, "--points=3", "--match=weights")
    assert "solutions of SHA-256" in refusal(a, c, *few, "--points=3")
    assert out.read_bytes() == before
    with pytest.raises(
        InputError, match="holds the losses between solutions, but this command needs"
    ):
        read_stored_surface(out)
    assert run("barriers", a, c, *few, "--points=3", "--fresh")[0] == 0
