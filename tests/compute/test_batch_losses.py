"""Hessians and gradients of losses of outputs and targets.

Oracles: dense matrices in float64 that torch.func makes of torch's own losses over all samples at
once; sentences for what would be wrong.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from dense import dense_gradient, dense_hessian, of_vector, state_at
from refusals import refused
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.gradient_plane import GradientPlane
from landscape_mpi.compute.losses import CROSS_ENTROPY, FUNCTIONS, Loss, _on_device, cross_entropy
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tensors import tensors_of

N, N_CLASSES, PLACES = 23, 3, 4
POINT = (0.2, -0.4)
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.standard_normal((N, 5)).astype(np.float32)
CLASSES = RANDOM.integers(0, N_CLASSES, N)
TOKENS = RANDOM.integers(0, N_CLASSES, (N, PLACES))
NUMBERS = RANDOM.standard_normal((N, N_CLASSES)).astype(np.float32)
WEIGHTS = (1.0, 5.0, 0.5)
PADDED = np.where(RANDOM.random((N, PLACES)) < 0.3, -100, TOKENS)


def build(n_outputs, *, places=0):
    torch.manual_seed(0)
    n = n_outputs * max(1, places)
    layers = [nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, n)]
    if places:
        layers.append(nn.Unflatten(1, (n_outputs, places)))  # classes along axis 1
    return nn.Sequential(*layers).eval()


def smooth(outputs, targets):
    return functional.cross_entropy(outputs, targets, label_smoothing=0.2, reduction="none")


def weighted(outputs, targets):
    weights = torch.tensor(WEIGHTS).to(outputs)[targets]
    losses = functional.cross_entropy(outputs, targets, reduction="none")
    return losses * weights, weights


def length(outputs, targets):
    return ((outputs - targets).square().sum(1) + 1).sqrt()


@dataclass(frozen=True)
class Case:
    loss: Loss
    targets: np.ndarray
    mean: object  # of outputs and targets, by torch, over all
    n_outputs: int = N_CLASSES
    places: int = 0


def of_classes(outputs, targets):
    return functional.mse_loss(outputs, functional.one_hot(targets, N_CLASSES).to(outputs))


def of_logit(outputs, targets):
    return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.to(outputs))


def with_weights(outputs, targets):
    return functional.cross_entropy(outputs, targets, weight=torch.tensor(WEIGHTS).to(outputs))


CASES = {
    "mse of numbers": Case(Loss(FUNCTIONS["mse"]), NUMBERS, functional.mse_loss),
    "mse of classes": Case(Loss(FUNCTIONS["mse"]), CLASSES, of_classes),
    "bce": Case(Loss(FUNCTIONS["bce"]), CLASSES % 2, of_logit, 1),
    "cross-entropy": Case(CROSS_ENTROPY, CLASSES, functional.cross_entropy),
    "class weights, padding, classes along axis 1": Case(
        Loss(cross_entropy, class_axis=1, ignored=-100, class_weights=WEIGHTS),
        PADDED,
        with_weights,
        places=PLACES,
    ),
    "smoothed, with class weights": Case(
        Loss(cross_entropy, class_weights=WEIGHTS, label_smoothing=0.2),
        CLASSES,
        lambda o, t: functional.cross_entropy(
            o, t, weight=torch.tensor(WEIGHTS).to(o), label_smoothing=0.2
        ),
    ),
    "own": Case(
        Loss(smooth, own=True),
        CLASSES,
        lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2),
    ),
    "own with weights": Case(Loss(weighted, own=True), CLASSES, with_weights),
    "own of samples": Case(
        Loss(length, own=True),
        NUMBERS,
        lambda o, t: (((o - t) ** 2).sum(1) + 1).sqrt().mean(),
    ),
}


@pytest.fixture(params=list(CASES))
def case(request):
    yield CASES[request.param]
    _on_device.cache_clear()  # class weights stay on a device as long as the process


def network_of(case):
    return build(case.n_outputs, places=case.places)


def directions_of(network):
    center = tensors_of(network)
    return {a: random_direction(center, seed=3, axis=a, normalize="layer") for a in "xy"}


def plane_of(case, device="cpu", *, kind=HessianPlane, batch=7, exact=False, **options):
    network = network_of(case)
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
        OutputLosses(split, case.loss, batch=batch, quick=kind is HessianPlane, sample=sample),
        Setting(device_named(device), "fp32", batch, 2 if device == "cpu" else 1),
        parameters=[name for name, _ in network.named_parameters()],
        **options,
    )


def exact_state(case):
    network = network_of(case)
    steps = directions_of(network)
    return state_at(network, {"alpha": steps["x"], "beta": steps["y"]}, *POINT)


def mean_of(case):
    network, rows = network_of(case).double(), torch.from_numpy(ROWS).double()
    targets = torch.from_numpy(case.targets)
    targets = targets.double() if targets.is_floating_point() else targets
    return lambda state: case.mean(functional_call(network, dict(state), (rows,)), targets)


@pytest.mark.parametrize(("exact", "error"), [(False, 1e-5), (True, 1e-7)])
def test_products_are_those_of_the_dense_hessian(case, exact, error, device):
    plane = plane_of(case, device, exact=exact)
    plane.check_products()
    plane.move_to(*POINT)
    dense = dense_hessian(mean_of(case), exact_state(case))
    for seed in range(2):
        vector = random_vector(plane, seed)
        product = dense @ vector.cpu().double().numpy()
        found = plane.multiply(vector).cpu().numpy()
        assert np.linalg.norm(found - product) < error * np.linalg.norm(product)


def test_the_gradient_and_its_norm(case, device):
    found = plane_of(case, device, kind=GradientPlane).sums_at(*POINT)
    mean, state = mean_of(case), exact_state(case)
    expected = dense_gradient(mean, state)
    np.testing.assert_allclose(found.gradient.cpu() / found.weight, expected, atol=1e-6)
    assert found.norm == pytest.approx(np.linalg.norm(expected), rel=1e-5)
    assert found.mean_loss == pytest.approx(float(mean(state)), rel=1e-6)


def test_the_gauss_newton_matrix_is_that_of_jacobian_and_loss(case):
    plane = plane_of(case, gauss_newton=True)
    plane.move_to(*POINT)
    state, network = exact_state(case), network_of(case).double()
    rows, targets = torch.from_numpy(ROWS).double(), torch.from_numpy(case.targets)
    targets = targets.double() if targets.is_floating_point() else targets

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
    return refused(plane_of, Case(Loss(loss, own=True), CLASSES, None), kind=kind)


@pytest.mark.parametrize("kind", [HessianPlane, GradientPlane])
def test_losses_that_hide_something_from_derivatives_are_refused(kind):
    def detached(outputs, targets):
        return smooth(outputs, targets) * outputs.detach().square().sum(1)

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
