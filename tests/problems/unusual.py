"""Problems whose network, batches or loss few people have, and that torch computes all the same.

Each function returns a new problem, the same one every time, whose loss draws no random numbers.
"""

import copy
import dataclasses
import itertools
import traceback

import torch
from torch import nn
from torch.func import functional_call, hessian, jvp, vmap
from torch.nn import functional

from landscape_mpi import Problem


def drawn(*shape, seed=28):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(n_outputs=3):
    torch.manual_seed(29)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, n_outputs))


def batches(n=5):
    return [(drawn(n, 6, seed=seed), (torch.arange(n) + seed) % 3) for seed in range(4)]


def loss(net, batch):
    inputs, targets = batch
    return functional.cross_entropy(net(inputs), targets, reduction="none")


def derivatives_of_a_function():
    """The Laplacian by torch.func, in float64."""
    points = [drawn(4, 6, seed=seed) for seed in range(3)]

    def residual(net, batch):
        weights = dict(net.named_parameters())

        def value(point):
            return functional_call(net, weights, (point[None],)).squeeze()

        return (vmap(lambda point: hessian(value)(point).trace())(batch) - 1).square()

    return Problem(network(1), points, residual, dtype="float64")


def directional_derivative():
    def slope(net, batch):
        return jvp(net, (batch,), (torch.ones_like(batch),))[1].square().sum(1)

    return Problem(network(), [drawn(4, 6, seed=seed) for seed in range(3)], slope)


def batch_that_requires_gradients():
    def slope(net, batch):
        with torch.enable_grad():
            (found,) = torch.autograd.grad(net(batch).sum(), batch, create_graph=True)
        return found.square().sum(1)

    points = [drawn(4, 6, seed=seed).requires_grad_() for seed in range(3)]
    return Problem(network(), points, slope)


def _adapted(net, batch, step):
    inputs, targets = batch
    with torch.enable_grad():
        functional.cross_entropy(net(inputs[:2]), targets[:2]).backward()
        step()
    return loss(net, (inputs[2:], targets[2:]))


def trained_in_place():
    """A step of training on a part of the batch, undone behind."""

    def after_a_step(net, batch):
        before = copy.deepcopy(net.state_dict())
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        optimizer.zero_grad()
        losses = _adapted(net, batch, optimizer.step)
        net.load_state_dict(before)
        return losses

    return Problem(network(), batches(), after_a_step)


def trained_copy():
    def after_a_step(net, batch):
        net = copy.deepcopy(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        return _adapted(net, batch, optimizer.step)

    return Problem(network(), batches(), after_a_step)


def slopes_of_weights():
    """A penalty on the gradient, by .grad."""

    def penalised(net, batch):
        with torch.enable_grad():
            net.zero_grad()
            mean = loss(net, batch).mean()
            mean.backward()
        slopes = sum(parameter.grad.square().sum() for parameter in net.parameters())
        return len(batch[1]) * (mean.detach() + slopes), len(batch[1])

    return Problem(network(), batches(), penalised)


def complex_parts():
    """Complex inputs, and a type for all floating-point numbers."""
    pairs = [(torch.complex(inputs, inputs.flip(1)), targets) for inputs, targets in batches()]
    return Problem(network(), pairs, lambda net, b: loss(net, (b[0].abs(), b[1])), dtype="float64")


def of_several_lengths(layout):
    lengths = (5, 3, 2)
    given = [
        (
            torch.nested.nested_tensor([drawn(n, 6, seed=n + k) for n in lengths], layout=layout),
            torch.arange(3),
        )
        for k in range(3)
    ]

    def of_means(net, batch):
        means = torch.stack([net(sequence).mean(0) for sequence in batch[0].unbind()])
        return functional.cross_entropy(means, batch[1], reduction="none")

    return Problem(network(), given, of_means)


def nested():
    return of_several_lengths(torch.strided)


def jagged():
    return of_several_lengths(torch.jagged)


def sparse_rows():
    pairs = [(inputs.relu().to_sparse_csr(), targets) for inputs, targets in batches()]
    return Problem(network(), pairs, lambda net, b: loss(net, (b[0].to_dense(), b[1])))


@dataclasses.dataclass(frozen=True)
class Pair:
    inputs: torch.Tensor
    targets: torch.Tensor


def frozen_pairs():
    pairs = [Pair(inputs, targets) for inputs, targets in batches()]
    return Problem(network(), pairs, lambda net, b: loss(net, (b.inputs, b.targets)))


class Fused(nn.Module):
    """A product of two weights that a hook makes when they are loaded."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(30)
        self.one, self.two = nn.Linear(6, 8, bias=False), nn.Linear(8, 3, bias=False)
        self.fuse()
        self.register_load_state_dict_post_hook(lambda module, keys: module.fuse())

    def fuse(self):
        self.product = (self.two.weight @ self.one.weight).detach()

    def forward(self, rows):
        return functional.linear(rows, self.product)


def fused_when_loaded():
    return Problem(Fused(), batches(), loss)


def huge():
    return Problem(network(), batches(), lambda net, b: 1e300 * loss(net, b).double())


def without_gradients():
    """Takes derivatives, and forgets to turn them on."""

    def slope(net, batch):
        return torch.autograd.grad(net(batch).sum(), batch)[0].square().sum(1)

    return Problem(network(), [drawn(4, 6).requires_grad_()], slope)


def list_of_two():
    pairs = [(inputs[:2], targets[:2]) for inputs, targets in batches()]
    return Problem(network(), pairs, lambda net, b: list(loss(net, b)))


def of_outputs_and_targets():
    return Problem(network(), batches(), functional.cross_entropy)


class WithLoss(nn.Module):
    """A network with its loss as a method, like a module of Lightning."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def loss(self, batch):
        return loss(self.net, batch)


def method_of_one_network():
    module = WithLoss()
    return Problem(module, batches(), module.loss)


def with_own_options():
    """Reads options when it is made, as scripts do."""
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=5)
    return Problem(network(), batches(parser.parse_args().size), loss)


def scheduled(n_calls=120):
    """A weight that doubles after so many calls: more than a set-up takes, and fewer than a run."""
    calls = itertools.count()

    def of_schedule(net, batch):
        return loss(net, batch) * (1.0 if next(calls) < n_calls else 2.0)

    return Problem(network(), batches(), of_schedule)


def scheduled_by_slopes(n_calls=24):
    """A weight that doubles after so many calls that record derivatives, as a Hessian needs."""
    calls, factor = itertools.count(), [1.0]

    def of_schedule(net, batch):
        if torch.is_grad_enabled() and next(calls) == n_calls:
            factor[0] = 2.0
        return loss(net, batch) * factor[0]

    return Problem(network(), batches(), of_schedule)


def without_memory_at_the_end():
    """A loss that finds no memory when the center is compared once more."""

    def of_the_run(net, batch):
        if any(frame.name == "_check_end" for frame in traceback.extract_stack()):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return loss(net, batch)

    return Problem(network(), batches(), of_the_run)
