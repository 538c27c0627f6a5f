"""Oracle: a plain float32 loop over the unmodified network, its weights set tensor by tensor.

It shares no code with the package: images are normalised as torchvision does, in
channels-first order, one batch of another size after the other, and losses are averaged
in float64. For the linear network the closed form in float64 stands beside it.
"""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import (
    Evaluator,
    Setting,
    mean_values,
    prepare_device,
)
from landscape_mpi.compute.moving_network import MovedNetwork
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.npz import load_npz

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain_loop(network, inputs, targets, *, mean=MEAN, std=STD, batch=100):
    """Return mean loss and error in percent."""
    losses, wrong = [], 0
    images = torch.from_numpy(inputs).permute(0, 3, 1, 2).contiguous().float().div(255)
    images = (images - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
    labels = torch.from_numpy(targets)
    with torch.no_grad():
        for start in range(0, len(labels), batch):
            rows = slice(start, start + batch)
            logits = network.eval()(images[rows]).double()  # a small loss is a small difference
            losses += nn.functional.cross_entropy(logits, labels[rows], reduction="none").tolist()
            wrong += int((logits.argmax(1) != labels[rows]).sum())
    return math.fsum(losses) / len(losses), 100 * wrong / len(losses)


def moved_by_hand(network, alpha, beta, a, b):
    moved = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name in alpha:
                step = a * alpha[name] + b * beta[name]
                parameter.add_(torch.from_numpy(step.astype(np.float32)))
    return moved


def make_directions(network, *, normalize="filter", seed=1):
    names = moved_names(network, ignore=("bias", "bn"))
    state = tensors_of(network)
    center = {name: state[name] for name in names}
    return [
        random_direction(center, seed=seed, axis=axis, normalize=normalize)
        for axis in ("alpha", "beta")
    ]


def make_evaluator(network, inputs, targets, device, **settings):
    """Return an evaluator of a copy of the network, and the samples it is for."""
    return evaluator_of(copy.deepcopy(network).to(device), inputs, targets, device, **settings)


def evaluator_of(
    network, inputs, targets, device, *, batch=64, threads=1, precision="fp32", mean=MEAN, std=STD
):
    setting = Setting(device_named(device), precision, batch, threads)
    prepare_device(setting, network)
    samples = ResidentSplit(inputs, targets, mean=mean, std=std, device=device)
    return Evaluator(network, setting), samples


def evaluate(evaluator, samples):
    """Return mean loss and error."""
    evaluator.compute_losses(samples)
    return tuple(mean_values([(samples.losses, samples.wrong)]))


def evaluate_plane(network, directions, inputs, targets, points, device, **settings):
    """Return losses and errors at points (a, b), float64 [n, 2]."""
    moved = MovedNetwork(copy.deepcopy(network).to(device), *directions, device=device)
    evaluator, samples = evaluator_of(moved.network, inputs, targets, device, **settings)
    values = []
    for a, b in points:
        moved.move_to(a, b)
        values.append(evaluate(evaluator, samples))
    return np.array(values)


GRID = [(a, b) for a in (-1.0, -0.5, 0.0, 0.5, 1.0) for b in (-1.0, 0.0, 0.4)]


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (150, 8, 8, 3), np.uint8), generator.integers(0, 10, 150)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = build_network("resnet8", n_channels=3, n_classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network


def test_every_point_of_a_plane_against_the_plain_loop(network, images, device):
    directions = make_directions(network)
    values = evaluate_plane(network, directions, *images, GRID, device)
    for (a, b), (loss, error) in zip(GRID, values, strict=True):
        by_hand = plain_loop(moved_by_hand(network, *directions, a, b), *images)
        assert loss == pytest.approx(by_hand[0], rel=1e-5)
        assert error == by_hand[1]


def test_a_linear_network_against_its_closed_form(images, device):
    inputs, targets = images
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 10)).eval()
    loss, error = evaluate(*make_evaluator(network, inputs, targets, device))
    pixels = (inputs / 255.0 - np.array(MEAN)) / np.array(STD)
    rows = pixels.transpose(0, 3, 1, 2).reshape(150, -1)
    weights, bias = (p.detach().numpy().astype(float) for p in network.parameters())
    logits = rows @ weights.T + bias
    log_sum = np.log(np.exp(logits).sum(axis=1))
    assert loss == pytest.approx((log_sum - logits[np.arange(150), targets]).mean(), rel=1e-6)
    assert error == pytest.approx(100 * (logits.argmax(axis=1) != targets).mean())


def test_neither_threads_nor_repetition_change_a_bit(network, images, device):
    directions = make_directions(network)
    options = {"device": device, "batch": 16}
    once = evaluate_plane(network, directions, *images, GRID, threads=1, **options)
    for threads in (1, 2, 5):
        again = evaluate_plane(network, directions, *images, GRID, threads=threads, **options)
        np.testing.assert_array_equal(again, once)


def test_a_batch_larger_than_the_data_and_one_that_leaves_a_rest(network, images, device):
    reference = plain_loop(network, *images)
    for batch in (1, 149, 150, 1000):
        loss, error = evaluate(*make_evaluator(network, *images, device, batch=batch))
        assert loss == pytest.approx(reference[0], rel=1e-5)
        assert error == reference[1]


class Given(nn.Module):
    """Returns the same logits for every sample."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


@pytest.mark.parametrize(
    ("logits", "loss", "error"),
    [
        ([math.nan, 0.0], math.nan, 100.0),  # not a number is no right answer, whatever argmax says
        ([-math.inf, 0.0], math.inf, 100.0),
        ([200.0, -200.0], 0.0, 0.0),
        ([0.0, 0.0], math.log(2), 0.0),
    ],
)
def test_extreme_logits_are_results(logits, loss, error, device):
    inputs, targets = np.zeros((5, 2, 2, 3), np.uint8), np.zeros(5, np.int64)
    found = evaluate(*make_evaluator(Given(logits), inputs, targets, device))
    assert found == pytest.approx((loss, error), nan_ok=True)


def test_losses_are_summed_in_float64(device):
    """A float32 sum of 300,000 equal losses is off in its fourth digit."""
    n = 300_000
    inputs, targets = np.zeros((n, 1, 1, 3), np.uint8), np.zeros(n, np.int64)
    logits = [0.1, -0.7]
    exact = torch.tensor([logits]).double()  # of logits in float32
    one = nn.functional.cross_entropy(exact, torch.tensor([0])).float().item()
    loss, _ = evaluate(*make_evaluator(Given(logits), inputs, targets, device, batch=10_000))
    assert loss == pytest.approx(one, rel=1e-12)


def test_bf16_is_near_and_is_not_fp32(network, images, device):
    exact = evaluate(*make_evaluator(network, *images, device))[0]
    rounded = evaluate(*make_evaluator(network, *images, device, precision="bf16"))[0]
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=2e-2)


def rescaled_before_batch_norm(network):
    """Return the same function: one filter times 10, undone by the batch-norm behind it."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.layer1[0].conv1.weight[3] *= 10
        other.layer1[0].bn1.running_mean[3] *= 10
        other.layer1[0].bn1.running_var[3] *= 100
    return other


def check_invariance(network, other, images, device):
    """The surface of the same function is the same along normalised directions only."""
    surfaces = {}
    for normalize in ("filter", "none"):
        surfaces[normalize] = [
            evaluate_plane(each, directions, *images, GRID, device)[:, 0]
            for each in (network, other)
            for directions in [make_directions(each, normalize=normalize)]
        ]
    np.testing.assert_allclose(*surfaces["filter"], rtol=1e-4)
    assert not np.allclose(*surfaces["none"], rtol=1e-2)


def test_a_filter_rescaled_before_batch_norm_leaves_the_surface(network, images, device):
    check_invariance(network, rescaled_before_batch_norm(network), images, device)


def test_a_layer_rescaled_before_relu_leaves_the_surface(images, device):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10)
    )
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[0].weight *= 10
        other[3].weight /= 10
    check_invariance(network, other, images, device)


@pytest.fixture
def trained(data_dir):
    network = build_network("resnet20_pad", n_channels=3, n_classes=10)
    load_state(network, read_checkpoint(data_dir / "checkpoints" / "resnet20-12fca82f.th"))
    split = load_npz(str(data_dir / "cifar10_first4000.npz"))["train"].first(1000)
    return network.eval(), (split.inputs, split.targets)


def test_the_center_of_a_trained_network(trained):
    """Figures of the publisher's own evaluation on these images."""
    network, images = trained
    loss, error = evaluate(*make_evaluator(network, *images, "cpu", threads=2))
    assert loss == pytest.approx(0.0058, abs=5e-5)
    assert error == pytest.approx(0.1)


def test_a_plane_of_a_trained_network_against_the_plain_loop(trained):
    network, (inputs, targets) = trained
    images = inputs[:130], targets[:130]
    directions = make_directions(network)
    points = [(a, b) for a in (-0.5, 0.0, 1.0) for b in (-1.0, 0.0, 0.3)]
    values = evaluate_plane(network, directions, *images, points, "cpu", threads=2)
    for (a, b), (loss, error) in zip(points, values, strict=True):
        by_hand = plain_loop(moved_by_hand(network, *directions, a, b), *images)
        assert loss == pytest.approx(by_hand[0], rel=1e-5)
        assert error == by_hand[1]


def test_a_filter_of_a_trained_network_rescaled(trained):
    network, (inputs, targets) = trained
    images = inputs[:40], targets[:40]
    check_invariance(network, rescaled_before_batch_norm(network), images, "cpu")
