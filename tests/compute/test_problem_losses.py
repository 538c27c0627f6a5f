"""Hessians and gradients of problems: a loss that differentiates the network, labels that do not
count, graphs.

Oracles: SciPy's eigenvalues of the dense matrix that torch.func makes of the same mean loss,
written once more in cases/closed_forms.py; sentences for what would be wrong.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from cases import table
from cases.closed_forms import differential_equation, residuals
from cases.problem_case import batches_of, converted, seed_by_hand
from cases.python_problems import CASES
from dense import dense_gradient, dense_hessian, state_at
from refusals import refused
from torch import nn

from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.gradient_plane import GradientPlane
from landscape_mpi.compute.lanczos import find_ends
from landscape_mpi.compute.problem_losses import ProblemLosses
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.steps import steps_of
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.problem import BatchFunction, Problem

POINT = (0.3, -0.2)


def directions_of(network):
    center = {name: tensors_of(network)[name] for name, _ in network.named_parameters()}
    return {
        axis: random_direction(center, seed=3, axis=axis, normalize="layer")
        for axis in ("alpha", "beta")
    }


STEPS = ("threads", "views")


def planes_of(problem, *kinds, device="cpu", threads=1, steps=STEPS, rows=slice(None), **options):
    """Return planes of a problem that take its network in turns."""
    center = {name: values.copy() for name, values in tensors_of(problem.network.train()).items()}
    directions = options.pop("directions", None) or directions_of(problem.network)
    dtype = None if problem.dtype is None else getattr(torch, problem.dtype)
    network = ProblemNetwork(problem.network, center, device=device, dtype=dtype)
    split = ProblemSplit(
        source_of(problem, "train"),
        rows,
        n_functions=1,
        device=device,
        dtype=dtype,
        budget=options.pop("budget", None),
    )
    losses = ProblemLosses(
        split, problem.functions[0], seed=problem.seed, device=device_named(device)
    )
    names = [name for name, _ in problem.network.named_parameters()]
    setting = Setting(device_named(device), "fp32", 1, threads, steps=steps_of(steps))
    memory = {"budget_bytes": 1 << 30}
    return [
        kind(
            network,
            directions,
            losses,
            setting,
            parameters=names,
            **((memory if kind is HessianPlane else {}) | options),
        )
        for kind in kinds
    ]


def plane_of(tiny, *, kind=HessianPlane, loss=None, **options):
    problem = Problem(tiny.build(), list(tiny.batches), loss or tiny.loss)
    return planes_of(problem, kind, **options)[0]


def exact_state(tiny):
    network = tiny.build()
    return state_at(network, directions_of(network), *POINT)


@pytest.fixture(params=table.with_closed_form(), ids=str)
def tiny(request):
    return request.param.closed_form()


def test_both_ends_are_those_of_the_dense_matrix(tiny, device):
    plane = plane_of(tiny, threads=2, device=device)
    plane.check_products()
    plane.move_to(*POINT)
    exact = scipy.linalg.eigvalsh(dense_hessian(tiny.mean, exact_state(tiny)))[[0, -1]]
    start = random_vector(plane, 1)
    ends = find_ends(plane.multiply, start, tolerance=1e-5, max_products=400)
    assert ends.converged
    found = [ends.least.value, ends.greatest.value]
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6 * np.abs(exact).max())


def test_a_product_is_that_of_the_dense_matrix(tiny, device):
    plane = plane_of(tiny, device=device)
    plane.move_to(*POINT)
    dense = dense_hessian(tiny.mean, exact_state(tiny))
    for seed in range(2):
        vector = random_vector(plane, seed)
        product = dense @ vector.cpu().double().numpy()
        np.testing.assert_allclose(
            plane.multiply(vector).cpu(), product, rtol=0, atol=1e-12 * np.linalg.norm(product)
        )


def test_threads_and_memory_do_not_change_a_bit(tiny, device):
    products = []
    for threads, budget in ((1, 1 << 30), (2, 1 << 30), (3, 0)):
        plane = plane_of(tiny, threads=threads, budget_bytes=budget, device=device)
        plane.move_to(*POINT)
        assert plane.kept.n_kept == (len(tiny.batches) if budget else 0)
        products.append(plane.multiply(random_vector(plane, 1)))
    assert torch.equal(products[0], products[1])
    assert torch.equal(products[0], products[2])


def test_copied_weights_have_the_same_hessian(tiny, device):
    products = []
    for steps in ((), ("views",)):
        plane = plane_of(tiny, steps=steps, device=device)
        plane.move_to(*POINT)
        products.append(plane.multiply(random_vector(plane, 1)))
    assert torch.equal(*products)


def test_parts_of_the_data_add_up(tiny, device):
    whole = plane_of(tiny, device=device)
    whole.move_to(*POINT)
    vector = random_vector(whole, 1)
    parts = []
    for rows in ([0, 1], [2], []):
        plane = plane_of(tiny, rows=rows, device=device)
        plane.move_to(*POINT)
        parts.append(plane)
    total = sum(plane.weight for plane in parts)
    assert total == whole.weight
    for plane in parts:
        plane.divide_by(total)
    added = sum(plane.multiply(vector) for plane in parts)
    torch.testing.assert_close(added, whole.multiply(vector), rtol=1e-11, atol=1e-13)


def test_the_gradient_and_its_norm_are_those_of_the_mean(tiny, device):
    state = exact_state(tiny)
    expected = dense_gradient(tiny.mean, state)
    planes = [plane_of(tiny, kind=GradientPlane, threads=n, device=device) for n in (1, 2)]
    found = [plane.sums_at(*POINT) for plane in planes]
    np.testing.assert_allclose(found[0].gradient.cpu() / found[0].weight, expected, atol=1e-12)
    assert found[0].norm == pytest.approx(np.linalg.norm(expected), rel=1e-12)
    assert found[0].mean_loss == pytest.approx(float(tiny.mean(state)), rel=1e-12)
    assert (found[0].loss, found[0].norm) == (found[1].loss, found[1].norm)
    assert torch.equal(found[0].gradient, found[1].gradient)


def test_the_gradient_by_name(tiny):
    problem = Problem(tiny.build(), list(tiny.batches), tiny.loss)
    split = ProblemSplit(source_of(problem, "train"), slice(None), n_functions=1, device="cpu")
    names = [name for name, _ in problem.network.named_parameters()]
    losses = ProblemLosses(split, problem.functions[0], seed=0)
    loss, found = LossGradient(problem.network, losses, names).here()
    state = {name: p.detach() for name, p in tiny.build().named_parameters()}
    assert loss == pytest.approx(float(tiny.mean(state)), rel=1e-12)
    flat = np.concatenate([found[name].ravel() for name in names])
    np.testing.assert_allclose(flat, dense_gradient(tiny.mean, state), atol=1e-12)


def test_a_loss_with_transforms_of_torch_func_is_computed_again_for_each_product(device):
    tiny = differential_equation()

    def loss(network, batch):
        def u(place):
            return network(place[None])[0]

        bend = torch.func.vmap(torch.func.grad(torch.func.grad(u)))(batch["x"])
        inside = (bend + network(batch["x"]) - torch.sin(3 * batch["x"])).square()
        return inside + batch["weight"] * network(batch["ends"]).square().sum()

    plane, other = (plane_of(tiny, loss=each, device=device) for each in (loss, None))
    products = []
    for each in (plane, other):
        each.move_to(*POINT)
        products.append(each.multiply(random_vector(each, 1)))
    assert (plane.kept.n_kept, other.kept.n_kept) == (0, 3)
    torch.testing.assert_close(*products, rtol=1e-11, atol=1e-12)


# Problems of the kinds that people bring, in float64.


def exactly(make):
    return replace(make(), dtype="float64", metrics={})


def plain_gradient(make, alpha, beta, *, away=None):
    """Return the gradient of the mean at a point of the plane, and at a vector from it."""
    problem = exactly(make)
    steps, network = directions_of(problem.network), problem.network.double().eval()
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for axis, by in (("alpha", alpha), ("beta", beta)):
            for name, values in steps[axis].items():
                parameters[name] += by * torch.from_numpy(values).double()
        if away is not None:
            sizes = [p.numel() for p in parameters.values()]
            for parameter, part in zip(parameters.values(), away.split(sizes), strict=True):
                parameter += part.view_as(parameter)
    total = count = 0.0
    for i, batch in enumerate(batches_of(problem)):
        seed_by_hand(problem.seed, i)
        found = problem.loss(network, converted(batch, torch.float64))
        its = found if isinstance(found, tuple) else (found.sum(), len(found))
        total, count = total + its[0], count + int(its[1])
    parts = torch.autograd.grad(total / count, list(parameters.values()), allow_unused=True)
    pairs = zip(parts, parameters.values(), strict=True)
    return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for g, p in pairs])


@pytest.mark.parametrize("case", table.with_derivatives(), ids=str)
def test_derivatives_of_any_problem_are_those_of_a_plain_loop(case, device):
    make = case.make
    expected, expected_product = plain_gradient(make, *POINT), None
    for threads in (1, 3):
        kinds, place = (HessianPlane, GradientPlane), {"threads": threads, "device": device}
        hessian, gradient = planes_of(exactly(make), *kinds, **place)
        hessian.check_products()
        found = gradient.sums_at(*POINT)
        mean = found.gradient.cpu() / found.weight
        np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-11)
        hessian.move_to(*POINT)  # each takes the network from the other
        vector = random_vector(hessian, 1)
        product = hessian.multiply(vector)
        assert gradient.sums_at(*POINT).norm == found.norm
        with pytest.raises(ValueError, match="another evaluation has moved the network"):
            hessian.multiply(vector)
        if expected_product is None:
            h = 1e-5
            sides = [
                plain_gradient(make, *POINT, away=s * h * vector.cpu().double()) for s in (1, -1)
            ]
            expected_product, first, norm = (sides[0] - sides[1]) / (2 * h), product, found.norm
            size = float(expected_product.norm())
            assert float((product.cpu() - expected_product).norm()) < 1e-6 * size + 1e-9
        assert torch.equal(product, first)
        assert found.norm == norm


def test_batches_that_are_read_at_every_point_have_the_same_bits(tiny, device):
    products = []
    for budget in (None, 1):
        plane = plane_of(tiny, budget=budget, device=device)
        plane.move_to(*POINT)
        products.append(plane.multiply(random_vector(plane, 1)))
    assert torch.equal(*products)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("contrastive", "is hidden from derivatives"),
        ("integers", "is hidden from derivatives"),
        ("halved", "weights of type torch.bfloat16, which is too coarse for the Hessian"),
        ("merging", "Problem: eval() changes weight of this network"),
    ],
)
def test_problems_without_a_hessian(name, words):
    problem = CASES[name].make()
    with pytest.raises(InputError) as caught:
        planes_of(problem, HessianPlane, steps=("threads",))
    assert words in str(caught.value)


# Losses that would give wrong numbers.


def refusal(loss, *, kind=HessianPlane, threads=1, **options):
    return refused(
        plane_of, differential_equation(), kind=kind, threads=threads, loss=loss, **options
    )


def test_a_loss_of_another_network_is_refused():
    kept = differential_equation().build()
    words = refusal(lambda _, batch: residuals(kept, batch))
    assert "Problem: the loss has no derivative in any weight of the network it is given" in words


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_loss_that_keeps_the_first_network_has_the_same_bits_on_threads(tiny, share):
    kept, products = [], []

    def loss(network, batch):
        kept.append(network)
        given, first = (tiny.loss(each, batch) for each in (network, kept[0]))
        if isinstance(given, tuple):
            return share * given[0] + (1 - share) * first[0], given[1]
        return share * given + (1 - share) * first

    for threads in (1, 3):
        kept.clear()
        plane = plane_of(tiny, threads=threads, loss=loss)
        plane.move_to(*POINT)
        products.append(plane.multiply(random_vector(plane, 1)))
    assert torch.equal(*products)


@pytest.mark.parametrize("kind", [HessianPlane, GradientPlane])
def test_what_is_hidden_from_derivatives_is_refused(kind):
    def detached(network, batch):
        return residuals(network, batch) * network.a.detach().square().sum()

    def counted(network, batch):
        losses = residuals(network, batch)
        return losses.sum(), float(network.w.detach().exp().sum())

    def without_gradients(network, batch):
        with torch.no_grad():
            return network(batch["x"]).square()

    for loss in (detached, counted, without_gradients):
        words = refusal(loss, kind=kind)
        assert "Problem: the loss changes by " in words
        assert "is hidden from derivatives" in words


def test_a_count_with_derivatives_is_refused():
    words = refusal(lambda network, batch: (residuals(network, batch).sum(), network.w.exp().sum()))
    assert words.startswith("Problem: its mean is divided by the sum of weights, or by a count")


def test_the_gauss_newton_matrix_of_a_problem_is_refused():
    tiny = differential_equation()
    assert refusal(tiny.loss, gauss_newton=True) == (
        "--gauss-newton uses the matrix J^T H J of the outputs of a network, but the loss of "
        "Problem is a function of the whole network, whose outputs are not known here. Leave it "
        "out to use the Hessian, or define the loss as a function of outputs and targets with "
        "--model, --data and --loss."
    )


def test_coarse_weights_are_refused():
    def build():
        return nn.Linear(3, 1).bfloat16()

    tiny = replace(differential_equation(), build=build)
    with pytest.raises(InputError, match="torch.bfloat16, which is too coarse for the Hessian"):
        plane_of(
            tiny,
            loss=lambda network, _: network(torch.ones(2, 3).bfloat16()),
            directions={"alpha": {}, "beta": {}},
        )


def test_a_loss_that_varies_is_refused():
    numbers = itertools.count(1)
    plane = plane_of(
        differential_equation(),
        loss=lambda network, batch: residuals(network, batch) * next(numbers),
    )
    with pytest.raises(InputError, match="Problem: the product of the Hessian with the same"):
        plane.check_products()


def test_modes_that_a_loss_sets_last_for_its_call():
    modes = []

    def loss(network, batch):
        modes.append(network.training)
        return network.train()(batch).square().sum(1)

    network = nn.Linear(4, 2).eval()
    split = ProblemSplit(
        source_of(Problem(network, [torch.ones(3, 4)] * 2, loss), "train"),
        slice(None),
        n_functions=1,
        device="cpu",
    )
    losses = ProblemLosses(split, BatchFunction("loss", loss), seed=0)
    for index in (0, 1, 0):
        losses.summed(network, index)
    assert modes == [False] * 3
