"""compute_surface: live networks and data of any kind, in this process and under mpirun.

Oracle: the command of the same problem, bit for bit, and torch's own losses over the whole data,
whose arithmetic is not ours.
"""

from __future__ import annotations

import gc
import os
import random
import runpy
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from limits import LIMIT_S
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

import landscape_mpi as lm
from landscape_mpi.errors import InputError

COMMAND = "landscape_mpi.surface"
GRID = {"x": (-1, 1, 3), "y": (-0.5, 0.5, 3)}
MODULE = """
    import math, torch
    from torch import nn
    import landscape_mpi as lm

    def loss(network, batch):
        logits = network(batch["x"])
        return nn.functional.cross_entropy(logits, batch["y"], reduction="none")

    def problem():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(5, 16), nn.Dropout(), nn.Tanh(), nn.Linear(16, 3))
        batches = [{"x": torch.randn(8, 5), "y": torch.randint(0, 3, (8,))} for _ in range(6)]
        metrics = {"perplexity": (loss, math.exp)}
        return lm.Problem(network, {"train": batches, "test": batches[:2]}, loss, metrics=metrics)
"""
SCRIPT = """
    import sys
    import landscape_mpi as lm
    from mine import problem

    surface = lm.compute_surface(problem(), x=(-1, 1, 3), y=(-0.5, 0.5, 3), out=sys.argv[1],
                                 splits=("train", "test"), progress=False)
    sys.stdout.write(f"{float(surface.values['train_loss'][1, 1])}\\n")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of a problem, importable here and in what is started in tmp_path."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine

    yield mine
    sys.modules.pop("mine", None)


def values_of(path):
    return dict(lm.open_surface(path).values)


def test_the_bits_of_the_command_on_one_rank_and_on_two(mine, tmp_path, alone, on_ranks):
    out = tmp_path / "command.h5"
    words = ["--problem=mine:problem", "--x=-1:1:3", "--y=-0.5:0.5:3", "--splits=train,test"]
    alone([COMMAND, *words, f"--out={out}"], cwd=tmp_path, check=True)
    expected = values_of(out)
    assert set(expected) == {"train_loss", "train_perplexity", "test_loss", "test_perplexity"}
    live = lm.compute_surface(mine.problem(), **GRID, splits=("train", "test"), progress=False)
    np.testing.assert_equal(dict(live.values), expected)
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    together = tmp_path / "two.h5"
    done = on_ranks(2, ["script.py", together], check=True, cwd=tmp_path)
    assert done.stdout.split() == [repr(float(expected["train_loss"][1, 1]))] * 2
    np.testing.assert_equal(values_of(together), expected)


class Rows(Dataset):
    def __init__(self, inputs, targets):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def rows(n=50):
    draw = torch.Generator().manual_seed(2)
    return torch.randn(n, 4, generator=draw), torch.randint(0, 3, (n,), generator=draw)


@pytest.mark.parametrize(
    "kind",
    [
        lambda x, y: (x, y),
        lambda x, y: TensorDataset(x, y),
        Rows,
        lambda x, y: DataLoader(TensorDataset(x, y), batch_size=7),
        lambda x, y: [(x[:20], y[:20]), (x[20:], y[20:])],
        lambda x, y: {"train": (x, y)},
    ],
)
def test_data_of_every_kind_give_torchs_loss(kind):
    inputs, targets = rows()
    own = network()
    surface = lm.compute_surface(own, kind(inputs, targets), x=0.0, progress=False)
    logits = own(inputs).detach().double()
    expected = functional.cross_entropy(logits, targets)
    wrong = 100 * (logits.argmax(1) != targets).double().mean()
    np.testing.assert_allclose(surface.values["train_loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(surface.values["train_error"], wrong, rtol=1e-12)


def test_named_losses_are_those_of_torch():
    inputs, _ = rows()
    own = nn.Linear(4, 1)
    numbers = torch.randn(50, 1)
    found = lm.compute_surface(own, (inputs, numbers), loss="mse", x=0.0, progress=False)
    expected = functional.mse_loss(own(inputs), numbers).item()
    np.testing.assert_allclose(found.values["train_loss"], expected, rtol=1e-6)
    zeros = (numbers > 0).float()
    found = lm.compute_surface(own, (inputs, zeros), loss="bce", x=0.0, progress=False)
    expected = functional.binary_cross_entropy_with_logits(own(inputs), zeros).item()
    np.testing.assert_allclose(found.values["train_loss"], expected, rtol=1e-6)


def test_a_text_whose_padding_does_not_count():
    """Classes along axis 1, as torch's loss wants them; the mean is over what counts."""

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.tags = nn.Embedding(11, 6), nn.Linear(6, 5)

        def forward(self, text):
            return self.tags(self.words(text)).transpose(1, 2)

    torch.manual_seed(3)
    own, text, tags = Tagger(), torch.randint(0, 11, (20, 7)), torch.randint(0, 5, (20, 7))
    tags[torch.rand(20, 7) < 0.3] = -100
    found = lm.compute_surface(own, (text, tags), x=0.0, batch_size=6, progress=False)
    expected = functional.cross_entropy(own(text), tags).item()
    np.testing.assert_allclose(found.values["train_loss"], expected, rtol=1e-6)


def state_of_process():
    return (
        torch.get_num_threads(),
        torch.random.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
        gc.get_threshold(),
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.allow_tf32,
        signal.getsignal(signal.SIGINT),
    )


def test_network_and_process_are_given_back_as_they_were(mine):
    problem = mine.problem()
    own = problem.network.train()
    own[3].eval()
    own[0].weight.grad = torch.ones_like(own[0].weight)
    places = {name: tensor.data_ptr() for name, tensor in own.named_parameters()}
    weights = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(2)
    before = state_of_process()
    lm.compute_surface(problem, **GRID, progress=False)
    assert state_of_process() == before
    torch.backends.cudnn.benchmark = False
    assert own.training
    assert not own[3].training
    assert torch.equal(own[0].weight.grad, torch.ones_like(own[0].weight))
    assert {name: tensor.data_ptr() for name, tensor in own.named_parameters()} == places
    assert all(torch.equal(tensor, weights[name]) for name, tensor in own.state_dict().items())


def test_also_after_an_error(mine):
    problem = mine.problem()
    before = state_of_process()
    weights = {name: tensor.clone() for name, tensor in problem.network.state_dict().items()}

    def raising(network, batch):
        raise RuntimeError("no such thing")

    with pytest.raises(InputError, match="raised on batch 0 .*no such thing"):
        lm.compute_surface(problem.network, problem.data, loss=raising, progress=False)
    assert state_of_process() == before
    state = problem.network.state_dict().items()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in state)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda p: (p.network,), "data are missing"),
        (lambda p: (p, p.data), "a Problem has its own data, loss and metrics"),
        (lambda p: ("resnet56", p.data), "network is of type str"),
        (lambda p: (p.network, [1, 2]), "a batch is a int, not inputs and targets"),
    ],
)
def test_what_cannot_be_computed_is_said(arguments, words, mine):
    with pytest.raises(InputError, match=words):
        lm.compute_surface(*arguments(mine.problem()), x=0.0, progress=False)


def outputs_of(*shape):
    """A network that makes outputs of a shape, [n, ...], of rows of 4."""
    sizes = nn.Linear(4, int(np.prod(shape)))
    return nn.Sequential(sizes, nn.Unflatten(1, shape))


@pytest.mark.parametrize(
    ("loss", "shape", "targets", "words"),
    [
        ("mse", (1,), torch.arange(50), r"numbers of a floating-point type: y\.float\(\)"),
        ("mse", (2,), torch.randn(50), "each target needs one output"),
        ("bce", (10,), torch.ones(50), "each target needs one output"),
        ("cross_entropy", (3,), torch.rand(50, 3), "class numbers of a whole-number type"),
        ("cross_entropy", (3, 3), torch.zeros(50, 3).long(), "along axis 1 or along the last"),
        ("cross_entropy", (5, 3), torch.zeros(50, 4).long(), "an output for each class"),
    ],
)
def test_outputs_and_targets_that_a_named_loss_would_misread(loss, shape, targets, words):
    data = torch.randn(50, 4), targets
    with pytest.raises(InputError, match=words):
        lm.compute_surface(outputs_of(*shape), data, loss=loss, x=0.0, progress=False)


@pytest.mark.parametrize(("shape", "axis"), [((7, 3), 1), ((3, 7), -1)])
def test_classes_lie_along_the_axis_that_fits(shape, axis):
    torch.manual_seed(4)
    inputs, own = torch.randn(50, 4), outputs_of(*shape)
    targets = torch.randint(0, 3, (50, 3))
    found = lm.compute_surface(own, (inputs, targets), x=0.0, progress=False)
    outputs = own(inputs) if axis == 1 else own(inputs).transpose(1, 2)
    expected = functional.cross_entropy(outputs, targets).item()
    np.testing.assert_allclose(found.values["train_loss"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"limit": 0}, "limit is 0, but must be a whole number from 1"),
        ({"limit": -3}, "limit is -3, but must be a whole number from 1"),
        ({"limit": True}, "limit is True, but must be a whole number from 1"),
        ({"ranks_per_point": 0}, "ranks_per_point is 0, but must be a whole number from 1"),
        (
            {"round_seconds": float("nan")},
            "round_seconds is nan, but must be a finite number above 0",
        ),
        ({"seed": 1.5}, "seed is 1.5, but must be a whole number from 0"),
        ({"seed": 2**63}, r"seed is 9223372036854775808, but must be .* from 0 to 2\*\*63 - 1"),
        ({"seed": -1}, "seed is -1, but must be a whole number from 0"),
        ({"fresh": "no"}, "fresh is 'no', but must be True or False"),
        ({"batch_norm": "moved"}, "batch_norm: 'moved' is not known. Did you mean move"),
        ({"batch_norm": "move"}, "to names none. Pass to, or batch_norm fixed or reestimate"),
        ({"batch_norm": "reestimate", "splits": "test"}, "batch_norm reestimate: measures on"),
        ({"splits": ()}, "splits is empty"),
        ({"also": 1}, "also is 1, but must be a word or a list of words"),
        ({"ignore": 5}, "ignore is 5, but must be a word or a list of words"),
        ({"x": (-1, 1, 5.7)}, r"\(-1, 1, 5.7\) is not an axis"),
        ({"y": True}, "True is not an axis"),
        ({"metrics": [len]}, "metrics is of type list"),
        ({"loss": lambda n, b: (len(b[1]), n(b[0]).square().sum())}, "in this order"),
    ],
)
def test_arguments_that_say_something_else(arguments, words):
    with pytest.raises(InputError, match=words):
        lm.compute_surface(network(), rows(), **{"x": (-1, 1, 3), "progress": False} | arguments)


APART = """
    import torch
    import landscape_mpi as lm
    from mpi4py import MPI

    network, data = torch.nn.Linear(2, 3), (torch.randn(8, 2), torch.arange(8) % 3)
    options = {"limit": 0} if MPI.COMM_WORLD.rank == 1 else {}
    try:
        lm.compute_surface(network, data, x=0.0, progress=False, **options)
    except ValueError as problem:
        print(f"said: {problem}\\n", end="")
"""


def test_an_argument_that_is_wrong_on_one_rank_stops_all(tmp_path, on_ranks):
    (tmp_path / "apart.py").write_text(textwrap.dedent(APART))
    done = on_ranks(2, ["apart.py"], check=True, cwd=tmp_path)
    assert done.stdout.count("said: compute_surface: limit is 0, but must be a whole number") == 2


def leaving(network, batch):
    sys.exit(3)


def test_a_loss_that_leaves_the_process_is_said():
    with pytest.raises(InputError, match="loss raised on batch 0 .*SystemExit: 3"):
        lm.compute_surface(network(), rows(), loss=leaving, x=0.0, progress=False)


def test_what_stands_in_the_way_is_said():
    def problem():
        raise AssertionError

    with pytest.raises(InputError, match=r"got a function, problem. Pass what it returns"):
        lm.compute_surface(problem, x=0.0, progress=False)
    with pytest.raises(InputError, match=r"'x' is not known.*goes into a list"):
        lm.compute_surface(network(), {"x": rows()[0]}, x=0.0, progress=False)
    with torch.inference_mode(), pytest.raises(InputError, match="Call this function outside it"):
        lm.compute_surface(network(), rows(), x=0.0, progress=False)


@pytest.mark.parametrize("kind", [lambda n: n, lambda n: n.state_dict()])
def test_a_line_to_a_live_network(kind):
    torch.manual_seed(5)
    own, other = network(), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    line = lm.compute_surface(own, rows(), to=kind(other), x=(0, 1, 3), progress=False)
    inputs, targets = rows()
    for place, end in ((0, own), (2, other)):
        expected = functional.cross_entropy(end(inputs), targets).item()
        np.testing.assert_allclose(line.values["train_loss"][place, 0], expected, rtol=1e-6)


def test_running_statistics_are_measured_again():
    """Oracle: mean and variance of the features over all samples, by torch's own functions."""
    torch.manual_seed(5)
    own, (inputs, targets) = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), rows()
    own[1].running_mean.fill_(5.0)
    losses = {
        choice: lm.compute_surface(
            own, rows(), x=(0, 1, 2), batch_norm=choice, batch_size=64, progress=False
        ).values["train_loss"][0, 0]
        for choice in ("fixed", "reestimate")
    }
    fixed = functional.cross_entropy(own.eval()(inputs), targets).item()
    features = own[0](inputs)
    outputs = (features - features.mean(0)) / (features.var(0) + own[1].eps).sqrt()
    measured = functional.cross_entropy(outputs, targets).item()
    assert losses == pytest.approx({"fixed": fixed, "reestimate": measured}, rel=1e-6)
    assert measured != pytest.approx(fixed, rel=0.01)
    assert own[1].running_mean.unique().tolist() == [5.0]


def test_ignoring_nothing_is_a_word():
    word = lm.compute_surface(network(), rows(), x=(0, 1, 2), ignore="none", progress=False)
    none = lm.compute_surface(network(), rows(), x=(0, 1, 2), ignore=(), progress=False)
    np.testing.assert_equal(dict(word.values), dict(none.values))


def test_a_function_that_was_edited_is_named(tmp_path):
    def first(net, batch):
        return net(batch[0]).square().sum(1)

    def second(net, batch):
        return 1.5 * net(batch[0]).square().sum(1)

    how = {"x": (-1, 1, 3), "out": tmp_path / "a.h5", "progress": False}
    second.__qualname__ = first.__qualname__
    lm.compute_surface(network(), rows(), loss=first, metrics={"size": first}, **how)
    words = (
        r"started with a problem whose size on the first batch is .* function of the loss or of a"
    )
    with pytest.raises(InputError, match=words):
        lm.compute_surface(network(), rows(), loss=first, metrics={"size": second}, **how)


def test_axes_and_losses_that_are_none(mine):
    with pytest.raises(
        InputError, match=r"\(1, 2\) is not an axis. Pass \(first, last, number of points\)"
    ):
        lm.compute_surface(mine.problem(), x=(1, 2), progress=False)
    with pytest.raises(InputError, match="loss: 'mean_squared' is not known"):
        lm.compute_surface(network(), rows(), loss="mean_squared", progress=False)


def test_a_file_goes_on_and_refuses_another_problem(mine, tmp_path):
    out = tmp_path / "mine.h5"
    first = lm.compute_surface(mine.problem(), **GRID, out=out, progress=False)
    again = lm.compute_surface(mine.problem(), **GRID, out=out, progress=False)
    np.testing.assert_equal(dict(again.values), dict(first.values))
    with pytest.raises(InputError, match=r"mine\.h5: was computed with loss loss, but this run"):
        lm.compute_surface(network(), rows(), x=(-1, 1, 3), out=out, progress=False)


SLOW = """
    import os, sys, time, torch
    import landscape_mpi as lm

    def loss(network, batch):
        time.sleep(float(os.environ.get("LAG", "0")))
        return network(batch).square().sum(1)

    torch.manual_seed(0)
    network, data = torch.nn.Linear(3, 2), [torch.randn(4, 3)]
    try:
        surface = lm.compute_surface(network, data, loss=loss, x=(-1, 1, 99), out="slow.h5",
                                     round_seconds=0.3)
    except KeyboardInterrupt as problem:
        print("stopped:", problem)
        sys.exit(9)
    print("done", int(surface.done.sum()))
"""


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch, capsys):
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW))
    path = os.pathsep.join([str(Path(lm.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    started = subprocess.Popen(
        [sys.executable, "slow.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "LAG": "0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out = tmp_path / "slow.h5"
    while not (out.exists() and lm.open_surface(out).done.any()):
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    told, bar = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 9, told + bar
    n_done = int(lm.open_surface(out).done.sum())
    assert 0 < n_done < 99
    assert f"stopped: {n_done} of 99 points are computed; they are in slow.h5" in told
    assert "point/s" in bar
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    runpy.run_path("slow.py", run_name="__main__")
    assert capsys.readouterr().out == "done 99\n"


class Keeping(nn.Module):
    """Keeps a number that it computes from its weights in its first call."""

    kept = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        if self.kept is None:
            self.kept = self.layer.weight.detach().square().sum()
        return self.layer(x) * self.kept


def test_a_live_network_that_keeps_something_from_its_first_call_is_refused():
    batches = [(torch.randn(4, 3), torch.arange(4) % 2) for _ in range(3)]
    with pytest.raises(InputError, match="keeps what it computes from its weights"):
        lm.compute_surface(Keeping(), batches, x=(-1, 1, 3), progress=False)


def test_autocast_around_the_call_is_refused_and_inside_the_loss_it_counts():
    """Around the call it would keep copies of the weights, and every point would have one loss."""
    torch.manual_seed(0)
    network, draw = nn.Linear(3, 2), torch.Generator().manual_seed(0)
    batches = [(torch.randn(4, 3, generator=draw), torch.arange(4) % 2) for _ in range(3)]
    plane = {"x": (-1, 1, 3), "progress": False}
    with torch.autocast("cpu"), pytest.raises(InputError, match="torch.autocast is on for all"):
        lm.compute_surface(network, batches, **plane)

    def loss(network, batch):
        with torch.autocast("cpu"):
            outputs = network(batch[0])
        return functional.cross_entropy(outputs.float(), batch[1], reduction="none")

    found = lm.compute_surface(network, batches, loss=loss, **plane)
    expected = torch.cat([loss(network, batch) for batch in batches]).double().mean()
    assert found.values["train_loss"][1, 0] == pytest.approx(expected.item(), rel=1e-6)
