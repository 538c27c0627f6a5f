"""Sharpness of minima of problems' surfaces, by the command.

Oracles: the corners of a box, of which a convex loss has its maximum at one, in float64; plain
loops over networks before training.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from cases.problem_loops import LOOPS
from libraries import imported
from one_process import printed, run_alone
from torch.optim.swa_utils import update_bn

from landscape_mpi import sharpness
from landscape_mpi.errors import InputError

LINEAR = """
import torch
from torch import nn
from landscape_mpi import Problem

def loss(net, batch):
    return (net(batch["x"]) - batch["y"]).square().sum(), len(batch["x"])

def problem(normed=False):
    net = nn.Linear(3, 1, bias=False)
    draw = torch.Generator().manual_seed(1)
    batches = [
        {"x": torch.randn(n, 3, generator=draw), "y": torch.randn(n, 1, generator=draw)}
        for n in (5, 3, 8)
    ]
    if normed:
        net = nn.Sequential(net, nn.BatchNorm1d(1))
    return Problem(net, batches, loss, dtype="float64")

def normed():
    return problem(normed=True)
"""


@pytest.fixture
def linear(tmp_path, monkeypatch):
    (tmp_path / "linear.py").write_text(LINEAR)
    monkeypatch.syspath_prepend(tmp_path)
    return imported("linear")


def compute_surface(problem, folder):
    out = folder / "surface.h5"
    words = ["landscape_mpi.surface", f"--problem={problem}", "--x=-1:1:5", "--y=-1:1:5"]
    ended = run_alone([*words, f"--out={out}"])
    assert ended.status == 0, ended.words
    return out


def said_of(*words):
    with printed() as said:
        assert sharpness.main([str(word) for word in words]) == 0
    return said.getvalue()


def mean_loss(batches, weights):
    x, y = (np.concatenate([b[name].double().numpy() for b in batches]) for name in ("x", "y"))
    return float(np.mean((x @ weights - y.ravel()) ** 2))


def network_of(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 1, bias=False).weight.detach().double().numpy().ravel()


@pytest.mark.parametrize("limit", [None, 2])
def test_the_rise_is_that_of_the_highest_corner(limit, linear, tmp_path):
    batches = linear.problem().data[:limit]
    options = [] if limit is None else [f"--limit={limit}"]
    path = compute_surface("linear:problem", tmp_path)
    said = said_of(path, "--radius=0.1", "--fresh-networks=2", "--iterations=20", *options)
    which = "3 training batches (all)" if limit is None else "2 training batches (the first)"
    assert f"Linear of linear:problem on {which}; " in said
    start = network_of(0)
    center = mean_loss(batches, start)
    assert float(re.search(r"at the center (\S+)", said)[1]) == pytest.approx(center, rel=1e-5)
    reach = 0.1 * (np.abs(start) + 1)
    corners = [mean_loss(batches, start + reach * s) for s in itertools.product((-1, 1), repeat=3)]
    highest = float(re.search(r"the loss rises to (\S+) ", said)[1])
    assert highest == pytest.approx(max(corners), rel=1e-5)
    fresh = sorted(mean_loss(batches, network_of(seed)) for seed in (0, 1))
    told = re.search(
        r"2 fresh networks: loss (\S+) to (\S+); the (?:whole )?surface is convex", said
    )
    assert [float(word) for word in told.groups()] == pytest.approx(fresh, rel=1e-3)


def test_networks_that_seed_themselves_are_not_fresh(tmp_path):
    path = compute_surface("problems.heat_equation:problem", tmp_path)
    said = said_of(path, "--radius=0.001", "--fresh-networks=1", "--iterations=1")
    assert "always has the same weights, so there are none" in said
    module = imported("problems.heat_equation")
    expected = LOOPS["heat_equation"](module.network().double(), module.data())["loss"]
    assert float(re.search(r"at the center (\S+)", said)[1]) == pytest.approx(expected, rel=1e-5)


def test_running_statistics_of_fresh_networks_are_measured(linear, tmp_path):
    options = ["--radius=0.001", "--iterations=1", "--fresh-networks=2"]
    said = said_of(compute_surface("linear:normed", tmp_path), *options)
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        made = linear.normed()
        network = made.network.double()
        batches = [{name: v.double() for name, v in batch.items()} for batch in made.data]
        update_bn([batch["x"] for batch in batches], network)
        with torch.no_grad():
            pairs = [made.loss(network.eval(), batch) for batch in batches]
        losses.append(sum(float(total) for total, _ in pairs) / sum(n for _, n in pairs))
    told = re.search(
        r"2 fresh networks: loss (\S+) to (\S+); the (?:whole )?surface is convex", said
    )
    assert [float(word) for word in told.groups()] == pytest.approx(sorted(losses), rel=1e-3)


@pytest.mark.parametrize("option", ["--data-dir=here", "--download", "--subset=first"])
def test_options_of_data_are_refused(option, linear, tmp_path):
    path = compute_surface("linear:problem", tmp_path)
    with pytest.raises(
        InputError, match=f"^{option.split('=')[0]}: applies to networks of --model"
    ):
        said_of(path, option)
