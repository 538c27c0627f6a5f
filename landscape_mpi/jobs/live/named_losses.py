"""Provide losses by name, as functions of a network and a batch of inputs and targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from landscape_mpi.compute.losses import CROSS_ENTROPY, FUNCTIONS, UNITS, Loss
from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo.dataset import LEFT_OUT
from landscape_mpi.zoo.networks import lost_axis

OfBatch = Callable[[nn.Module, Any], tuple[torch.Tensor, torch.Tensor]]
WAY_OUT = (
    "Pass batches (inputs, targets) for a named loss, or your own loss, a function loss(network, "
    "batch)"
)


def named_problem(name: str) -> dict[str, Any]:
    """Return the arguments of a Problem for a named loss: loss, metrics and units.

    The loss is that of ``--loss``: targets of -100 do not count for the cross-entropy, and classes
    lie along the axis of the outputs that fits the targets.

    Args:
        name: cross_entropy, mse or bce.

    Raises:
        unknown_name: If there is no such loss.
    """
    if name not in FUNCTIONS:
        raise unknown_name("loss", name, FUNCTIONS)
    ignored = LEFT_OUT if name == "cross_entropy" else None
    error = {"cross_entropy": CROSS_ENTROPY.error, "bce": "sign"}.get(name)

    def measure(network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        inputs, targets = _pair(batch)
        outputs = network(inputs)
        if not isinstance(outputs, torch.Tensor):
            raise InputError(
                f"loss {name!r}: the network returned an object of type {type(outputs).__name__}, "
                f"not a tensor. {WAY_OUT}."
            )
        axis = _checked_axis(name, outputs, targets)
        rule = Loss(FUNCTIONS[name], error, axis, ignored)
        losses, wrong, weights = rule.measure(outputs, targets)
        counted = torch.ones_like(losses) if weights is None else weights
        missed = torch.as_tensor(wrong, device=losses.device).expand_as(losses)
        return losses, missed, counted

    def loss(network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        losses, _, counted = measure(network, batch)
        return losses.double().sum(), counted.double().sum()

    def wrong(network: nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        _, missed, counted = measure(network, batch)
        return 100 * missed.double().sum(), counted.double().sum()

    loss.__qualname__ = name
    found: dict[str, Any] = {"loss": loss, "units": UNITS.get(name, "1")}
    if error is not None:
        wrong.units = "percent"  # type: ignore[attr-defined]  # see BatchFunction
        found["metrics"] = {"error": wrong}
    return found


def _checked_axis(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> int:
    """Return the axis of the outputs along which the classes lie, -1 if there are none.

    Raises:
        InputError: If outputs and targets do not fit together.
    """
    is_float, shape = targets.is_floating_point(), list(targets.shape)
    if name == "cross_entropy":
        fits = [
            axis
            for axis in ((-1,) if targets.ndim == 1 else (1, -1))
            if outputs.ndim == targets.ndim + 1
            and list(outputs.movedim(axis, -1).shape[:-1]) == shape
        ]
        if len(fits) == 1 and not is_float:
            return fits[0]
        why = "classes may lie along axis 1 or along the last" if len(fits) > 1 else ""
        why = "targets are class numbers of a whole-number type" if is_float else why
        why = why or "each target needs an output for each class"
    elif name == "mse" and not is_float:
        why = "targets are numbers of a floating-point type: y.float()"
    elif outputs.numel() == targets.numel() and outputs.shape[:1] in {targets.shape[:1], ()}:
        return -1
    else:
        why = "each target needs one output"
    raise InputError(
        f"loss {name!r}: outputs {list(outputs.shape)} and targets {shape} of "
        f"{str(targets.dtype).removeprefix('torch.')} do not fit together: {why}. Correct one of "
        "the two, or pass your own loss, a function loss(network, batch)."
        f"{lost_axis(outputs, targets.shape[0] if targets.ndim else 1)}"
    )


def _pair(batch: Any) -> tuple[Any, torch.Tensor]:
    """Return inputs and targets of a batch.

    Raises:
        InputError: If it is not a pair of them.
    """
    if isinstance(batch, Mapping) or not isinstance(batch, tuple | list) or len(batch) != 2:
        kind = f"a {type(batch).__name__}"
        kind += f" of {len(batch)}" if hasattr(batch, "__len__") else ""
        raise InputError(f"loss: a batch is {kind}, not inputs and targets. {WAY_OUT}.")
    inputs, targets = batch
    if not isinstance(targets, torch.Tensor):
        raise InputError(
            f"loss: the second part of a batch is of type {type(targets).__name__}, but targets "
            f"must be a tensor. {WAY_OUT}."
        )
    return inputs, targets
