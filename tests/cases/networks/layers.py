"""Layers of every kind whose output channels can be rescaled and the rescaling undone behind."""

import torch
from torch import nn

from cases.networks import normalised, samples


class InOut(nn.Module):
    """A linear layer whose weight is [in, out]."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.nf = n_out
        self.weight = nn.Parameter(torch.randn(n_in, n_out) / n_in**0.5)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, rows):
        return rows @ self.weight + self.bias


class Conv1D(InOut):
    """By the name under which libraries know it."""


def _with_norm(layer, norm, *behind):
    return normalised.spread(nn.Sequential(layer, norm, nn.ReLU(), *behind))


def conv2d():
    torch.manual_seed(151)
    return _with_norm(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 4))


def grouped():
    torch.manual_seed(152)
    layer = nn.Conv2d(3, 6, 3, groups=3)
    return _with_norm(layer, nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 4))


def transposed():
    torch.manual_seed(153)
    layer = nn.ConvTranspose2d(3, 6, 3)
    return _with_norm(layer, nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(600, 4))


def transposed_grouped():
    torch.manual_seed(154)
    layer = nn.ConvTranspose2d(3, 6, 3, groups=3)
    return _with_norm(layer, nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(600, 4))


def transposed_1d():
    torch.manual_seed(155)
    layer = nn.ConvTranspose1d(5, 8, 3)
    return _with_norm(layer, nn.BatchNorm1d(8), nn.Flatten(), nn.Linear(64, 3))


def conv1d():
    torch.manual_seed(156)
    layer = nn.Conv1d(5, 8, 3)
    return _with_norm(layer, nn.BatchNorm1d(8), nn.Flatten(), nn.Linear(32, 3))


def linear():
    torch.manual_seed(157)
    return _with_norm(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))


def in_out():
    torch.manual_seed(158)
    return _with_norm(InOut(10, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))


def hugging_face():
    torch.manual_seed(159)
    return _with_norm(Conv1D(10, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))


def wide():
    """As many inputs as outputs, where no shape tells the axes apart."""
    torch.manual_seed(160)
    return _with_norm(InOut(10, 10), nn.BatchNorm1d(10), nn.Linear(10, 3))


# Network, data, and the axis (or the groups) of its first weight along which channels lie.
KINDS = {
    "conv2d": (samples.colors, 0, 1),
    "grouped": (samples.colors, 0, 1),
    "transposed": (samples.colors, 1, 1),
    "transposed_grouped": (samples.colors, 1, 3),
    "transposed_1d": (samples.sequences, 1, 1),
    "conv1d": (samples.sequences, 0, 1),
    "linear": (samples.rows, 0, 1),
    "in_out": (samples.rows, 1, 1),
    "hugging_face": (samples.rows, 1, 1),
    "wide": (samples.rows, 1, 1),
}
