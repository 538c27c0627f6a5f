"""Hessians and gradients of losses of outputs and targets, those of the table.

Oracles: dense matrices in float64 that torch.func makes of torch's own losses over all samples at
once; sentences for what would be wrong.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import table
from cases.losses import CASES, ROWS, N, detached, smooth
from dense import dense_gradient, dense_hessian, of_vector, state_at
from refusals import refused
from torch.func import functional_call

from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.gradient_plane import GradientPlane
from landscape_mpi.compute.losses import Loss, _on_device
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tensors import tensors_of

POINT = (0.2, -0.4)


@pytest.fixture(params=table.of_losses(), ids=str)
def case(request):
    yield request.param
    _on_device.cache_clear()  # class weights stay on a device as long as the process


def directions_of(network):
    center = tensors_of(network)
    return {a: random_direction(center, seed=3, axis=a, normalize="layer") for a in "xy"}


def plane_of(case, device="cpu", *, kind=HessianPlane, batch=7, exact=False, **options):
    network = case.build()
    steps = directions_of(network)
    if exact:
        network = network.double()
    split = ResidentSplit(ROWS, case.targets, mean=(), std=(), device=device)
    sample = split.batch(slice(0, 2)).cpu()
    if kind is HessianPlane:
        options = {"budget_bytes": 1 << 30, **options}
    return kind(
        network,
        {"alpha": steps["x"], "beta": steps["y"]},
        OutputLosses(split, case.function, batch=batch, quick=kind is HessianPlane, sample=sample),
        Setting(device_named(device), "fp32", batch, 2 if device == "cpu" else 1),
        parameters=[name for name, _ in network.named_parameters()],
        **options,
    )


def exact_state(case):
    network = case.build()
    steps = directions_of(network)
    return state_at(network, {"alpha": steps["x"], "beta": steps["y"]}, *POINT)


@pytest.mark.parametrize(("exact", "error"), [(False, 1e-5), (True, 1e-7)])
def test_products_are_those_of_the_dense_hessian(case, exact, error, device):
    plane = plane_of(case, device, exact=exact)
    plane.check_products()
    plane.move_to(*POINT)
    dense = dense_hessian(case.mean_of_state(), exact_state(case))
    for seed in range(2):
        vector = random_vector(plane, seed)
        product = dense @ vector.cpu().double().numpy()
        found = plane.multiply(vector).cpu().numpy()
        assert np.linalg.norm(found - product) < error * np.linalg.norm(product)


def test_the_gradient_and_its_norm(case, device):
    found = plane_of(case, device, kind=GradientPlane).sums_at(*POINT)
    mean, state = case.mean_of_state(), exact_state(case)
    expected = dense_gradient(mean, state)
    np.testing.assert_allclose(found.gradient.cpu() / found.weight, expected, atol=1e-6)
    assert found.norm == pytest.approx(np.linalg.norm(expected), rel=1e-5)
    assert found.mean_loss == pytest.approx(float(mean(state)), rel=1e-6)


def test_the_gauss_newton_matrix_is_that_of_jacobian_and_loss(case):
    plane = plane_of(case, gauss_newton=True)
    plane.move_to(*POINT)
    state, network = exact_state(case), case.center()
    rows, targets = case.samples()

    def outputs(state):
        return functional_call(network, dict(state), (rows,)).flatten()

    vector = torch.cat([tensor.flatten() for tensor in state.values()])
    shape = functional_call(network, state, (rows,)).shape
    jacobian = torch.func.jacrev(of_vector(outputs, state))(vector)
    inner = torch.func.hessian(lambda o: case.mean(o.view(shape), targets))(outputs(state))
    dense = (jacobian.T @ inner @ jacobian).numpy()
    direction = random_vector(plane, 1)
    product = dense @ direction.double().numpy()
    found = plane.multiply(direction).numpy()
    assert np.linalg.norm(found - product) < 1e-5 * np.linalg.norm(product)


def test_a_total_that_is_known_gives_the_bits_of_one_that_is_counted(case):
    products = []
    for known in (None, plane_of(case, batch=N)):
        total = None
        if known is not None:
            known.move_to(*POINT)
            total = known.weight
        plane = plane_of(case, total_weight=total)
        plane.move_to(*POINT)
        products.append(plane.multiply(random_vector(plane, 1)))
    torch.testing.assert_close(*products, rtol=1e-15, atol=0)


def refusal(loss, *, kind=HessianPlane):
    case = replace(CASES["cross-entropy"], function=Loss(loss, own=True))
    return refused(plane_of, case, kind=kind)


@pytest.mark.parametrize("kind", [HessianPlane, GradientPlane])
def test_losses_that_hide_something_from_derivatives_are_refused(kind):
    def confident(outputs, targets):
        weights = outputs.detach().softmax(1).amax(1)
        return smooth(outputs, targets) * weights, weights

    assert "--loss: the loss changes by " in refusal(detached, kind=kind)
    assert "or their count, changes with the weights of the network, from 3.7" in (
        refusal(confident, kind=kind)
    )


def test_weights_with_derivatives_are_refused():
    def confident(outputs, targets):
        weights = outputs.softmax(1).amax(1)
        return smooth(outputs, targets) * weights, weights

    assert refusal(confident) == (
        "--loss: its mean is divided by the sum of weights, or by a count, that has derivatives "
        "in the weights of the network, but derivatives of a divisor are not computed here. "
        "Return weights, or a count, that depend only on the targets or on the batch."
    )
