"""Borrow a user's network, and give it back unchanged, whatever was done to it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import nn

from landscape_mpi.compute.tensors import acts_on_load, named_tensors, put_values, set_values


class NetworkLoan:
    """Store a network's weights, memory, device, types, modes and gradients when it is lent.

    Attributes that are neither parameters nor buffers are not stored.
    """

    def __init__(self, network: nn.Module) -> None:
        """Store the state of a network; set its gradients aside.

        Args:
            network: The user's own object.
        """
        self._network = network
        self._modules = [
            (module, module.training, dict(module._parameters), dict(module._buffers))
            for module in network.modules()
        ]
        self._tensors = [
            (tensor, tensor.data, tensor.detach().clone(), tensor.grad, tensor.requires_grad)
            for tensor in {id(t): t for t in named_tensors(network).values()}.values()
        ]
        for tensor, *_ in self._tensors:
            tensor.grad = None

    @torch.no_grad()
    def give_back(self) -> None:
        """Restore the network."""
        self._network.train(self._modules[0][1])  # merges weights, or undoes merging, as before
        for module, training, parameters, buffers in self._modules:
            module.training = training
            _put_back(module._parameters, parameters)
            _put_back(module._buffers, buffers)
        for tensor, memory, _, gradient, is_trained in self._tensors:
            tensor.data = memory
            tensor.requires_grad_(is_trained)
            tensor.grad = gradient
        put_values(self._network, self._put, loads=acts_on_load(self._network))

    def _put(self) -> None:
        for tensor, _, values, *_ in self._tensors:
            set_values(tensor, values)


def _put_back(own: MutableMapping[str, Any], before: Mapping[str, Any]) -> None:
    """Restore the tensors of a module that a call has replaced.

    A module of TorchScript cannot set all of them at once.
    """
    now = dict(own.items())
    for name, tensor in before.items():
        if name not in now or now[name] is not tensor:
            own[name] = tensor
