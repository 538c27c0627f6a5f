"""Lines and curves between solutions of problems: real commands, in this process and on ranks.

Oracle: cases/problem_loops.py, torch alone, over networks whose weights the test has combined
tensor by tensor at every place.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from cases.problem_files import CASES
from cases.problem_loops import LOOPS
from folders import TESTS
from libraries import imported
from one_process import output_of, run_alone
from torch.optim.swa_utils import update_bn

from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.barriers import draw_barriers
from landscape_mpi.views.curve_profile import draw_curve_profile
from landscape_mpi.views.pictures import make_panels
from landscape_mpi.zoo.trainer import Trainer


def module_of(name):
    return imported(f"problems.{name}")


def perturbed(name, folder, seeds):
    """Write networks of a problem's module, each moved from its own weights by a seed's noise."""
    files = []
    for seed in seeds:
        network = CASES[name].build()
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
                parameter.add_(0.1 * noise)
        files.append(folder / f"{seed}.pt")
        torch.save(network.state_dict(), files[-1])
    return files


def between(name, states, weights):
    """Return a network whose floating-point tensors are weighted sums of those of states."""
    network = module_of(name).network()
    types = {tensor.dtype for tensor in states[0].values()}
    network = network.double() if torch.float64 in types else network
    sums = {
        key: sum(w * state[key].double() for w, state in zip(weights, states, strict=True))
        if states[0][key].is_floating_point()
        else states[0][key]
        for key in states[0]
    }
    network.load_state_dict(sums)
    return network.eval()


def plain_along(name, states, places, weights_of):
    data = module_of(name).data()
    data = data["train"] if isinstance(data, dict) else data
    found = [LOOPS[name](between(name, states, weights_of(t)), data) for t in places]
    return {key: np.array([values[key] for values in found]) for key in found[0]}


def plain_at_ends(name, states):
    """Return the values of each network of states itself."""
    found = [plain_along(name, (state,), (0.0,), lambda t: (1.0,)) for state in states]
    return [{key: values[0] for key, values in each.items()} for each in found]


def rise(values):
    t = np.linspace(0, 1, len(values))
    return max(values - ((1 - t) * values[0] + t * values[-1]))


def same_bits(first, second, names):
    with h5py.File(first) as one, h5py.File(second) as two:
        for name in names:
            np.testing.assert_array_equal(one[name][()], two[name][()], strict=True)


@pytest.mark.parametrize("name", ["language_model", "heat_equation", "monte_carlo_dropout"])
def test_barriers_are_those_of_a_plain_loop_on_one_rank_and_on_two(name, tmp_path, on_ranks):
    files = perturbed(name, tmp_path, (1, 2, 3))
    states = [torch.load(path) for path in files]
    alone, together = tmp_path / "1.h5", tmp_path / "2.h5"
    words = ["landscape_mpi.curve", "barriers", *files, f"--problem=problems.{name}:problem"]
    said = output_of([*words, "--points=4", f"--out={alone}"])
    on_ranks(2, [*words, "--points=4", f"--out={together}"], cwd=TESTS, check=True)
    places, ends = np.linspace(0, 1, 4), plain_at_ends(name, states)
    same_bits(alone, together, [f"train_{metric}" for metric in ends[0]])
    with h5py.File(alone) as file, alone.with_suffix(".csv").open() as table:
        assert file.attrs["batch_norm"] == "fixed"
        rows = list(csv.DictReader(table))
        for line, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
            pair = states[i], states[j]
            inside = plain_along(name, pair, places[1:-1], lambda t: (1 - t, t))
            for metric in ends[0]:
                values = [ends[i][metric], *inside[metric], ends[j][metric]]
                found = file[f"train_{metric}"][:, line]
                np.testing.assert_allclose(found, values, rtol=10 * CASES[name].close)
                barrier = float(rows[line][f"train_{metric}_barrier"])
                assert barrier == pytest.approx(rise(values), rel=1e-3, abs=1e-5)
    assert f"A: {files[0]}" in said
    assert re.search(r"barrier of train_loss(, nat)?\n", said)


METRICS = """
import torch
from torch import nn
from landscape_mpi import Problem

def loss(network, batch):
    return nn.functional.cross_entropy(network(batch[0]), batch[1], reduction="none")

def error(network, batch):
    return (network(batch[0]).argmax(1) != batch[1]).double()

def missed_by_much(network, batch):
    return 100 * (loss(network, batch) > 2).double()

missed_by_much.units = "percent"

def problem():
    torch.manual_seed(0)
    data = {name: [(torch.randn(20, 4), torch.arange(20) % 3)] for name in ("train", "test")}
    metrics = {"missed_by_much": missed_by_much, "error": error}
    return Problem(nn.Linear(4, 3), data, loss, metrics=metrics, units="nat")
"""


@pytest.fixture
def with_metrics(tmp_path, monkeypatch):
    """A file of barriers and one along a curve, of a problem with metrics of two kinds."""
    (tmp_path / "metric_problems.py").write_text(METRICS)
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = ["--problem=metric_problems:problem", "--points=3"]
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        files.append(tmp_path / f"{seed}.pt")
        torch.save(torch.nn.Linear(4, 3).state_dict(), files[-1])
    lines, curve, along = (tmp_path / name for name in ("lines.h5", "curve.pt", "along.h5"))
    command = "landscape_mpi.curve"
    said = output_of([command, "barriers", *files, *problem, f"--out={lines}"])
    ends = [f"--start={files[0]}", f"--end={files[1]}", "--epochs=1"]
    output_of([command, "train", *ends, problem[0], f"--out={curve}"])
    said += output_of([command, "evaluate", curve, problem[1], f"--out={along}"])
    yield read_surface(lines), read_surface(along), said
    sys.modules.pop("metric_problems", None)


UNITS = {"loss": " (nat)", "error": "", "missed by much": " (%)"}


def test_a_metric_has_its_own_unit_and_one_picture_for_both_splits(with_metrics):
    lines, along, said = with_metrics
    for surface in (lines, along):
        units = [surface.units[f"test_{name}"] for name in ("loss", "error", "missed_by_much")]
        assert units == ["nat", "1", "percent"]
    assert "barrier of train_loss, nat\n" in said
    assert "barrier of train_error\n" in said
    assert "barrier of train_missed_by_much, percent\n" in said
    assert re.search(r"^test_error, curve: ends [\d.]+ and [\d.]+, from", said, re.MULTILINE)
    figure = draw_barriers(make_panels(lines, None))
    labels = {name + unit for name, unit in UNITS.items()}
    assert {axes.get_ylabel() for axes in figure.axes[::2]} == labels
    assert {axes.get_title() for axes in figure.axes[1::2]} == {
        f"barrier of the {label}\ntraining set above, test set below" for label in labels
    }
    figure = draw_curve_profile(make_panels(along, None))
    assert {axes.get_ylabel() for axes in figure.axes} - {"length of the path (1)"} >= labels
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert not any("%" in text for text in texts)
    assert re.search(r"the curve: test error up to [\d.]+$", "\n".join(texts), re.MULTILINE)


def test_one_split_of_a_metric_keeps_its_name(with_metrics):
    lines, along, _ = with_metrics
    figure = draw_barriers(make_panels(lines, ["test_missed_by_much"]))
    left, right = figure.axes[:2]
    assert left.get_ylabel().replace("\n", " ") == "missed_by_much over the test set (%)"
    assert right.get_title() == "barrier of the missed by much (%)\ntest set"
    figure = draw_curve_profile(make_panels(along, ["train_error"]))
    assert figure.axes[0].get_ylabel() == "error"


def test_the_same_command_again_computes_nothing(tmp_path):
    files = perturbed("forecast", tmp_path, (1, 2))
    out = tmp_path / "lines.h5"
    words = ["landscape_mpi.curve", "barriers", *files, "--problem=problems.forecast:problem"]
    output_of([*words, "--points=3", f"--out={out}"])
    before = out.with_suffix(".csv").read_bytes()
    assert "all 3 points are done, nothing is left" in output_of(
        [*words, "--points=3", f"--out={out}"]
    )
    assert out.with_suffix(".csv").read_bytes() == before


def test_options_of_networks_are_refused_beside_a_problem(tmp_path):
    files = perturbed("forecast", tmp_path, (1, 2))
    words = ["landscape_mpi.curve", "barriers", *files, f"--out={tmp_path / 'lines.h5'}"]
    asked = [*words, "--problem=problems.forecast:problem"]
    for option in ("--match=weights", "--batch=3", "--data=digits", "--ignore-index=4"):
        ended = run_alone([*asked, option])
        name = option.split("=")[0]
        assert ended.status == 2
        assert ended.words.startswith(f"error: {name}: applies to networks of --model"), ended.words
    ended = run_alone(words)
    assert ended.status == 2
    assert "required: --model, --data (or --problem)" in ended.words
    assert not (tmp_path / "lines.h5").exists()


NORMED = """
import torch
from torch import nn
from landscape_mpi import Problem

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 1)
        self.early, self.late = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.register_buffer("calls", torch.tensor(0.0))

    def forward(self, x):
        self.calls += 1  # put back after every point
        return self.last(self.late(self.early(self.first(x)).tanh()))

def batches(n, seed):
    draw = torch.Generator().manual_seed(seed)
    return [(torch.randn(n + k, 3, generator=draw), torch.rand(n + k, 1, generator=draw))
            for k in range(4)]

def squares(net, batch):
    return (net(batch[0]) - batch[1]).square().mean(1)

def problem():
    return Problem(Network(), {"train": batches(5, 1), "test": batches(3, 2)}, squares)

def single():
    return Problem(Network(), batches(1, 1), squares)
"""


@pytest.fixture
def normed(tmp_path, monkeypatch):
    """A module of problems with batch-norm, and three solutions; the last two share statistics."""
    (tmp_path / "normed.py").write_text(NORMED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    module = imported("normed")
    for seed, name in enumerate("abc"):
        network, draw = module.Network(), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
            for layer in (network.early, network.late):
                layer.running_mean.add_(min(seed, 1))
        torch.save(network.state_dict(), f"{name}.pt")
    return module


def measured(module, weights):
    """Return a network of weighted sums of solutions, its statistics measured by update_bn."""
    states = [torch.load(f"{name}.pt") for name in weights]
    network = module.Network()
    network.load_state_dict(
        {
            key: sum(
                w * state[key].double() for w, state in zip(weights.values(), states, strict=True)
            )
            if value.is_floating_point()
            else value
            for key, value in states[0].items()
        }
    )
    update_bn([batch[0] for batch in module.batches(5, 1)], network)
    return network.eval()


def mean_loss(module, network, split):
    data = module.batches(*{"train": (5, 1), "test": (3, 2)}[split])
    with torch.no_grad():
        return float(torch.cat([module.squares(network, batch) for batch in data]).double().mean())


def test_statistics_are_measured_at_every_place_of_a_line(normed, tmp_path, on_ranks):
    words = ["landscape_mpi.curve", "barriers", "--problem=normed:problem", "--points=5"]
    words += ["a.pt", "b.pt", "--splits=train,test"]
    output_of([*words, "--out=lines.h5"])
    on_ranks(2, [*words, "--out=ranks.h5"], cwd=tmp_path, check=True)
    same_bits("lines.h5", "ranks.h5", ["train_loss", "test_loss"])
    with h5py.File("lines.h5") as file:
        assert file.attrs["batch_norm"] == "reestimate"
        assert "the statistics of 2 measured again" in file.attrs["preparation"]
        for row, t in enumerate(np.linspace(0, 1, 5)):
            network = measured(normed, {"a": 1 - t, "b": t})
            for split in ("train", "test"):
                expected = mean_loss(normed, network, split)
                assert file[f"{split}_loss"][row, 0] == pytest.approx(expected, rel=1e-5)
    assert "all 5 points are done, nothing is left" in output_of([*words, "--out=lines.h5"])


def test_statistics_that_all_have_stay_as_they_are(normed):
    words = ["landscape_mpi.curve", "barriers", "--problem=normed:problem", "--points=3"]
    output_of([*words, "b.pt", "c.pt", "--out=lines.h5"])
    states = [torch.load(f"{name}.pt") for name in "bc"]
    network = normed.Network().eval()
    middle = {k: (states[0][k] + states[1][k]) / 2 for k in states[0] if "num" not in k}
    network.load_state_dict(middle, strict=False)
    with h5py.File("lines.h5") as file:
        assert file.attrs["batch_norm"] == "fixed"
        expected = mean_loss(normed, network, "train")
        assert file["train_loss"][1, 0] == pytest.approx(expected, rel=1e-6)


def test_statistics_are_measured_at_every_place_of_a_curve(normed, tmp_path, on_ranks):
    words = ["landscape_mpi.curve", "train", "--problem=normed:problem", "--epochs=2"]
    output_of([*words, "--start=a.pt", "--end=b.pt", "--bends=3", "--device=cpu", "--out=curve.pt"])
    words = ["landscape_mpi.curve", "evaluate", "curve.pt", "--points=3"]
    output_of([*words, "--out=curve.h5"])
    on_ranks(3, [*words, "--out=ranks.h5"], cwd=tmp_path, check=True)
    same_bits("curve.h5", "ranks.h5", ["train_loss", "test_loss"])
    content = torch.load("curve.pt", weights_only=True)
    for k, point in enumerate(content["points"]):
        torch.save(point, f"bend{k}.pt")
    with h5py.File("curve.h5") as file:
        assert file.attrs["batch_norm"] == "reestimate"
        weights = ((1.0, 0.0, 0.0), (0.25, 0.5, 0.25), (0.0, 0.0, 1.0))  # of a Bezier curve
        for row, of_place in enumerate(weights):
            network = measured(normed, {f"bend{k}": w for k, w in enumerate(of_place)})
            expected = mean_loss(normed, network, "train")
            assert file["train_loss"][row, 0] == pytest.approx(expected, rel=1e-5)
    said = output_of(["landscape_mpi.curve", "plane", "curve.pt", "--out=plane.h5"])
    assert "--checkpoint curve.pt --batch-norm reestimate --problem normed:problem ..." in said
    plane = ["--directions=plane.h5", "--checkpoint=curve.pt", "--batch-norm=reestimate"]
    output_of(
        ["landscape_mpi.surface", "--problem=normed:problem", *plane, "--x=0:1:2", "--out=s.h5"]
    )
    with h5py.File("s.h5") as file:  # the center is the start
        expected = mean_loss(normed, measured(normed, {"a": 1.0}), "train")
        assert file["train_loss"][0, 0] == pytest.approx(expected, rel=1e-5)


def test_statistics_are_measured_at_every_point_of_a_surface(normed, tmp_path, on_ranks):
    words = ["landscape_mpi.surface", "--problem=normed:problem", "--checkpoint=a.pt"]
    words += ["--to=b.pt", "--batch-norm=reestimate", "--x=0:1:3", "--splits=train,test"]
    for n in (1, 2):
        on_ranks(n, [*words, f"--out={n}.h5"], cwd=tmp_path, check=True)
    same_bits("1.h5", "2.h5", ["train_loss", "test_loss"])
    with h5py.File("1.h5") as file:
        for row, t in enumerate((0.0, 0.5, 1.0)):
            network = measured(normed, {"a": 1 - t, "b": t})
            for split in ("train", "test"):
                expected = mean_loss(normed, network, split)
                assert file[f"{split}_loss"][row, 0] == pytest.approx(expected, rel=1e-5)
    ended = run_alone([*words[:-1], "--splits=test", "--out=t.h5"])
    assert ended.words.startswith("error: --batch-norm reestimate: measures on the training set")


def test_statistics_that_cannot_be_measured_are_refused(normed):
    words = ["landscape_mpi.curve", "barriers", "--points=3", "a.pt", "b.pt", "--out=lines.h5"]
    ended = run_alone([*words, "--problem=normed:problem", "--splits=test"])
    assert ended.status == 2
    assert ended.words.startswith("error: --splits test: batch-norm's statistics are measured on")
    ended = run_alone([*words, "--problem=normed:single"])
    assert ended.status == 2
    assert "Problem: a batch gives early only one value per channel, which" in ended.words
    assert not Path("lines.h5").exists()


# Curves.

PINN = "problems.heat_equation:problem"


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Two networks of the heat equation, a curve between them, and what was told."""
    folder = tmp_path_factory.mktemp("joined")
    files = perturbed("heat_equation", folder, (1, 2))
    words = ["landscape_mpi.curve", "train", f"--problem={PINN}", "--epochs=20", "--lr=0.002"]
    words += [f"--start={files[0]}", f"--end={files[1]}", "--weight-decay=0", "--threads=1"]
    said = output_of([*words, f"--out={folder / 'curve.pt'}"])
    return folder / "curve.pt", [*words, f"--out={folder / 'curve.pt'}"], said


def bezier(t):
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def test_the_file_of_a_curve_keeps_the_name_of_its_problem(joined):
    path, words, said = joined
    assert f"Sequential: 697 weights at a point; {PINN}: 3 train batches; CPU" in said
    content = torch.load(path)
    assert content["identity"]["problem"] == PINN
    assert content["points"][1]["0.weight"].dtype == torch.float64
    ends = [torch.load(words[k].partition("=")[2]) for k in (5, 6)]
    for point, end in zip((content["points"][0], content["points"][2]), ends, strict=True):
        assert all(torch.equal(point[name], end[name]) for name in end)
    assert content["history"][-1]["train_loss"] < 0.7 * content["history"][0]["train_loss"]


def test_losses_along_a_curve_are_those_of_a_plain_loop_on_one_rank_and_on_two(
    joined, tmp_path, on_ranks
):
    path = joined[0]
    states = torch.load(path)["points"]
    alone, together = tmp_path / "1.h5", tmp_path / "2.h5"
    words = ["landscape_mpi.curve", "evaluate", path, "--points=5"]
    said = output_of([*words, f"--out={alone}"])
    on_ranks(2, [*words, f"--out={together}"], cwd=TESTS, check=True)
    same_bits(alone, together, ["train_loss", "train_distance", "arc_length"])
    places = np.linspace(0, 1, 5)
    with h5py.File(alone) as file:
        for column, weights_of in enumerate((bezier, lambda t: (1 - t, 0, t))):
            expected = plain_along("heat_equation", states, places, weights_of)
            for name in ("loss", "distance"):
                found = file[f"train_{name}"][:, column]
                np.testing.assert_allclose(found, expected[name], rtol=1e-11)
        assert file["train_loss"][2, 0] < file["train_loss"][2, 1]
        assert file.attrs["problem"] == PINN
    assert "train_loss, curve: ends" in said
    named = tmp_path / "named.h5"
    output_of([*words, f"--problem={PINN}", f"--out={named}"])
    same_bits(alone, named, ["train_loss"])


def test_tied_weights_move_together_along_a_curve(tmp_path):
    """GPT-2 has one tensor of two names, which the curve trains once."""
    files = perturbed("language_model", tmp_path, (1, 2))
    curve, out = tmp_path / "curve.pt", tmp_path / "curve.h5"
    words = ["--problem=problems.language_model:problem", "--epochs=2", f"--start={files[0]}"]
    output_of(["landscape_mpi.curve", "train", *words, f"--end={files[1]}", f"--out={curve}"])
    output_of(["landscape_mpi.curve", "evaluate", curve, "--points=3", f"--out={out}"])
    states = torch.load(curve)["points"]
    expected = plain_along("language_model", states, np.linspace(0, 1, 3), bezier)
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"][:, 0], expected["loss"], rtol=1e-6)


def test_the_plane_of_a_curve_is_a_surface_of_its_problem(joined, tmp_path):
    path, plane, out = joined[0], tmp_path / "plane.h5", tmp_path / "surface.h5"
    said = output_of(["landscape_mpi.curve", "plane", path, f"--out={plane}"])
    assert f"--checkpoint {path} --problem {PINN} ...\n" in said
    words = ["landscape_mpi.surface", f"--problem={PINN}", f"--checkpoint={path}"]
    output_of([*words, f"--directions={plane}", "--x=0:1:2", "--y=0:1:2", f"--out={out}"])
    state = torch.load(path)["points"][0]
    expected = plain_along("heat_equation", (state,), [0.0], lambda t: (1,))["loss"][0]
    with h5py.File(out) as file:
        assert file["train_loss"][0, 0] == pytest.approx(expected, rel=1e-12)
        assert file["curve"]["alpha"].shape == (121,)


def test_a_curve_in_training_goes_on_to_the_same_bits(joined, tmp_path, monkeypatch):
    path, words, _ = joined
    again, run_epoch = tmp_path / "again.pt", Trainer.run_epoch
    words = [*(w for w in words if not str(w).startswith("--out")), f"--out={again}"]

    def broken(self, *given):
        if self.n_done == 7:
            raise OSError("lost")
        return run_epoch(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run_epoch", broken)
        assert run_alone(words).status == 2
    half = ["landscape_mpi.curve", "evaluate", again, "--points=2", f"--out={tmp_path / 'half.h5'}"]
    assert f"{again}: is still in training, 7 of 20 epochs done" in output_of(half)
    assert "resuming: 7 of 20 epochs are done" in output_of(words)
    one, other = torch.load(path)["points"], torch.load(again)["points"]
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


def test_two_ranks_train_a_curve(joined, tmp_path, on_ranks):
    words = [w for w in joined[1] if not w.startswith(("--out", "--epochs"))]
    out = tmp_path / "two.pt"
    on_ranks(
        2, [*words, "--epochs=3", "--batches-per-step=2", f"--out={out}"], cwd=TESTS, check=True
    )
    history = torch.load(out)["history"]
    assert len(history) == 3
    assert all(np.isfinite(row["train_loss"]) for row in history)


def test_what_a_curve_of_a_problem_cannot_be_is_refused(joined, tmp_path, monkeypatch):
    path, words, _ = joined
    for option in ("--batch-size=4", "--augment=crop-flip", "--precision=bf16", "--data=digits"):
        ended = run_alone([*words, option])
        assert ended.status == 2
        assert ended.words.startswith(f"error: {option.split('=')[0]}: applies to networks of")
    out = f"--out={tmp_path / 'none.h5'}"
    ended = run_alone(["landscape_mpi.curve", "evaluate", path, out, "--data-dir=here"])
    assert ended.status == 2
    assert ended.words.startswith("error: --data-dir: applies to networks of --model")
    other = "--problem=problems.forecast:problem"
    ended = run_alone(["landscape_mpi.curve", "evaluate", path, out, other])
    assert ended.status == 2
    assert not (tmp_path / "none.h5").exists()
    monkeypatch.setattr(module_of("heat_equation"), "data", lambda: [_small()])
    ended = run_alone(["landscape_mpi.curve", "evaluate", path, out])
    assert ended.status == 2
    assert "was trained on data of SHA-256" in ended.words
    assert "Let the problem return what it was trained on." in ended.words


def _small():
    return {"inside": torch.rand(3, 2), "start": torch.rand(2, 2), "walls": torch.rand(2, 2)}
