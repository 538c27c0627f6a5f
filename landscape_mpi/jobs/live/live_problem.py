"""Make the problem of a call from Python: a Problem as it is, or one from a network and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.problem import Problem


def problem_of(
    network: Any,
    data: Any,
    loss: str | Callable[..., Any],
    metrics: Mapping[str, Any] | None,
    batch_size: int,
    *,
    caller: str,
) -> Problem:
    """Return the problem that the arguments define.

    Args:
        network: Network with its weights; or a Problem, which has its own data and loss.
        data: Batches; see Problem.
        loss: Name of a loss, or a function of the network and a batch.
        metrics: Further functions of the same kind.
        batch_size: Samples in a batch of a Dataset or of tensors.
        caller: Name of the function that was called, for messages.

    Raises:
        InputError: If they do not define one.
    """
    if isinstance(network, Problem):
        if data is not None or loss != "cross_entropy" or metrics is not None:
            raise InputError(
                f"{caller}: a Problem has its own data, loss and metrics. Leave out data, loss "
                "and metrics, or pass the network itself."
            )
        return network
    if data is None and callable(network) and not isinstance(network, nn.Module):
        raise InputError(
            f"{caller}: got a function, {getattr(network, '__name__', 'without a name')}. Pass "
            f"what it returns: {getattr(network, '__name__', 'it')}()."
        )
    if data is None:
        raise InputError(
            f"{caller}: data are missing. Pass a DataLoader, a Dataset, a tuple of tensors or a "
            "list of batches, or a Problem instead of network and data."
        )
    metrics = {} if metrics is None else metrics
    if not isinstance(loss, str):
        return Problem(network, data, loss, metrics=metrics, batch_size=batch_size)
    from landscape_mpi.jobs.live.named_losses import named_problem

    named = named_problem(loss)
    if isinstance(metrics, Mapping):
        metrics = {**named.pop("metrics", {}), **metrics}
    named["metrics"] = metrics
    return Problem(network, data, batch_size=batch_size, **named)


def check_lendable(network: nn.Module, *, caller: str) -> None:
    """Check that a network can be moved and restored.

    Args:
        network: The user's own object.
        caller: Name of the function that was called, for messages.

    Raises:
        InputError: If it cannot.
    """
    from landscape_mpi.compute.movable_network import check_movable
    from landscape_mpi.compute.tensors import is_unfinished

    if torch.is_inference_mode_enabled():
        raise InputError(
            f"{caller}: torch.inference_mode() is on, but weights made or moved in it cannot be "
            "restored. Call this function outside it; torch.no_grad() is allowed."
        )
    if is_unfinished(network):
        raise InputError(
            f"{caller}: the network has lazy layers that have no shape yet, so there are no "
            "weights to restore. First call it once on a batch, network(inputs)."
        )
    check_movable(network)
