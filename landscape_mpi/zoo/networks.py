"""Networks by name: those of the zoo, and the user's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.hooks import call_hook
from landscape_mpi.zoo.resnet import ResNet

RESNET_DEPTHS = (8, 14, 20, 32, 44, 56, 110)

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    f"resnet{depth}{suffix}": partial(ResNet, depth, pad=bool(suffix))
    for suffix in ("", "_pad")
    for depth in RESNET_DEPTHS
}


def network_names() -> list[str]:
    """Return the names of the networks in the zoo."""
    return list(_BUILDERS)


def build_network(name: str, *, n_channels: int, n_classes: int) -> nn.Module:
    """Build a network with weights drawn from torch's global generator.

    Args:
        name: A name of the zoo, or ``package.module:function``, which is called without
            arguments and so knows its own channels and classes.
        n_channels: Channels of the images.
        n_classes: Number of outputs.

    Raises:
        InputError: If name is not known, or the user's function does not give a network.
    """
    if ":" in name:
        return call_hook("--model", name)
    return _builder_of(name)(n_channels=n_channels, n_classes=n_classes)


def _builder_of(name: str) -> Callable[..., nn.Module]:
    if name not in _BUILDERS:
        raise unknown_name("--model", name, [*network_names(), "package.module:function"])
    return _BUILDERS[name]


def check_network(network: nn.Module, *, name: str, data: DataSet) -> None:
    """Check that network takes the images of data and has an output for each of its classes.

    Args:
        network: On the CPU; left as it was.
        name: What --model named, for the message.
        data: Data set whose first two training images are tried.

    Raises:
        InputError: If the images do not go through, or the outputs are not [n, n_classes].
    """
    shape = (2, len(data.mean), *data.splits["train"].inputs.shape[1:3])
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            outputs = network.eval()(torch.zeros(shape))
    except Exception as problem:  # the user's own network can raise anything
        raise InputError(
            f"--model: {name} cannot take the images of {data.name}, a batch of shape "
            f"{list(shape)}: {' '.join(str(problem).split())}"
        ) from problem
    finally:
        for module, training in modes:
            module.training = training
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        got = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise InputError(
            f"--model: {name} returns {got} for two images; the loss needs logits of shape "
            f"[2, {data.n_classes}]."
        )
    if outputs.shape[1] < data.n_classes:
        raise InputError(
            f"--model: {name} has {outputs.shape[1]} outputs, {data.name} has {data.n_classes} "
            "classes: each class needs an output."
        )
