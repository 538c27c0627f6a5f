"""Dropout that stays on when the network is evaluated, as for Monte Carlo estimates."""

import torch
from torch import nn
from torch.nn.functional import dropout

from landscape_mpi import Problem

SEED, RATE = 21, 0.3


class Kept(nn.Module):
    def forward(self, hidden):
        return dropout(hidden, RATE, training=True)


def network():
    torch.manual_seed(22)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), Kept(), nn.Linear(32, 1))


def data():
    draw = torch.Generator().manual_seed(23)
    inputs = torch.randn(44, 6, generator=draw)
    return {"train": (inputs, inputs[:, :1].sin() * inputs[:, 1:2])}


def loss(net, batch):
    inputs, targets = batch
    return (net(inputs) - targets).square()[:, 0]


def problem():
    return Problem(network(), data(), loss, seed=SEED, batch_size=16)
