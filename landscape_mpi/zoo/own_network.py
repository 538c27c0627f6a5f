"""Unwrap a user's networks, convert them to a usable type, and call them."""

from __future__ import annotations

import pickle
import random

import numpy as np
import torch
from torch import nn

BUILD_SEED = 0  # seed of all numbers drawn while a network or its data are made


def seed_generators(seed: int) -> None:
    """Seed the generators of torch, numpy and Python for a user's function.

    Args:
        seed: Seed, at least 0; numpy and Python get it modulo 2**32.
    """
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def generator_states() -> bytes:
    """Return the states of the generators that seed_generators seeds, as comparable bytes."""
    return pickle.dumps((torch.get_rng_state().numpy(), np.random.get_state(), random.getstate()))


def restore_generators(states: bytes) -> None:
    """Restore the generators to states that generator_states has returned."""
    of_torch, of_numpy, of_python = pickle.loads(states)
    torch.set_rng_state(torch.from_numpy(of_torch))
    np.random.set_state(of_numpy)
    random.setstate(of_python)


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside DataParallel, DistributedDataParallel or torch.compile.

    This program distributes and compiles networks itself, because it moves the weights of each
    copy.
    """
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(network, wrappers):
            network = network.module
        elif isinstance(getattr(network, "_orig_mod", None), nn.Module):  # torch.compile's
            network = network._orig_mod  # type: ignore[assignment]
        else:
            return network


def float_types(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the floating-point types of a network's parameters, in order."""
    types = {p.dtype for p in network.parameters() if p.is_floating_point()}
    return tuple(sorted(str(dtype).removeprefix("torch.") for dtype in types))


def type_of_inputs(network: nn.Module) -> torch.dtype:
    """Return float64 if all parameters of a network are float64, else float32."""
    return torch.float64 if float_types(network) == ("float64",) else torch.float32


def computable(network: nn.Module) -> nn.Module:
    """Convert a network to float32, unless all its floats are float32 or float64."""
    if set(float_types(network)) <= {"float32", "float64"}:
        return network
    return network.float()


def call(network: nn.Module, inputs: torch.Tensor) -> object:
    """Call a network, without gradients unless its own code takes derivatives.

    Raises:
        RuntimeError: If the network raises it.
    """
    try:
        with torch.no_grad():
            return network(inputs)
    except RuntimeError as problem:
        if "grad" not in str(problem):
            raise
    outputs = network(inputs)
    return outputs.detach() if isinstance(outputs, torch.Tensor) else outputs


def finish_layers(network: nn.Module, inputs: torch.Tensor) -> None:
    """Let lazy layers take their shapes from a batch of real samples.

    Args:
        network: Network in training mode; it stays in this mode.
        inputs: Inputs as the network sees them.
    """
    network.eval()  # statistics stay unchanged
    call(network, inputs)
    network.train()
