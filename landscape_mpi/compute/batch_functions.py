"""Reduce the loss and the metrics of a batch to sums and their counts."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.default_device import of_the_user
from landscape_mpi.errors import InputError, UserCodeError, users_own
from landscape_mpi.problem import BatchFunction

WAY_OUT = (
    "Return the losses of the samples, a tensor [n], or the pair (sum of the losses, number of "
    "samples that count)"
)


def call(function: BatchFunction, network: nn.Module, batch: Any, where: str) -> torch.Tensor:
    """Return the sum and the count of a function for one batch, float64 [2] on some device.

    Args:
        function: The loss or a metric.
        network: The network, in evaluation mode.
        batch: The batch; the function may change it.
        where: Batch and point, for messages.

    Raises:
        UserCodeError: If the function raises.
        InputError: If it returns neither losses nor a pair.
    """
    words = f"Problem: {function.name} raised on {where}"
    try:
        with torch.no_grad(), users_own(words, library_too=True), of_the_user(network):
            found = function.function(network, batch)
    except UserCodeError as error:
        if hint := _hint(error.__cause__, function, network):
            raise UserCodeError(words + hint, error.__cause__) from error.__cause__  # type: ignore[arg-type]
        raise
    return sum_and_count(found, f"Problem: {function.name} returned", where)


def _hint(problem: BaseException | None, function: BatchFunction, network: nn.Module) -> str:
    """Return what a problem's function is called with, if that explains an exception."""
    text = str(problem)
    if isinstance(problem, TypeError) and _is_method_of_network(function):
        return (
            ", called with (network, batch); it is a method of one network, but each point has a "
            "network of its own (pass a function, e.g. lambda network, batch: "
            f"network.{getattr(function.function, '__name__', 'loss')}(batch))"
        )
    if isinstance(problem, RuntimeError) and "does not require grad" in text:
        return (
            ", where gradients are off (if it takes derivatives, let it turn them on: with "
            "torch.enable_grad():)"
        )
    if isinstance(problem, TypeError) and type(network).__name__ in text:
        return ", called with (network, batch), not with (outputs, targets)"
    return ""


def _is_method_of_network(function: BatchFunction) -> bool:
    return isinstance(getattr(function.function, "__self__", None), nn.Module)


def sum_and_count(found: Any, what: str, where: str) -> torch.Tensor:
    """Return the sum and the count of a function's result, float64 [2].

    Args:
        found: The result: losses of samples, [n], or a pair of numbers.
        what: Beginning of a message.
        where: Batch and point, for messages.

    Raises:
        InputError: If the result is neither.
    """
    if type(found) in {tuple, list} and len(found) == 2:
        if type(found) is list and _may_be_losses(found):
            raise InputError(
                f"{what} a list of 2 tensors for {where}, which may be the losses of two samples "
                "or (sum, count). Return a tensor [n] of losses (torch.stack), or a tuple (sum, "
                "count)."
            )
        return torch.stack(_on_one_device([_number(part, what, where) for part in found]))
    if isinstance(found, torch.Tensor) and found.ndim == 1 and not found.is_complex():
        # Converted first: the bits of the sum then depend on the numbers, not on their layout.
        losses = _plain(found).double()
        return torch.stack([losses.sum(), losses.new_tensor(float(len(losses)))])
    if _is_number(found):
        raise InputError(
            f"{what} one number for {where}. A mean over a batch does not give the number of "
            f"samples that count, and batches may have different sizes. {WAY_OUT}: for a mean "
            "over n, (mean * n, n)."
        )
    raise InputError(f"{what} {_described(found)} for {where}. {WAY_OUT}.")


def _may_be_losses(found: Sequence[Any]) -> bool:
    return all(isinstance(part, torch.Tensor) and part.is_floating_point() for part in found)


def _number(part: Any, what: str, where: str) -> torch.Tensor:
    """Return one number of a pair as a tensor without dimensions.

    Raises:
        InputError: If it is not a single real number.
    """
    if isinstance(part, torch.Tensor) and part.numel() == 1 and not part.is_complex():
        return _plain(part).double().reshape(())
    if _is_number(part):
        return torch.tensor(float(part), dtype=torch.float64)
    raise InputError(
        f"{what} a pair with {_described(part)} in it for {where}, but one number is needed. "
        f"{WAY_OUT}."
    )


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return a plain tensor, without its graph and without the user's own class."""
    return tensor.detach().as_subclass(torch.Tensor)


def _is_number(value: Any) -> bool:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.ndim == 0
    return isinstance(value, (numbers.Real, np.generic))


def _on_one_device(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    device = next((p.device for p in parts if p.device != CPU.place), parts[0].device)
    return [part.to(device) for part in parts]


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"a tensor {list(value.shape)} of {kind}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"
