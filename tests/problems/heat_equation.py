"""A physics-informed network for u_t = K u_xx in float64: the loss differentiates its output."""

import math

import torch
from torch import nn

from landscape_mpi import Problem

K = 0.1


def network():
    torch.manual_seed(10)
    layers = [nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1)]
    return nn.Sequential(*layers)


def data():
    """Points (x, t) inside, at the start and at the walls: three batches of each."""
    draw = torch.Generator().manual_seed(11)

    def points(n):
        return torch.rand(n, 2, generator=draw)

    return [{"inside": points(n), "start": points(9), "walls": points(7)} for n in (24, 24, 10)]


def residual(net, points):
    points = points.detach().requires_grad_()
    slope = torch.autograd.grad(net(points).sum(), points, create_graph=True)[0]
    curved = torch.autograd.grad(slope[:, 0].sum(), points, create_graph=True)[0]
    return slope[:, 1] - K * curved[:, 0]


def loss(net, batch):
    with torch.enable_grad():
        inside = residual(net, batch["inside"]).square().mean()
    x, t = batch["start"][:, 0], batch["walls"][:, 1]
    start = net(torch.stack([x, 0 * x], 1))[:, 0] - torch.sin(math.pi * x)
    walls = net(torch.cat([torch.stack([0 * t, t], 1), torch.stack([0 * t + 1, t], 1)]))
    n = len(batch["inside"])
    return (inside + 10 * start.square().mean() + 10 * walls.square().mean()) * n, n


def squared_error(net, batch):
    x, t = batch["inside"].unbind(1)
    solution = torch.exp(-K * math.pi**2 * t) * torch.sin(math.pi * x)
    return (net(batch["inside"])[:, 0] - solution).square()


def problem():
    distance = {"distance": (squared_error, math.sqrt)}  # from the solution, in the mean square
    return Problem(network(), data(), loss, metrics=distance, dtype="float64")
