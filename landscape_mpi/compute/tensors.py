"""A network's tensors as arrays by name: parameters, buffers, also those no state dict holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from landscape_mpi.errors import InputError


def named_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers themselves, in the order of the state dict.

    Buffers that are left out of the state dict follow: they decide the result too.
    """
    state = network.state_dict(keep_vars=True)
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return tensors | {n: b for n, b in network.named_buffers() if n not in tensors}


def tensors_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return parameters and buffers as arrays.

    Args:
        network: On the CPU.

    Raises:
        InputError: If it has parameters that are no real numbers.
    """
    tensors = named_tensors(network)
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise InputError(f"--model: {name} is complex; the plane needs real weights.")
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def fill_network(network: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into a network of the same architecture, in place.

    Args:
        network: On the CPU.
        arrays: What tensors_of returned for the other one.

    Raises:
        InputError: If the two have other names: the function that builds it varies.
    """
    tensors = named_tensors(network)
    if tensors.keys() != arrays.keys():
        different = sorted(tensors.keys() ^ arrays.keys())
        raise InputError(
            f"--model: building the network a second time gave other tensors ({different[0]}). "
            f"Every rank builds it, so the function must always build the same one."
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(arrays[name]))
