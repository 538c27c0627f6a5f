"""Oracle: the unmodified network in float64, its weights moved by hand, in a plain loop."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.losses import Loss, mse
from landscape_mpi.compute.moving_network import MovedNetwork, StackedNetwork
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.stacked_plane import StackedLossPlane
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

SETTING = Setting(CPU, "fp32", 16)
POINTS = [(0.0, 0.0), (0.3, -0.2), (-0.5, 0.1), (0.2, 0.7), (0.9, 0.9)]
IMAGE = Sample("image", (1, 8, 8), 10)
TABLE = Sample("table", (24,), 2)
CASES = {"resnet8": IMAGE, "cnn3": IMAGE, "seismic3": TABLE}


def build(model):
    torch.manual_seed(1)
    network = build_network(model, sample=CASES[model]).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that folding must not leave out
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return network


def directions_of(network):
    moved = {n: p.detach().numpy() for n, p in network.named_parameters() if p.ndim > 1}
    return {
        axis: random_direction(moved, seed=1, axis=axis, normalize="filter")
        for axis in ("alpha", "beta")
    }


def samples_of(model, n, device, seed=0):
    shape = CASES[model].shape
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, CASES[model].n_classes, n)
    if len(shape) == 1:
        inputs = generator.normal(size=(n, *shape)).astype(np.float32)
    else:
        inputs = generator.integers(0, 256, (n, *shape[1:], shape[0]), np.uint8)
    return ResidentSplit(inputs, targets, mean=(0.4,), std=(0.3,), device=device)


def splits_of(model, device):
    return {"train": samples_of(model, 50, device), "test": samples_of(model, 21, device, seed=1)}


def setting_for(splits, **changes):
    return replace(SETTING, device=device_named(str(splits["train"].losses.device)), **changes)


def stack_of(network, splits, n_points, *, threads=1, **options):
    sample = splits["train"].batch(slice(0, 2)).cpu()
    setting = setting_for(splits, points=n_points, threads=threads)
    vectors = directions_of(network)
    return StackedLossPlane(copy.deepcopy(network), vectors, splits, sample, setting, **options)


def plane_of(network, splits, **options):
    sample = splits["train"].batch(slice(0, 2)).cpu()
    vectors, setting = directions_of(network), setting_for(splits)
    return LossPlane(copy.deepcopy(network), vectors, splits, sample, setting, **options)


def exactly(network, splits, points):
    """Return the values of points one after the other, without anything of the package."""
    center = copy.deepcopy(network).double()
    rows = []
    for alpha, beta in points:
        moved = copy.deepcopy(center)
        for name, parameter in moved.named_parameters():
            for step, direction in zip((alpha, beta), directions_of(network).values(), strict=True):
                if name in direction:
                    parameter.data += step * torch.from_numpy(direction[name]).double()
        row = []
        for samples in splits.values():
            with torch.no_grad():
                outputs = moved(samples.batch(slice(0, len(samples))).cpu().double())
            targets = samples.targets.cpu()
            losses = functional.cross_entropy(outputs, targets)
            wrong = outputs.argmax(1) != targets
            row += [losses.item(), 100 * wrong.double().mean().item()]
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("model", CASES)
def test_the_losses_are_those_of_the_points_one_by_one(model, device):
    network, splits = build(model), splits_of(model, device)
    found = stack_of(network, splits, len(POINTS)).evaluate(POINTS)
    expected = exactly(network, splits, POINTS)
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found[:, ::2], expected[:, ::2], rtol=1e-5)
    np.testing.assert_allclose(found[:, 1::2], expected[:, 1::2], rtol=1e-12)


@pytest.mark.parametrize("model", CASES)
def test_company_place_and_number_do_not_change_a_point(model, device):
    network, splits = build(model), splits_of(model, device)
    stack = stack_of(network, splits, 4)
    whole = stack.evaluate(POINTS[:4])
    for n in range(1, 4):
        np.testing.assert_array_equal(stack.evaluate(POINTS[:n]), whole[:n])
    np.testing.assert_array_equal(stack.evaluate(POINTS[3::-1]), whole[::-1])
    assert stack.find_fault(plane_of(network, splits)) is None


def test_threads_do_not_get_into_one_anothers_way(device):
    network, splits = build("resnet8"), {"train": samples_of("resnet8", 400, device)}
    alone = stack_of(network, splits, 3).evaluate(POINTS[:3])
    stack = stack_of(network, splits, 3, threads=4)
    for _ in range(3):
        np.testing.assert_array_equal(stack.evaluate(POINTS[:3]), alone)


def test_the_weights_are_those_of_a_network_that_moves_alone(device):
    network = build("resnet8")
    vectors = directions_of(network)
    n_points, place = len(POINTS), {"device": device}
    alone = MovedNetwork(copy.deepcopy(network).to(device), **vectors, **place)
    stack = StackedNetwork(copy.deepcopy(network).to(device), **vectors, n_points=n_points, **place)
    stack.move_to_all(POINTS)
    for place, point in enumerate(POINTS):
        alone.move_to(*point)
        for name, tensor in stack._tensors.items():
            assert torch.equal(tensor[place], alone.network.get_parameter(name)), name


def test_losses_without_an_error_beside_them(device):
    network, splits = build("seismic3"), splits_of("seismic3", device)
    options = {"loss": Loss(mse)}
    found = stack_of(network, splits, 3, **options).evaluate(POINTS[:3])
    plane = plane_of(network, splits, **options)
    alone = np.array([plane.evaluate(*point) for point in POINTS[:3]])
    np.testing.assert_allclose(found, alone, rtol=1e-6)
    assert (found[:, 1] == 0).all()


def test_a_loss_that_is_not_a_number_is_a_result_of_its_point_alone(device):
    network, splits = build("seismic3"), splits_of("seismic3", device)
    found = stack_of(network, splits, 3).evaluate([(0.0, 0.0), (1e38, 1e38), (0.1, 0.0)])
    assert np.isnan(found[1, 0])
    assert found[1, 1] == 100
    assert np.isfinite(found[[0, 2]]).all()


def test_other_losses_than_one_by_one_are_a_fault(device):
    splits = splits_of("seismic3", device)
    other = build("seismic3")
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    fault = stack_of(build("seismic3"), splits, 2).find_fault(plane_of(other, splits))
    assert fault.startswith("stacked the loss differs by 0.")


def test_losses_that_change_with_the_company_are_a_fault(device, monkeypatch):
    network, splits = build("seismic3"), splits_of("seismic3", device)
    stack = stack_of(network, splits, 3)
    plain = stack.evaluate

    def by_place(points):
        values = plain(points)
        values[:, 0] *= 1 + 1e-9 * np.arange(len(points))
        return values

    monkeypatch.setattr(stack, "evaluate", by_place)
    fault = stack.find_fault(plane_of(network, splits))
    assert fault == "the loss of a point depends on those it is stacked with"
