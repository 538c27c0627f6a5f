"""Sharpness in all of weight space, and networks before training.

Oracles: the corners of a box, of which a convex loss has its maximum at one; torch's gradient in
float64; and a plain loop over a network in training mode.
"""

import itertools
import os
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_mpi import sharpness
from landscape_mpi.compute.ascent import highest_in_box
from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.losses import CROSS_ENTROPY, FUNCTIONS, Loss
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.sharpness import describe_rise
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network

RANDOM = np.random.default_rng(0)
N_IMAGES = 300


def table(n, n_features, targets, device):
    rows = RANDOM.standard_normal((n, n_features)).astype(np.float32)
    return ResidentSplit(rows, targets, mean=(), std=(), device=device)


def test_the_highest_corner_of_a_box(device):
    """Squared errors of a linear network are convex, so the maximum lies in one of 8 corners."""
    split = table(40, 3, RANDOM.standard_normal(40).astype(np.float32), device)
    torch.manual_seed(0)
    network = nn.Linear(3, 1, bias=False).to(device)
    start = network.weight.detach().cpu().double().numpy().ravel()
    losses = OutputLosses(split, Loss(FUNCTIONS["mse"]), batch=CPU.gradient_batch)
    gradient = LossGradient(network, losses, ["weight"])
    center, _ = gradient.here()
    found = highest_in_box(gradient, center, 0.1, iterations=20, seed=0)
    reach = 0.1 * (np.abs(start) + 1)
    rows, targets = (each.cpu().double().numpy() for each in (split.inputs, split.targets))
    corners = [
        np.mean((rows @ (start + reach * signs) - targets) ** 2)
        for signs in itertools.product((-1, 1), repeat=3)
    ]
    assert found == pytest.approx(max(corners), rel=1e-5)
    np.testing.assert_array_equal(
        network.weight.detach().cpu().numpy().ravel(), start.astype(np.float32)
    )


def test_the_gradient_of_many_batches_is_that_of_the_mean(device):
    split = table(613, 5, RANDOM.integers(0, 4, 613), device)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Linear(4, 4))
    network = network.eval().to(device)
    names = [name for name, _ in network.named_parameters() if name != "0.bias"]
    losses = OutputLosses(split, CROSS_ENTROPY, batch=CPU.gradient_batch)
    loss, found = LossGradient(network, losses, names).here()
    exact = network.double()
    expected = nn.functional.cross_entropy(exact(split.inputs.double()), split.targets)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert list(found) == names
    for name, parameter in exact.named_parameters():
        if name in found:
            np.testing.assert_allclose(found[name], parameter.grad.cpu().numpy(), atol=1e-7)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.pt"
    torch.manual_seed(9)
    torch.save(build("resnet8").state_dict(), path)
    return path


def build(name):
    return build_network(name, sample=Sample("image", (1, 8, 8), 10)).eval()


@pytest.fixture
def surface(checkpoint, tmp_path, alone):
    out = tmp_path / "surface.h5"
    argv = ["landscape_mpi.surface", "--model=resnet8", "--data=digits", "--subset=first"]
    argv += [f"--limit={N_IMAGES}"]
    alone(
        [*argv, f"--checkpoint={checkpoint}", f"--out={out}", "--x=-1:1:5", "--y=-1:1:5"],
        check=True,
    )
    return out


@pytest.mark.parametrize(
    ("center", "highest", "words"),
    [
        (0.5, 2.0, "sharpness 100 %"),
        (0.0, 0.25, "sharpness 25 %"),
        (-3.2, -3.1, "rise 0.1 (no percentage of a loss below 0)"),
        (-1.0, 2.0, "rise 3 (no percentage of a loss below 0)"),  # a percentage would divide by 0
    ],
)
def test_a_rise_is_told_in_percent_of_a_loss_of_at_least_0(center, highest, words):
    assert describe_rise(center, highest) == words


def test_the_command(surface, checkpoint, capfd):
    argv = [str(surface), "--limit=200", "--subset=first", "--radius=0.001,0.01", "--seed=3"]
    assert sharpness.main(argv) == 0
    said = capfd.readouterr().out.splitlines()
    what = "resnet8 on 200 training images (the first of the data set)"
    assert said[0].startswith(f"{surface}: {what}; ")
    center, small, large = (
        float(re.search(pattern, "\n".join(said))[1])
        for pattern in (
            r"at the center (\S+)",
            r"rises to (\S+) where no weight w moves by more than 0.001 ",
            r"rises to (\S+) where no weight w moves by more than 0.01 ",
        )
    )
    network = build("resnet8")
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    assert center == pytest.approx(plain_loss(network, 200), rel=1e-4)
    assert center < small < large
    percent = re.search(r"sharpness (\S+) %: .* by more than 0.001 ", "\n".join(said))[1]
    assert float(percent) == pytest.approx(100 * (small - center) / (1 + center), rel=1e-2)
    fresh = re.search(
        r"3 fresh networks: loss (\S+) to ([\d.]+); the (?:whole )?surface is convex", said[-1]
    )
    expected = [fresh_loss(seed, 200) for seed in (3, 4, 5)]
    found = [float(number) for number in fresh.groups()]
    assert found == pytest.approx([min(expected), max(expected)], rel=1e-2)  # the last batch


def fresh_loss(seed, n):
    torch.manual_seed(seed)
    network = build("resnet8")
    update_bn(images_and_targets(n)[0].split(64), network)
    return plain_loss(network.eval(), n)


def plain_loss(network, n):
    images, targets = images_and_targets(n)
    with torch.no_grad():
        return float(nn.functional.cross_entropy(network(images).double(), targets))


def images_and_targets(n):
    data = load_dataset("digits")
    split = data.splits["train"].first(n)
    images = torch.from_numpy(split.inputs).permute(0, 3, 1, 2) / 255
    return (images - data.mean[0]) / data.std[0], torch.from_numpy(split.targets)


def test_a_function_that_brings_its_weights_has_no_fresh_networks(
    tmp_path, alone, capfd, monkeypatch
):
    (tmp_path / "hook_same.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef build():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    out = tmp_path / "own.h5"
    argv = ["landscape_mpi.surface", "--model=hook_same:build", "--data=digits", "--limit=50"]
    alone([*argv, f"--out={out}", "--x=-1:1:3"], check=True, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert sharpness.main([str(out), "--iterations=1", "--radius=0.001"]) == 0
    assert "always has the same weights, so there are none" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["{surface}", "--limit=301"], "--limit 301: "),
        (["{surface}", "--radius=0.1,0"], "'0' is not above 0"),
        (["nothing.h5"], "nothing.h5: does not exist"),
    ],
)
def test_bad_input(options, words, surface):
    with pytest.raises(InputError, match=re.escape(words)):
        sharpness.main([os.fspath(option).format(surface=surface) for option in options])
