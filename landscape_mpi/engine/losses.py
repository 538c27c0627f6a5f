"""The loss of a run: one of ours or the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.devices import recording
from landscape_mpi.compute.losses import FUNCTIONS, UNITS, Loss
from landscape_mpi.default_device import of_the_user
from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.zoo.user_functions import a_kind, described, find_function

CONTRACT = ("outputs", "targets")


@dataclass(frozen=True)
class LossChoice:
    """The description from which every rank makes the loss."""

    name: str  # a key of losses.FUNCTIONS, or package.module:function
    error: str | None = None  # a key of losses.ERRORS
    one_loss: bool = False  # whether a sample has one loss, of however many targets
    class_axis: int = -1  # axis of the classes in the outputs
    ignored: int | None = None  # the target that does not count
    class_weights: tuple[float, ...] | None = None
    brings_weights: bool = False  # whether the user's function returns them beside the losses
    label_smoothing: float = 0.0  # of cross_entropy
    words: str = field(default="", compare=False)  # over what the mean is, for the log

    @property
    def units(self) -> str:
        """Return the unit of the loss."""
        return UNITS.get(self.name, "1")

    def kept_as(self, of_network: torch.dtype) -> dict[str, Any]:
        """Return the arguments of ResidentSplit for this loss and a network of this type."""
        weighs = self.brings_weights or self.class_weights is not None
        return {
            "one_loss": self.one_loss,
            "weighs": weighs,
            "ignored": self.ignored,
            # A function of the user's may return float64.
            "exact": of_network == torch.float64 or self.name not in FUNCTIONS,
        }

    @property
    def attributes(self) -> dict[str, object]:
        """Return the attributes of a file that describe the loss."""
        return {
            "loss": self.name,
            "error": self.error or "none",
            "class_axis": self.class_axis,
            "ignore_index": "none" if self.ignored is None else self.ignored,
            "class_weights": "none" if self.class_weights is None else list(self.class_weights),
            "label_smoothing": self.label_smoothing,
        }

    def total_weight(self, targets: np.ndarray) -> float | None:
        """Return the number by which the sum of the losses is divided for their mean.

        None if the user's function returns the weights, which may depend on the outputs.
        """
        if self.brings_weights:
            return None
        if self.one_loss:
            return len(targets)
        counted = targets.ravel() if self.ignored is None else targets[targets != self.ignored]
        if self.class_weights is None:
            return counted.size
        return float(np.asarray(self.class_weights)[counted].sum())

    def load(self) -> Loss:
        """Return the loss.

        Raises:
            InputError: If the user's function cannot be imported.
        """
        own = self.name not in FUNCTIONS
        return Loss(
            OwnLoss(self.name, one_loss=self.one_loss) if own else FUNCTIONS[self.name],
            self.error,
            self.class_axis,
            self.ignored,
            self.class_weights,
            own,
            self.label_smoothing,
        )


class OwnLoss:
    """The user's function, with errors reported in terms of the user's code."""

    def __init__(self, spec: str, *, one_loss: bool | None = None) -> None:
        self.spec = spec
        self._one_loss = one_loss  # None if not yet known
        self._function: Callable[..., object] = find_function(
            "--loss", spec, arguments=CONTRACT, returns="the loss of every sample"
        )
        if inspect.isclass(self._function):
            raise InputError(
                f"--loss: {spec} is a class, but a loss is called with outputs and targets. Name "
                f"an instance of it, such as criterion = "
                f"{self._function.__name__}(reduction='none'), or a function."
            )
        if isinstance(self._function, nn.Module):
            self._function.eval()

    def __call__(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return the losses of samples, with weights if the function returns them.

        Raises:
            UserCodeError: If the function fails.
            InputError: If it returns something else.
            OutOfMemoryError: If the device is too small for it; smaller batches may help.
        """
        if isinstance(self._function, nn.Module):
            self._function.to(outputs.device)
        try:
            # Copies, since the function may change what it is given, and the error needs it too.
            with of_the_user(outputs):
                found = self._function(outputs.clone(), targets.clone())
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:
            if recording.is_underway():
                raise  # it cannot be recorded, and runs without
            raise UserCodeError(
                f"--loss: {self.spec} failed on {_given(outputs, targets)}", problem
            ) from problem
        if not isinstance(found, tuple) or len(found) != 2:
            return self._checked(found, outputs, targets)
        losses = self._checked(found[0], outputs, targets)
        return losses, self._checked_weights(found[1], losses, outputs, targets)

    def _checked(
        self, losses: object, outputs: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        if not isinstance(losses, torch.Tensor):
            self._refuse(f"returned {a_kind(losses)}, not a tensor", outputs, targets)
        if losses.ndim == 0:
            self._refuse(
                "returned a single number, a mean or a sum", outputs, targets, "reduction='none'"
            )
        if not losses.is_floating_point():
            self._refuse(f"returned {described(losses)}, not floats", outputs, targets)
        right = {False: targets.shape, True: targets.shape[:1]}
        if self._one_loss is not None:
            right = {self._one_loss: right[self._one_loss]}
        if losses.shape not in right.values():
            n = len(targets)
            is_product = list(losses.shape[:2]) == [n, n] and n > 1
            hint = "reshape one of the two, which were broadcast" if is_product else ""
            if losses.numel() == targets.numel():
                hint = "losses.view_as(targets)"
            self._refuse(f"returned the shape {list(losses.shape)}", outputs, targets, hint)
        return losses

    def _checked_weights(
        self, weights: object, losses: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        if not isinstance(weights, torch.Tensor) or weights.shape != losses.shape:
            found = described(weights) if isinstance(weights, torch.Tensor) else a_kind(weights)
            raise InputError(
                f"--loss: {self.spec} returned the weights {found} and losses of shape "
                f"{list(losses.shape)} for {_given(outputs, targets)}. Each loss needs a weight: "
                f"the mean is the sum of the losses divided by the sum of the weights."
            )
        return weights.to(losses.dtype)

    def _refuse(
        self, what: str, outputs: torch.Tensor, targets: torch.Tensor, hint: str = ""
    ) -> NoReturn:
        shapes = " or ".join(
            str(list(shape)) for shape in dict.fromkeys((targets.shape[:1], targets.shape))
        )
        raise InputError(
            f"--loss: {self.spec} {what} for {_given(outputs, targets)}. The surface needs the "
            f"loss of every sample, float {shapes}, to add them up equally on any number of "
            f"ranks{f': {hint}' if hint else ''}."
        )


def _given(outputs: torch.Tensor, targets: torch.Tensor) -> str:
    return f"outputs {described(outputs)} and targets {described(targets)}"
