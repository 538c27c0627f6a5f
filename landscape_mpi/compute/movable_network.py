"""Check that a plane can move a network: that its weights can be set."""

from __future__ import annotations

import torch
from torch import nn

from landscape_mpi.compute.tensors import check_tensors
from landscape_mpi.errors import InputError, in_one_line


def check_movable(network: nn.Module) -> None:
    """Check that the weights of a network can be set and that its mode can be switched.

    Args:
        network: Network on the CPU; its modes stay unchanged, and lazy layers may have no shape
            yet.

    Raises:
        InputError: If they cannot be.
    """
    if any(_is_frozen(module) for module in network.modules()):
        raise InputError(
            "the network: it is frozen TorchScript (torch.jit.freeze, "
            "torch.jit.optimize_for_inference), so its weights are constants in its code and "
            "cannot move. Pass the module before it is frozen."
        )
    _check_modes(network)
    check_tensors(network)


def _is_frozen(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule) and not hasattr(module, "training")


def _check_modes(network: nn.Module) -> None:
    """Check that a network can be put into a mode.

    Raises:
        InputError: If its train() raises.
    """
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.train(network.training)
    except Exception as problem:  # torch.export's modules, and the user's own
        raise InputError(
            f"the network: its train() raised {in_one_line(problem)}. Each point is evaluated "
            "after train() and eval(). If torch.export made the network, pass the nn.Module that "
            "was exported."
        ) from problem
    for module, mode in modes:
        module.training = mode
