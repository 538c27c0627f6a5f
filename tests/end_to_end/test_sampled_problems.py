"""Problems and losses of users whose values are estimated from a part of the data, by the command.

Oracle for values: a plain loop over the batches or samples that the order names, at the center. For
errors: the textbook formula of a ratio's error, with what docs/sampling.md adds to it. For runs on
several ranks, and those that go on: the file of one rank that was asked at once, bit for bit.
"""

import h5py
import numpy as np
import pytest
import torch
from one_process import output_of, run_alone

from landscape_mpi.engine.sampling.order import portions
from landscape_mpi.store.reader import read_surface

PROBLEM = """
import torch
from torch import nn
from torch.nn import functional
from landscape_mpi import Problem

N_BATCHES = 600

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

def data():
    '''Batches of 1 to 4 samples, of which a third has no target: some batches have none at all.'''
    draw = torch.Generator().manual_seed(1)
    sizes = torch.randint(1, 5, (N_BATCHES,), generator=draw).tolist()
    inputs = torch.randn(sum(sizes), 5, generator=draw)
    targets = torch.randint(3, (sum(sizes),), generator=draw)
    targets[torch.rand(sum(sizes), generator=draw) < 0.33] = -100
    return list(zip(inputs.split(sizes), targets.split(sizes)))

def ignoring(net, batch):
    inputs, targets = batch
    losses = functional.cross_entropy(net(inputs), targets, reduction="none", ignore_index=-100)
    return losses.sum(), (targets != -100).sum()

def coupled(net, batch):
    '''A batch is told from its own mean, so that no sample has a loss of its own.'''
    outputs = net(batch[0])
    return (outputs - outputs.mean(0)).square().sum(), 1

def problem():
    return Problem(network(), data(), ignoring, metrics={"spread": coupled})

def coupled_problem():
    return Problem(network(), data(), coupled)

def few():
    return Problem(network(), data()[:100], ignoring)
"""
LOSSES = """
import torch
from torch import nn
from torch.nn import functional

WEIGHTS = torch.linspace(0.2, 3, 10)

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

class Centered(nn.Linear):
    def forward(self, images):
        outputs = super().forward(images.flatten(1))
        return outputs - outputs.mean(0)

def build_centered():
    torch.manual_seed(0)
    return Centered(64, 10)

def weighted(outputs, targets):
    losses = functional.cross_entropy(outputs, targets, weight=WEIGHTS, reduction="none")
    return losses, WEIGHTS[targets]

def mixes(outputs, targets):
    losses = functional.cross_entropy(outputs, targets, reduction="none")
    return losses / losses.detach().mean()
"""
GRID = ["--x=-1:1:3", "--y=0:1:2"]
RULE, LOOSE = ("--rtol=0.02", "--atol=0.002"), ("--rtol=0.1", "--atol=0.01")
N_BATCHES, FIRST = 600, 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("problems")
    (folder / "sampled_problems.py").write_text(PROBLEM)
    (folder / "sampled_losses.py").write_text(LOSSES)
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


def of_problem(out, *options, name="problem"):
    words = ["landscape_mpi.surface", f"--problem=sampled_problems:{name}", *GRID]
    return [*words, f"--out={out}", *options]


def of_loss(out, *options, model="build"):
    words = ["landscape_mpi.surface", f"--model=sampled_losses:{model}", "--data=digits"]
    return [*words, "--splits=train", "--batch=64", *GRID, f"--out={out}", *options]


def scope_of(text):
    scope = {}
    exec(text, scope)
    return scope


def stored(path):
    with h5py.File(path) as file:
        names = [name for name in file if name.startswith(("train_", "done"))]
        return {name: file[name][...].tobytes() for name in names}


@pytest.fixture(scope="module")
def of_one_rank(folder):
    """Return a function that gives the file of one rank for some problem and rule, made once."""
    known = {}

    def make(name, *rule):
        key = name, rule
        if key not in known:
            known[key] = folder / f"one_{len(known)}.h5"
            output_of(of_problem(known[key], *rule, name=name))
        return known[key]

    return make


def error_of_a_ratio(sums, counts, n_all):
    """Return the standard error of the ratio of the means of some units, drawn without replacement.

    Source: Cochran 1977, Sampling Techniques, section 6.3.
    """
    n = len(sums)
    residuals = sums - sums.sum() / counts.sum() * counts
    return np.sqrt((1 - n / n_all) * residuals @ residuals / (n * (n - 1))) / counts.mean()


@pytest.mark.parametrize(
    ("name", "quantities"),
    [
        ("problem", {"train_loss": "ignoring", "train_spread": "coupled"}),
        ("coupled_problem", {"train_loss": "coupled"}),
    ],
)
def test_the_ratio_of_a_plain_loop_over_the_batches_of_the_order(name, quantities, of_one_rank):
    scope, surface = scope_of(PROBLEM), read_surface(of_one_rank(name, *RULE))
    center, sampling = surface.center, surface.sampling
    n = int(sampling.n_samples["train"][center])
    assert FIRST <= n < N_BATCHES
    net, batches = scope["network"](), scope["data"]()
    for quantity, function in quantities.items():
        with torch.no_grad():
            pairs = [
                scope[function](net, batches[row])
                for row in np.concatenate(portions(N_BATCHES, 1))[:n]
            ]
        sums, counts = np.array([[float(part) for part in pair] for pair in pairs]).T
        expected = sums.sum() / counts.sum()
        assert surface.values[quantity][center] == pytest.approx(expected, rel=1e-6)
        plain = error_of_a_ratio(sums, counts, N_BATCHES)
        assert plain <= sampling.errors[quantity][center] <= 1.3 * plain


def test_the_rule_is_kept_and_the_exact_loss_lies_within_the_errors(of_one_rank):
    exact = read_surface(of_one_rank("problem")).values
    surface = read_surface(of_one_rank("problem", *RULE))
    taken, errors = surface.sampling.n_samples["train"], surface.sampling.errors
    assert set(np.unique(taken)) <= {256, 512, 600}
    assert taken.min() < N_BATCHES
    assert (errors["train_loss"] <= 0.002 + 0.02 * surface.values["train_loss"]).all()
    for name, found in errors.items():
        apart = np.abs(surface.values[name] - exact[name])
        assert (apart <= 3 * found + 1e-12).all()
        assert apart.max() > 0


def test_ranks_that_share_points_give_the_same_bits(of_one_rank, folder, tmp_path, on_ranks):
    words = of_problem(tmp_path / "ranks.h5", *RULE, "--ranks-per-point=2")
    on_ranks(4, words, cwd=folder, check=True)
    assert stored(tmp_path / "ranks.h5") == stored(of_one_rank("problem", *RULE))


def test_it_goes_on_to_a_smaller_error_and_to_all_batches(of_one_rank, tmp_path):
    out = tmp_path / "on.h5"
    out.write_bytes(of_one_rank("problem", *LOOSE).read_bytes())
    output_of(of_problem(out, *RULE))
    assert stored(out) == stored(of_one_rank("problem", *RULE))
    output_of(of_problem(out, "--rtol=0", "--atol=0"))
    every, exact = read_surface(out), read_surface(of_one_rank("problem"))
    assert (every.sampling.n_samples["train"] == N_BATCHES).all()
    for name in exact.values:
        assert every.values[name] == pytest.approx(exact.values[name], rel=1e-13)


def test_words_of_all_batches_and_of_a_loss_without_a_unit(of_one_rank):
    sampling = read_surface(of_one_rank("few", "--rtol=0.5")).sampling
    assert sampling.words.startswith("values are estimates from 100 % of the batches, ")
    assert sampling.words.endswith("; the largest is 0 nat (train_loss)")
    coupled = read_surface(of_one_rank("coupled_problem", *LOOSE)).sampling
    largest = f"{coupled.largest_error('train_loss'):.2g}"
    assert coupled.words.endswith(f"; the largest is {largest} (train_loss)")


def test_a_hundred_batches_are_all_taken_with_the_bits_of_the_exact_run(of_one_rank):
    exact = read_surface(of_one_rank("few")).values["train_loss"]
    found = read_surface(of_one_rank("few", "--rtol=0.5"))
    assert (found.sampling.n_samples["train"] == 100).all()
    assert found.values["train_loss"].tobytes() == exact.tobytes()


def test_a_weighted_loss_is_the_ratio_of_the_samples_of_the_order(tmp_path):
    from landscape_mpi.zoo.datasets import load_dataset

    out, scope, data = tmp_path / "weighted.h5", scope_of(LOSSES), load_dataset("digits")
    output_of(of_loss(out, "--loss=sampled_losses:weighted", "--rtol=0.02"))
    surface, samples = read_surface(out), data.splits["train"]
    n, n_all = int(surface.sampling.n_samples["train"][surface.center]), len(samples.targets)
    assert n < n_all
    rows = np.concatenate(portions(n_all, 64))[:n]
    images = (torch.from_numpy(samples.inputs[rows]).float() / 255 - data.mean[0]) / data.std[0]
    with torch.no_grad():
        pair = scope["weighted"](scope["build"]()(images), torch.from_numpy(samples.targets[rows]))
    losses, weights = (part.double().numpy() for part in pair)
    expected = losses.sum() / weights.sum()
    assert surface.values["train_loss"][surface.center] == pytest.approx(expected, rel=1e-6)
    plain = error_of_a_ratio(losses, weights, n_all)
    assert plain <= surface.sampling.errors["train_loss"][surface.center] <= 1.3 * plain


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("build", ["--loss=sampled_losses:mixes"], "or a --loss that mixes samples"),
        ("build_centered", [], "depend on the other samples of its batch"),
    ],
)
def test_samples_that_have_no_loss_of_their_own_are_refused(model, options, words, tmp_path):
    """A problem takes whole batches; a network and its data take single samples."""
    out = tmp_path / "refused.h5"
    ended = run_alone(of_loss(out, *options, "--rtol=0.02", model=model))
    assert ended.status == 2
    assert words in ended.words
    assert not out.exists()
