"""Messages to users of --problem and compute_surface, in the words of a problem and of a call.

Oracle: the messages themselves, and the plain loop of problems/hooked.py.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases.problem_loops import LOOPS
from one_process import cores
from plain_loop import move_to, read_plane
from problems import hooked
from torch import nn

import landscape_mpi as lm
from landscape_mpi.cluster.communicator import SharedInputError, start_ranks
from landscape_mpi.compute.ties import refuse_overlaps
from landscape_mpi.engine.point_evaluator import compare_losses
from landscape_mpi.engine.subject import ProblemSubject
from landscape_mpi.errors import InputError
from landscape_mpi.python.keywords import in_keywords
from landscape_mpi.store.reader import read_surface

COMMAND = "landscape_mpi.surface"
GRID = {"x": (-1, 1, 3), "y": (-1, 1, 3), "progress": False}
MODULE = '''
import torch
from torch import nn
from landscape_mpi import Problem


class Overlapping(nn.Module):
    """Two parameters in one memory, of which one is a part of the other."""

    def __init__(self):
        super().__init__()
        self.whole = nn.Parameter(torch.linspace(-1, 1, 6).view(3, 2))
        self.part = nn.Parameter(self.whole.data[:2])

    def forward(self, rows):
        return rows @ self.whole.T + rows @ self.part.sum(0)[:, None]


class Growing(nn.Module):
    """Makes a layer when it is first called."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)

    def forward(self, rows):
        if not hasattr(self, "second"):
            self.second = nn.Linear(3, 1)
        return self.second(self.first(rows))


def rows():
    return [torch.linspace(-1, 1, 8).view(4, 2) for _ in range(2)]


def loss(net, batch):
    return net(batch).square().mean(1)


def nothing(net, batch):
    return 0 * loss(net, batch).sum(), 0


def overlapping():
    return Problem(Overlapping(), rows(), loss)


def growing():
    return Problem(Growing(), rows(), loss)


def without_statistics():
    norm = nn.BatchNorm1d(2, track_running_stats=False)
    return Problem(nn.Sequential(norm, nn.Linear(2, 3)), rows(), loss)


def frozen():
    return Problem(nn.Linear(2, 3), rows(), loss)


def uncounted():
    return Problem(nn.Linear(2, 3), rows(), nothing)


def uncounted_test():
    def of_kind(net, batch):
        kept = batch["kept"]
        return (loss(net, batch["x"]) * kept).sum(), kept.sum()

    kept = [{"x": one, "kept": torch.ones(4)} for one in rows()]
    left = [{"x": one, "kept": torch.zeros(4)} for one in rows()]
    return Problem(nn.Linear(2, 3), {"train": kept, "test": left}, of_kind)


made = 0


def other_each_time():
    global made
    made += 1
    layers = [nn.Linear(2, 3), nn.Linear(3, 3)]
    return Problem(nn.Sequential(*layers[: 1 + made % 2]), rows(), loss)
'''
REFUSED = {
    "overlapping": ((), "Problem: whole and part share a part of their memory"),
    "growing": ((), "Problem: the network makes second.weight, second.bias when it"),
    "without_statistics": ((), "Problem: 0: batch-norm without running statistics"),
    "frozen": (("--only=trainable",), "requires_grad_(False) where the network is built"),
    "uncounted": ((), "Problem: nothing counts in data['train']: the loss returned a count of 0"),
    "uncounted_test": (("--splits=train,test",), "Problem: nothing counts in data['test']: the"),
    "other_each_time": ((), "Problem: building the network a second time gave other tensors (1."),
}


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("name", REFUSED)
def test_a_problem_is_refused_in_its_own_words(name, mine, alone):
    options, words = REFUSED[name]
    command = [COMMAND, f"--problem=mine:{name}", "--x=-1:1:3", "--out=mine.h5", *options]
    with cores(2):  # with one, nothing is built a second time
        done = alone(command, cwd=mine)
    assert done.returncode == 2
    assert words in done.stderr, done.stderr
    assert done.stderr.count("error: ") == 1
    assert "--model" not in done.stderr
    assert "--batch" not in done.stderr
    assert not (mine / "mine.h5").exists()


def test_what_no_command_on_a_cpu_meets():
    known = ("mine:problem", "Linear", ("loss",), "1", 0, "none", "f", "float32", "batches")
    subject = ProblemSubject({"train": 2}, *known)
    assert subject.option == "Problem"
    assert subject.plain_way_out == "Start over with --fresh."
    assert subject.too_large_words(1, "80 GiB").startswith("Problem: a batch does not fit into the")
    flat = torch.arange(6.0)
    with pytest.raises(InputError, match="^Problem: 0 and 1 share a part of their memory"):
        refuse_overlaps(nn.ParameterList([flat, flat[:2]]), option=subject.option)


@pytest.mark.parallel([2])
def test_networks_that_differ_between_ranks():
    ranks = start_ranks()
    with pytest.raises(SharedInputError, match="^Problem: on the first samples rank 0 has the"):
        compare_losses(ranks, 1.0 + ranks.rank, option="Problem")


# Going on with a file.


def problem_of(scale=1.0):
    torch.manual_seed(0)
    network = nn.Linear(2, 3)
    with torch.no_grad():
        network.weight.mul_(scale)
    batches = [torch.linspace(-1, 1, 8).view(4, 2)]
    return lm.Problem(network, batches, squares, metrics={"root": (squares, math.sqrt)})


def squares(net, batch):
    return net(batch).square().sum(1)


def cubes(net, batch):
    return net(batch).pow(3).sum(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda p: replace(p, loss=cubes),
            "loss squares, .* run: give the problem this loss, or a",
        ),
        (lambda p: problem_of(scale=2.0), "run: give its network the original weights"),
        (
            lambda p: replace(p, network=nn.Sequential(p.network)),
            "model Linear, .* model Sequential.* run: give the problem this network, or a new out",
        ),
        (
            lambda p: replace(p, data=[2 * p.data[0]]),
            r"run: give the problem its original data \(seed random .*, or fresh=True to",
        ),
        (
            lambda p: replace(p, units="bit"),
            "units 1 .* requests units bit .*: give the problem th",
        ),
        (
            lambda p: replace(p, metrics={"root": (squares, math.exp)}),
            "finish the metrics .* Give the metrics their original functions, or pass a new out",
        ),
        (lambda p: replace(p, metrics={"root": squares}), "finish the metrics .* give none"),
        (lambda p: replace(p, seed=5), "seed 0 of the problem, .* give the problem this seed"),
    ],
)
def test_another_problem_does_not_go_on_with_a_file(change, words, tmp_path):
    first, out = problem_of(), tmp_path / "mine.h5"
    lm.compute_surface(first, x=(-1, 1, 3), out=out, progress=False)
    with pytest.raises(InputError, match=words):
        lm.compute_surface(change(first), x=(-1, 1, 3), out=out, progress=False)


def test_a_network_and_a_problem_do_not_go_on_with_one_file(mine, alone):
    words = ["--data=digits", "--limit=50", "--x=-1:1:3", "--out=mine.h5"]
    problem = [COMMAND, "--problem=mine:frozen", *words[2:]]
    alone(problem, cwd=mine, check=True)
    (mine / "flat_nets.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    done = alone([COMMAND, "--model=flat_nets:build", *words], cwd=mine)
    assert done.returncode == 2
    assert "was computed with the problem mine:frozen, but this run requests the problem none" in (
        done.stderr
    )
    (mine / "mine.h5").unlink()
    alone([COMMAND, "--model=flat_nets:build", *words], cwd=mine, check=True)
    done = alone(problem, cwd=mine)
    assert "with the problem none, but this run requests the problem mine:frozen" in done.stderr


@pytest.mark.parametrize(("place", "words"), [("0", " at the center"), ("0.5", "")])
def test_one_point_has_one_value(place, words, mine, alone):
    done = alone([COMMAND, "--problem=mine:frozen", f"--x={place}", "--out=one.h5"], cwd=mine)
    loss = lm.open_surface(mine / "one.h5").values["train_loss"].item()
    assert f"train_loss: {loss:.6g}{words}\n" in done.stdout


# In Python.


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--limit 9: limits the training data", "limit 9: limits the training data"),
        ("Leave --limit out, or add", "Leave limit out, or add"),
        ("pass --x=-1.0:1.0:51, or a new --out", "pass x=(-1.0, 1.0, 51), or a new out"),
        ("Pass --x=0 for one point", "Pass x=0 for one point"),
        ("or pass --device cpu.", "or pass device='cpu'."),
        ("pass --splits train,test, or", "pass splits='train,test', or"),
        ("pass the --match and --seed of the file", "pass the --match and seed of the file"),
        ("--ranks-per-point: asks", "ranks_per_point: asks"),
        ("--save-directions, --directions", "save_directions, directions"),
        ("pass --checkpoint F", "pass --checkpoint F"),
        ("--seed is wrong\n  File --seed", "seed is wrong\n  File --seed"),
    ],
)
def test_options_become_keywords(message, expected):
    from landscape_mpi.jobs.live.computation import KEYWORDS

    assert in_keywords(message, KEYWORDS) == expected


REFUSED_CALLS = [
    (
        {"limit": 9},
        r"^limit 9: data\['train'\] of the problem has only 1 batches. .* leave out limit",
    ),
    ({"splits": "test"}, "^splits names test, but the data of the problem have only train"),
    ({"normalize": "filtr"}, "^normalize: 'filtr' is not known. Did you mean filter"),
    ({"only": "layer*"}, r"^only: 'layer\*' matches no parameter"),
    ({"y": (1, -1, 5)}, "^y: '1.0:-1.0:5' runs from 1 to -1"),
    ({"out": "/nowhere/a.h5"}, "^out: /nowhere/a.h5: there is no .*, or pass another out"),
    ({"limits": 3}, "^compute_surface: 'limits' is not known. Did you mean limit"),
    ({"device": "gpu"}, "^compute_surface: device: gpu could mean several kinds"),
    ({"device": "cuda:1"}, "^device cuda:1: torch sees no such GPU here"),
    ({"device": torch.device("cuda", 0)}, "^device cuda:0: torch sees no such GPU here"),
    ({"device": None}, "device: 'None' is not known. .*Known: auto, cuda, xpu, cpu"),
    ({"ranks_per_point": 5}, "^ranks_per_point 5: the run has only 1"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED_CALLS)
def test_a_call_is_refused_in_its_keywords(options, words):
    with pytest.raises(InputError, match=words) as told:
        lm.compute_surface(problem_of(), x=(-1, 1, 3), progress=False, **options)
    assert "--" not in str(told.value)


def test_a_device_of_torch_is_one():
    for device in (torch.device("cpu"), "cpu"):
        found = lm.compute_surface(problem_of(), x=0.0, progress=False, device=device)
        assert found.done.all()


def test_lazy_layers_have_no_weights_to_give_back():
    network = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(InputError, match="lazy layers that have no shape yet.* network.inputs"):
        lm.compute_surface(network, [torch.ones(4, 2)], loss=squares, progress=False)


# A live network that hooks into itself.


@pytest.mark.parametrize("threads", [1, 2])
def test_a_hook_that_closes_over_the_network(threads, tmp_path):
    network, data, out = hooked.network(), hooked.data(), tmp_path / "hooked.h5"
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    surface = lm.compute_surface(
        network, data, loss=hooked.loss, batch_size=8, out=out, save_directions=True, **GRID
    )
    torch.set_num_threads(before)
    plane = read_plane(Path(out))
    for place in ((1, 1), (0, 1), (2, 0)):
        other = hooked.network().eval()
        move_to(other, place, plane)
        expected = LOOPS["hooked"](other, data)["loss"]
        assert surface.values["train_loss"][place] == pytest.approx(expected, rel=1e-6)
    assert "threads" not in surface.attributes["steps"]


# A dtype holds from the first call on.


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-14), ("float32", 1e-6)])
def test_network_and_batches_are_converted_before_anything_is_called(dtype, close):
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    inputs = [torch.randn(4, 2, dtype=torch.float64) for _ in range(3)]

    def loss(net, batch):
        noise = torch.full_like(batch, 0.5)
        assert batch.dtype == getattr(torch, dtype)
        return (net(batch) - net(noise.to(getattr(torch, dtype))))[:, 0].square() + 1

    problem = lm.Problem(network, inputs, loss, dtype=dtype)
    surface = lm.compute_surface(problem, x=0.0, progress=False)
    own = network.weight.detach().double()[0]
    expected = torch.stack([((one - 0.5) @ own).square() + 1 for one in inputs]).mean().item()
    np.testing.assert_allclose(surface.values["train_loss"], expected, rtol=close)
    assert network.weight.dtype == torch.float32


class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, number):
        return torch.tensor([1.0, number**2])


def test_a_limit_beyond_the_data_counts_samples_of_a_dataset():
    network = nn.Linear(2, 1)
    with pytest.raises(InputError, match="^limit 11: .* has only 10 samples. Pass at most 10"):
        lm.compute_surface(network, Squares(), loss=squares, limit=11, progress=False)
    with pytest.raises(InputError, match="^limit 11: .* has only 10 samples"):
        lm.compute_surface(network, (torch.ones(10, 2),), loss=squares, limit=11, progress=False)


def test_a_file_says_that_a_limit_takes_the_first():
    network, batches = nn.Linear(2, 1), [torch.full((2, 2), 1.0 + k) for k in range(4)]
    surface = lm.compute_surface(network, batches, loss=squares, x=0.0, limit=2, progress=False)
    assert [surface.attributes[name] for name in ("limit", "subset")] == [2, "first"]
    with torch.no_grad():
        expected = torch.cat([squares(network, batch) for batch in batches[:2]]).mean().item()
    np.testing.assert_allclose(surface.values["train_loss"], expected, rtol=1e-6)


def test_the_center_of_a_way_to_other_weights_has_a_name(mine, alone):
    torch.manual_seed(1)
    torch.save(nn.Linear(2, 3).state_dict(), mine / "other.pt")
    words = ["--problem=mine:frozen", "--x=0:1:3", "--to=other.pt", "--out=mine.h5"]
    alone([COMMAND, *words], cwd=mine, check=True)
    assert marks_of(mine / "mine.h5") == ["mine:frozen", "other"]
    live = lm.compute_surface(
        problem_of(), x=(0, 1, 3), to=mine / "other.pt", out=mine / "live.h5", progress=False
    )
    assert marks_of(live.path) == ["this network", "other"]
    other = nn.Linear(2, 3)
    live = lm.compute_surface(
        problem_of(), x=(0, 1, 3), to=other, out=mine / "memory.h5", progress=False
    )
    assert marks_of(live.path) == ["this network", "other network"]


def marks_of(path):
    return [mark.name for mark in read_surface(path).marks]
