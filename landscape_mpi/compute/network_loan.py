"""A user's network on loan: given back as it was, whatever was done to it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import nn

from landscape_mpi.compute.tensors import named_tensors, set_values


class NetworkLoan:
    """How a network was when it was lent: weights, memory, device, types, modes and gradients.

    Attributes that are neither parameters nor buffers are not looked at.
    """

    def __init__(self, network: nn.Module) -> None:
        """Note how a network is; its gradients are put aside.

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
        """Make the network what it was."""
        self._network.train(self._modules[0][1])  # merges weights, or undoes it, as it was
        for module, training, parameters, buffers in self._modules:
            module.training = training
            _put_back(module._parameters, parameters)
            _put_back(module._buffers, buffers)
        for tensor, memory, values, gradient, is_trained in self._tensors:
            tensor.data = memory
            tensor.requires_grad_(is_trained)
            set_values(tensor, values)
            tensor.grad = gradient


def _put_back(own: MutableMapping[str, Any], before: Mapping[str, Any]) -> None:
    """Put tensors into a module again, but only those that a call has replaced.

    A module of TorchScript has no way to set all of them at once.
    """
    now = dict(own.items())
    for name, tensor in before.items():
        if name not in now or now[name] is not tensor:
            own[name] = tensor
