"""Layers whose weight is made of other tensors before every call."""

import warnings

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune


def _mlp(*behind):
    torch.manual_seed(31)
    return nn.Sequential(nn.Linear(10, 16), *behind, nn.ReLU(), nn.Linear(16, 3))


def pruned():
    network = _mlp()
    for layer in (network[0], network[2]):
        prune.l1_unstructured(layer, "weight", amount=0.4)
    return network


def pruned_with_norm():
    network = _mlp(nn.BatchNorm1d(16))
    for layer in (network[0], network[3]):
        prune.l1_unstructured(layer, "weight", amount=0.4)
    return network


def pruned_convolutions():
    torch.manual_seed(32)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4)
    )
    prune.ln_structured(network[0], "weight", amount=0.5, n=2, dim=0)
    prune.random_unstructured(network[0], "bias", amount=0.5)
    return network


def _old(function, *layers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for layer in layers:
            function(layer)


def old_weight_norm():
    network = _mlp()
    _old(nn.utils.weight_norm, network[0], network[2])
    return network


def old_weight_norm_with_norm():
    network = _mlp(nn.BatchNorm1d(16))
    _old(nn.utils.weight_norm, network[0])
    return network


def old_spectral_norm():
    network = _mlp()
    _old(nn.utils.spectral_norm, network[0])
    return network


def weight_norm():
    network = _mlp(nn.BatchNorm1d(16))
    parametrizations.weight_norm(network[0])
    return network


def spectral_norm():
    network = _mlp()
    parametrizations.spectral_norm(network[0])
    return network


def orthogonal():
    network = _mlp()
    parametrizations.orthogonal(network[2])
    return network


class Symmetric(nn.Module):
    def forward(self, matrix):
        return matrix.triu() + matrix.triu(1).T


def symmetric():
    torch.manual_seed(33)
    network = nn.Sequential(nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 3))
    parametrize.register_parametrization(network[0], "weight", Symmetric())
    return network


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in forward."""

    def forward(self, images):
        weight = self.weight
        deviation = weight.std((1, 2, 3), keepdim=True) + 1e-5
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / deviation
        return self._conv_forward(images, weight, self.bias)


def standardised():
    torch.manual_seed(34)
    return nn.Sequential(
        Standardised(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4)
    )


class Binary(nn.Linear):
    """Weights of which forward takes the signs, as quantised networks do."""

    def forward(self, rows):
        rounded = self.weight.sign() * self.weight.abs().mean()
        return nn.functional.linear(rows, self.weight + (rounded - self.weight).detach(), self.bias)


def binary():
    torch.manual_seed(35)
    return nn.Sequential(Binary(10, 16), nn.BatchNorm1d(16), nn.ReLU(), Binary(16, 3))


class StraightThrough(torch.autograd.Function):
    """Signs, with the derivative of the identity."""

    @staticmethod
    def forward(context, weight):
        return weight.sign()

    @staticmethod
    def backward(context, slope):
        return slope


class SignedHidden(nn.Linear):
    def forward(self, rows):
        weight = StraightThrough.apply(self.weight)
        return nn.functional.linear(rows, weight, self.bias) * self.weight.abs().mean()


def straight_through():
    """A hidden layer whose derivatives the network defines by itself."""
    torch.manual_seed(36)
    return nn.Sequential(
        nn.Linear(10, 6), nn.Tanh(), SignedHidden(6, 6), nn.Tanh(), nn.Linear(6, 3)
    )
