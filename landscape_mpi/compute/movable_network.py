"""A network that a plane can move: what a module must be for its weights to be set."""

from __future__ import annotations

import torch
from torch import nn

from landscape_mpi.compute.tensors import check_tensors
from landscape_mpi.errors import InputError, in_one_line


def check_movable(network: nn.Module) -> None:
    """Check that the weights of a network can be set, and its mode switched.

    Args:
        network: On the CPU; its modes stay as they are, and lazy layers may have no shape yet.

    Raises:
        InputError: If they cannot.
    """
    if any(_is_frozen(module) for module in network.modules()):
        raise InputError(
            "the network: it is TorchScript that was frozen (torch.jit.freeze, "
            "torch.jit.optimize_for_inference), so its weights are constants of its code and "
            "cannot move. Pass the module as it was before it was frozen."
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
            f"after train() and eval(). If torch.export made it, pass the nn.Module that was "
            f"exported."
        ) from problem
    for module, mode in modes:
        module.training = mode
