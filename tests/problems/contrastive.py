"""InfoNCE: each sample of a batch is told from all others, so the batch is the unit of the loss."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from landscape_mpi import Problem

TEMPERATURE = 0.5


def network():
    torch.manual_seed(19)
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 8))


def data():
    """Pairs of views of the same samples, in batches of 16, 16 and 8."""
    draw = torch.Generator().manual_seed(20)
    samples = torch.randn(40, 12, generator=draw)
    views = [samples + 0.3 * torch.randn(40, 12, generator=draw) for _ in range(2)]
    return list(zip(*(view.split(16) for view in views), strict=True))


def loss(net, pair):
    first, second = (normalize(net(view), dim=1) for view in pair)
    likeness = first @ second.T / TEMPERATURE
    own = torch.arange(len(likeness), device=likeness.device)
    mean = (cross_entropy(likeness, own) + cross_entropy(likeness.T, own)) / 2
    return mean, 1  # a batch counts once, whatever its size


def problem():
    return Problem(network(), data(), loss)
