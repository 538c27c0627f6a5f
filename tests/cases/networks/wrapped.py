"""Networks as wrappers of torch return them, and as others do that are no plain Module."""

import functools
import warnings

import torch
from torch import nn


def _body():
    torch.manual_seed(141)
    layers = [nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)]
    return nn.Sequential(*layers)


def bare():
    return _body()


class Wrapped(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name
        self.add_module(name, _body())

    def forward(self, rows):
        return getattr(self, self.name)(rows)


def as_model():
    return Wrapped("model")


def parallel():
    return nn.DataParallel(_body())


def compiled():
    return torch.compile(_body(), backend="eager")


def compiled_part():
    network = Wrapped("model")
    network.model = torch.compile(network.model, backend="eager")
    return network


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(_body())


def scripted_part():
    network = Wrapped("model")
    network.model = scripted()
    return network


def traced():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(_body().eval(), torch.randn(4, 10))


def averaged():
    network = torch.optim.swa_utils.AveragedModel(_body())
    network.update_parameters(network.module)
    return network


def swapped():
    """forward replaced on the instance."""
    network = _body()
    plain = network.forward
    network.forward = lambda rows: 2 * plain(rows)
    return network


def checkpointed():
    """Recomputes its activations in a backward pass."""
    network = Wrapped("model")
    body = network.model
    network.forward = functools.partial(
        torch.utils.checkpoint.checkpoint, lambda rows: body(rows), use_reentrant=False
    )
    return network
