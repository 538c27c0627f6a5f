"""The training of curves: the command in this process, and one step of it on two ranks.

Oracles: a loss of two parameters whose valley, the unit circle, is known; the uninterrupted run,
compared bit for bit; and one step of gradient descent, written out with plain autograd.
"""

import os
import signal
import sys

import numpy as np
import pytest
import torch
from curve_runs import digits, run, train_ends

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.compute.curve import weights_at
from landscape_mpi.jobs.curve import curve_messages
from landscape_mpi.zoo.curve_file import read_curve
from landscape_mpi.zoo.trainer import _mix

VALLEY = '''
import numpy as np, torch
from torch import nn

class Valley(nn.Module):
    """Its loss is log(1 + exp(4 (|w|^2 - 1)^2)), least, log 2, on the unit circle."""
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))
    def forward(self, inputs):
        height = 4 * (self.w.square().sum() - 1).square()
        return torch.stack([torch.zeros(len(inputs)), height.expand(len(inputs))], dim=1)

def network():
    return Valley()

def data():
    inputs = np.zeros((8, 1), np.float32)
    return {"train": (inputs, np.zeros(8, np.int64)), "test": (inputs[:2], np.arange(2))}
'''


@pytest.fixture
def valley(tmp_path, monkeypatch):
    """Return the options of two solutions in the valley, a quarter of the circle apart."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "circle.py").write_text(VALLEY)
    for name, w in (("a", (-1.0, 0.0)), ("b", (0.0, 1.0))):
        torch.save({"w": torch.tensor(w)}, tmp_path / f"{name}.pt")
    yield [
        *("--model", "circle:network", "--data", "circle:data", "--weight-decay", "0"),
        *("--start", tmp_path / "a.pt", "--end", tmp_path / "b.pt", "--device", "cpu"),
    ]
    sys.modules.pop("circle", None)


def losses_along(points, kind):
    """Return the loss at many places of a curve of points [n, 2]."""
    places = np.linspace(0, 1, 101)
    w = np.stack([weights_at(kind, len(points), t) @ points for t in places])
    return np.log1p(np.exp(4 * ((w**2).sum(axis=1) - 1) ** 2))


def points_of(path):
    return np.stack([point["w"].numpy() for point in read_curve(path).content.points])


@pytest.mark.parametrize(("kind", "n", "above"), [("bezier", 3, 2e-3), ("polygon", 4, 2e-2)])
def test_the_curve_finds_the_known_valley(valley, tmp_path, kind, n, above):
    out = tmp_path / "curve.pt"
    recipe = ("--epochs", 40, "--batch-size", 1, "--lr", "0.01")
    status, _, err = run("train", *valley, *recipe, "--kind", kind, "--bends", n, "--out", out)
    assert (status, err) == (0, "")
    points = points_of(out)
    straight = losses_along(points[[0, -1]], kind).max()
    assert straight > np.log(2) + 0.5
    assert losses_along(points, kind).max() < np.log(2) + above
    for name, point in (("a", points[0]), ("b", points[-1])):
        w = torch.load(tmp_path / f"{name}.pt")["w"].numpy()
        assert w.tobytes() == point.tobytes()


def test_free_ends_move_and_a_norm_that_costs_pulls_the_whole_curve_in(valley, tmp_path):
    norms = []
    for decay in ("0", "0.5"):
        out = tmp_path / f"curve{decay}.pt"
        recipe = ("--epochs", 10, "--batch-size", 1, "--lr", "0.01", "--weight-decay", decay)
        assert run("train", *valley, *recipe, "--free-ends", "--out", out)[0] == 0
        points = points_of(out)
        w = np.stack([weights_at("bezier", 3, t) @ points for t in np.linspace(0, 1, 101)])
        norms.append(float((w**2).sum(axis=1).mean()))
    assert norms[1] < 0.95 * norms[0]
    assert not np.array_equal(points[0], [-1, 0])


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    return train_ends(tmp_path_factory.mktemp("ends"))


def stop_after(n, monkeypatch):
    """Send this process a signal when so many epochs are done."""
    say = curve_messages.CurveLog.say_epoch

    def say_and_stop(log, epoch, n_epochs):
        say(log, epoch, n_epochs)
        if epoch.epoch == n:
            os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(curve_messages.CurveLog, "say_epoch", say_and_stop)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(ends, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    words = (*digits(ends), "--epochs=3", "--threads=1")
    assert run("train", *words, "--out", whole)[0] == 0
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        status, out, _ = run("train", *words, "--out", parts)
    assert status == 75
    assert "stopped by SIGUSR1 with 2 of 3 epochs done" in out
    partly = read_curve(parts).content
    assert (partly.n_done, partly.n_epochs) == (2, 3)
    status, out, _ = run("train", *words, "--out", parts)
    assert status == 0
    assert "resuming: 2 of 3 epochs are done" in out
    expected, found = read_curve(whole).content, read_curve(parts).content
    assert found.training is None
    for a, b in zip(expected.points, found.points, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
    # And once more: nothing is left to do.
    before = parts.read_bytes()
    assert run("train", *words, "--out", parts)[0] == 0
    assert parts.read_bytes() == before


def test_the_ends_of_the_file_are_the_checkpoints_with_their_buffers(ends, tmp_path):
    out = tmp_path / "curve.pt"
    assert run("train", *digits(ends), "--epochs=1", "--bends=4", "--out", out)[0] == 0
    points = read_curve(out).content.points
    for seed, point in ((1, points[0]), (2, points[-1])):
        state = torch.load(ends / f"{seed}.pt", weights_only=True)["state_dict"]
        assert state.keys() == point.keys()
        assert all(state[name].numpy().tobytes() == point[name].numpy().tobytes() for name in state)
    moved = points[1]["conv1.weight"]
    line = (2 * points[0]["conv1.weight"] + points[-1]["conv1.weight"]) / 3
    assert not torch.allclose(moved, line, atol=1e-6)


REFUSED = [
    (["--bends=1"], "--bends 1: both ends count", "Pass --bends 3 or more."),
    (["--bends=1001"], "--bends 1001: each bend is a network", "Pass fewer."),
    (["--bends=2"], "--bends 2: both ends count", "Pass --bends 3 or more, or --free-ends."),
    (["--kind=spline"], "--kind", "bezier"),
    (["--start={ends}/none.pt"], "no such checkpoint", ""),
    (["--end={ends}/1.pt"], "has the same weights as --start", "Name another solution."),
    (["--model=resnet14"], "does not fit the network", "Name the network that was trained"),
    (["--momentum=1"], "--momentum 1: must be below 1", ""),
    (["--out={ends}/1.pt"], "is a file that this command reads", "another --out"),
    (["--out={ends}/none/c.pt"], "there is no directory", "mkdir"),
    (["--augment=crop-flip", "--data=seismic"], "--data-dir", ""),
]


@pytest.mark.parametrize(("words", "what", "way_out"), REFUSED)
def test_bad_input_is_one_message_and_nothing_is_written(ends, tmp_path, words, what, way_out):
    out = tmp_path / "curve.pt"
    asked = [word.format(ends=ends) for word in words]
    status, _, err = run("train", *digits(ends), "--epochs=1", "--out", out, *asked)
    assert status == 2
    assert err.count("error:") == 1
    assert what in err
    assert way_out in err
    assert list(tmp_path.iterdir()) == []


def test_another_run_is_not_gone_on_with_and_what_is_no_curve_is_left_alone(ends, tmp_path):
    out = tmp_path / "curve.pt"
    words = (*digits(ends), "--epochs=1", "--out", out)
    assert run("train", *words)[0] == 0
    before = out.read_bytes()
    for changed, told in (
        (["--lr=0.5"], "was started with --lr 0.03, but this command has --lr 0.5"),
        (["--free-ends"], "was started with --no-free-ends, but this command has --free-ends"),
        ([f"--start={ends}/2.pt", f"--end={ends}/1.pt"], "was started with --start of SHA-256"),
    ):
        status, _, err = run("train", *words, *changed)
        assert status == 2
        assert told in err
        assert "another --out, or --fresh to start over" in err
    assert out.read_bytes() == before
    assert run("train", *words, "--lr=0.5", "--fresh")[0] == 0
    assert read_curve(out).content.identity["lr"] == 0.5

    other = tmp_path / "other.pt"
    torch.save({"w": torch.zeros(2)}, other)
    before = other.read_bytes()
    status, _, err = run("train", *digits(ends), "--epochs=1", "--fresh", "--out", other)
    assert status == 2
    assert "is a checkpoint, not a curve between two checkpoints" in err
    assert "It is kept: pass another --out" in err
    assert other.read_bytes() == before


def test_a_curve_that_lacks_something_is_said_to_be_damaged(ends, tmp_path):
    out = tmp_path / "curve.pt"
    assert run("train", *digits(ends), "--epochs=1", "--out", out)[0] == 0
    content = torch.load(out, weights_only=True)
    for name in ("points", "format_version"):
        torch.save({key: value for key, value in content.items() if key != name}, out)
        status, _, err = run("evaluate", out, "--out", tmp_path / "new.h5")
        assert status == 2
        assert "train the curve again" in err.lower()
    assert not (tmp_path / "new.h5").exists()


def test_a_changed_weight_of_a_curve_is_refused(ends, tmp_path):
    out = tmp_path / "curve.pt"
    assert run("train", *digits(ends), "--epochs=1", "--out", out)[0] == 0
    data = bytearray(out.read_bytes())
    weights = torch.load(out, weights_only=True)["points"][1]
    values = next(iter(weights.values())).numpy().ravel()[:4].tobytes()
    assert data.count(values) == 1
    data[data.index(values) + 1] ^= 1
    out.write_bytes(data)
    torch.load(out, weights_only=True)  # torch does not notice
    for command in ("evaluate", "plane"):
        status, _, err = run(command, out, "--out", tmp_path / "new.h5")
        assert status == 2
        assert f"{out}: is damaged: its part " in err
        assert "Use an earlier copy, or train the curve again." in err


def test_a_training_that_diverges_leaves_no_lock(ends, tmp_path):
    out = tmp_path / "curve.pt"
    status, _, err = run("train", *digits(ends), "--epochs=1", "--lr=1e30", "--out", out)
    assert status == 2
    assert "the training diverged" in err
    assert [path.name for path in tmp_path.iterdir()] == ["curve.pt"]


def test_ends_that_differ_in_what_is_frozen_are_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    frozen = VALLEY.replace(
        "torch.zeros(2))\n", "torch.zeros(2))\n        self.register_buffer('s', torch.ones(1))\n"
    )
    (tmp_path / "frozen.py").write_text(frozen)
    for name, value in (("a", 1.0), ("b", 2.0)):
        state = {"w": torch.full((2,), value), "s": torch.tensor([value])}
        torch.save(state, tmp_path / f"{name}.pt")
    words = ("--model=frozen:network", "--data=frozen:data", "--start", tmp_path / "a.pt")
    status, _, err = run("train", *words, "--end", tmp_path / "b.pt", "--out", tmp_path / "c.pt")
    sys.modules.pop("frozen", None)
    assert status == 2
    assert "has another s than --start" in err


# One step on two ranks.


@pytest.mark.parallel([2])
def test_every_rank_has_a_place_of_its_own_for_its_part_of_a_batch(tmp_path, monkeypatch):
    ranks = start_ranks()
    tmp_path = ranks.comm.bcast(tmp_path, root=0)
    monkeypatch.syspath_prepend(tmp_path)
    if ranks.is_root:
        (tmp_path / "circle.py").write_text(VALLEY)
        torch.save({"w": torch.tensor([-1.0, 0.2])}, tmp_path / "a.pt")
        torch.save({"w": torch.tensor([0.1, 1.0])}, tmp_path / "b.pt")
    ranks.comm.Barrier()
    words = ["train", "--model=circle:network", "--data=circle:data", "--device=cpu", "--epochs=1"]
    words += [f"--start={tmp_path}/a.pt", f"--end={tmp_path}/b.pt", f"--out={tmp_path}/c.pt"]
    words += ["--batch-size=8", "--lr=0.1", "--weight-decay=0.3", "--seed=5"]
    assert run(*words)[0] == 0

    a, b = torch.tensor([-1.0, 0.2]), torch.tensor([0.1, 1.0])
    bend = ((a + b) / 2).requires_grad_()
    total = 0
    for rank in (0, 1):
        torch.manual_seed(_mix(5, 0, 1 + rank))
        t = float(torch.rand((), dtype=torch.float64))
        w = (1 - t) ** 2 * a + 2 * t * (1 - t) * bend + t**2 * b
        height = 4 * (w.square().sum() - 1).square()
        total = total + (torch.log1p(torch.exp(height)) + 0.3 / 2 * w.square().sum()) / 2
    (gradient,) = torch.autograd.grad(total, bend)
    expected = (bend - 0.1 * gradient).detach()
    found = read_curve(tmp_path / "c.pt").content.points[1]["w"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
