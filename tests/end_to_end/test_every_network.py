"""Every network of the zoo: a step of training, and a plane; on two ranks but for large ones.

Oracle: the unmodified network, its weights moved tensor by tensor, in a plain loop. Deep networks
without shortcuts amplify the rounding of float32, whoever computes them: there the plain loop's own
distance from float64 says how much of a difference that is, and in float64 the folded network is
the plain one to ten digits.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.folding import fold
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.zoo.catalogue import find_network
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network, network_names

N = 4  # samples
# Of more than 10 million parameters, of which a point takes seconds: each in one process.
LARGE = (
    *("resnet18", "resnet34", "resnet50", "resnet18_noshort", "resnet34_noshort"),
    *("resnet50_noshort", "wrn56_4", "wrn56_8", "wrn56_4_noshort", "wrn56_8_noshort", "wrn28_10"),
    *("vgg16", "vgg16_bn"),
)
CLOSE = 1e-5  # relative, in float32
POINTS = [(a, b) for a in (-0.1, 0.0, 0.1) for b in (-0.1, 0.0, 0.1)]


def sample_for(name):
    kind = find_network(name).kinds[0]
    size = 32 if name.startswith("vgg") else 16  # VGG would halve 16 to nothing
    shape = {"image": (3, size, size), "table": (24,), "text": (12,)}[kind]
    return Sample(kind, shape, {"image": 10, "table": 2, "text": 65}[kind])


def split_for(sample):
    draws = np.random.default_rng(0)
    if sample.kind == "image":
        inputs, places = draws.integers(0, 256, (N, *sample.shape[1:], 3), np.uint8), (N,)
    elif sample.kind == "table":
        inputs, places = draws.standard_normal((N, 24)).astype(np.float32), (N,)
    else:
        inputs, places = draws.integers(0, 65, (N, 12)), (N, 12)
    targets = draws.integers(0, sample.n_classes, places)
    pixels = 3 if sample.kind == "image" else 0
    return ResidentSplit(inputs, targets, mean=[0.5] * pixels, std=[0.25] * pixels, device="cpu")


def mean_loss(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, -2).double(), targets.flatten())


@pytest.mark.parallel([2])
@pytest.mark.parametrize("name", [name for name in network_names() if name not in LARGE])
def test_every_network_learns_a_step_and_has_the_same_plane_folded(name):
    ranks = start_ranks()
    loop = prepare(name, filter_normalized)
    worst, allowed = compare_plane(POINTS[ranks.rank :: ranks.size], *loop)
    folded = folded_difference(*loop) if allowed > CLOSE else 0.0
    everyone = ranks.comm.allgather((worst, allowed, folded))
    assert all(worst <= allowed for worst, allowed, _ in everyone), everyone
    assert all(folded < 1e-10 for *_, folded in everyone), everyone


@pytest.mark.parametrize("name", LARGE)
def test_a_large_network_learns_a_step_and_has_the_same_plane_folded(name):
    loop = prepare(name, quick_direction)
    assert sum(values.size for values in loop[1].values()) > 10_000_000
    worst, allowed = compare_plane(POINTS[:1], *loop)
    assert worst <= allowed
    if allowed > CLOSE:
        assert folded_difference(*loop) < 1e-10


def prepare(name, make_direction):
    """Return a network after a step, its tensors, directions, inputs and samples."""
    sample = sample_for(name)
    split = split_for(sample)
    inputs = split.batch(slice(0, N))
    network, state = after_a_step(name, sample, inputs, split.targets)
    center = {key: state[key] for key in moved_names(network, ignore=("bias", "bn"))}
    directions = {axis: make_direction(center, axis) for axis in ("alpha", "beta")}
    return network, state, directions, inputs, split


def filter_normalized(center, axis):
    return random_direction(center, seed=1, axis=axis, normalize="filter")


def quick_direction(center, axis):
    """Return a direction of the weights' own lengths that costs no random numbers."""
    shift = {"alpha": 1, "beta": 2}[axis]
    return {key: np.roll(values, shift).copy() for key, values in center.items()}


def compare_plane(points, network, state, directions, inputs, split):
    """Return how far the plane is from the plain loop, and how far it may be, relative."""
    setting = Setting(CPU, "fp32", N)
    plane = LossPlane(copy.deepcopy(network), directions, {"train": split}, inputs[:2], setting)
    loop = (network, state, directions, inputs, split)
    found = np.array([plane.evaluate(*point)[0] for point in points])
    plain = np.array([plain_loss(point, *loop) for point in points])
    worst, allowed = np.abs(found / plain - 1).max(), CLOSE
    if worst > allowed:
        exact = np.array([plain_loss(point, *loop, dtype=torch.float64) for point in points])
        allowed = max(allowed, 30 * np.abs(plain / exact - 1).max())
    return worst, allowed


def after_a_step(name, sample, inputs, targets):
    """Return a network of the zoo after a step of training, and its tensors."""
    torch.manual_seed(0)
    network = build_network(name, sample=sample).train()
    before = {key: values.copy() for key, values in tensors_of(network).items()}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # or deep networks without shortcuts overflow afterwards
    mean_loss(network(inputs), targets).backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # for deep ones without shortcuts
    torch.optim.SGD(network.parameters(), lr=1e-2).step()
    state = {key: values.copy() for key, values in tensors_of(network.eval()).items()}
    trained = [key for key, _ in network.named_parameters()]
    assert any(not np.array_equal(before[key], state[key]) for key in trained)
    return network, state


def folded_difference(*loop):
    """Return how far the folded network is from the plain one at a point, relative."""
    exact = plain_loss(POINTS[0], *loop, dtype=torch.float64)
    return abs(folded_loss(POINTS[0], *loop) / exact - 1)


def folded_loss(point, network, state, directions, inputs, split):
    """Return the loss of the folded network at a point, all of it in float64."""
    exact = {
        axis: {key: values.astype(np.float64) for key, values in direction.items()}
        for axis, direction in directions.items()
    }
    folded = fold(copy.deepcopy(network).double(), exact)
    tensors = dict(folded.network.state_dict())
    for axis, step in zip(("alpha", "beta"), point, strict=True):
        for key, values in folded.directions[axis].items():
            tensors[key] = tensors[key] + step * torch.from_numpy(values)
    given = inputs.double() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        return mean_loss(functional_call(folded.network, tensors, (given,)), split.targets).item()


@torch.no_grad()
def plain_loss(point, network, state, directions, inputs, split, *, dtype=torch.float32):
    moved = {key: torch.from_numpy(values.copy()) for key, values in state.items()}
    moved = {k: v.to(dtype) if v.is_floating_point() else v for k, v in moved.items()}
    for axis, step in zip(("alpha", "beta"), point, strict=True):
        for key, values in directions[axis].items():
            moved[key] += step * torch.from_numpy(values).to(dtype)
    given = inputs.to(dtype) if inputs.is_floating_point() else inputs
    return mean_loss(functional_call(network, moved, (given,)), split.targets).item()
