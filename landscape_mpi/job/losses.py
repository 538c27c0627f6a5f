"""The loss of a run: one of ours or the user's own, tried on a few samples before the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.losses import FUNCTIONS, UNITS, Loss
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo.dataset import NOUNS, DataSet, Split
from landscape_mpi.zoo.hooks import a_kind, find_function, in_one_line

N_TRIED = (3, 1)  # what is right for a batch of 3 may not be for the last, of 1
CONTRACT = ("outputs", "targets")


@dataclass(frozen=True)
class LossChoice:
    """What every rank needs to know to make the loss; the same on all of them."""

    name: str  # a key of losses.FUNCTIONS, or package.module:function
    error: str | None = None  # a key of losses.ERRORS
    one_loss: bool = False  # whether a sample has one loss, of however many targets

    @property
    def units(self) -> str:
        """Unit of the loss."""
        return UNITS.get(self.name, "1")

    def load(self) -> Loss:
        """Return the loss.

        Raises:
            InputError: If the user's function cannot be imported.
        """
        if self.name in FUNCTIONS:
            return Loss(FUNCTIONS[self.name], self.error)
        return Loss(OwnLoss(self.name, one_loss=self.one_loss), self.error)


class OwnLoss:
    """The user's function, whose faults are told in the user's words."""

    def __init__(self, spec: str, *, one_loss: bool | None = None) -> None:
        self.spec = spec
        self._one_loss = one_loss  # None where it is still to be found out
        self._function: Callable[..., object] = find_function(
            "--loss", spec, arguments=CONTRACT, returns="the loss of every sample"
        )

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the losses of samples.

        Raises:
            InputError: If the function fails, or returns something else.
            OutOfMemoryError: If the device is too small for it, which smaller batches may help.
        """
        try:
            losses = self._function(outputs, targets)
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:
            if outputs.is_cuda and torch.cuda.is_current_stream_capturing():
                raise  # it cannot be recorded, and goes on without
            raise InputError(
                f"--loss: {self.spec} failed on {_given(outputs, targets)}: {in_one_line(problem)}"
            ) from problem
        return self._checked(losses, outputs, targets)

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
            self._refuse(f"returned {_described(losses)}, not floats", outputs, targets)
        right = {False: targets.shape, True: targets.shape[:1]}
        if self._one_loss is not None:
            right = {self._one_loss: right[self._one_loss]}
        if losses.shape not in right.values():
            n = len(targets)
            is_product = list(losses.shape[:2]) == [n, n] and n > 1
            hint = "reshape one of the two, which were broadcast" if is_product else ""
            self._refuse(f"returned the shape {list(losses.shape)}", outputs, targets, hint)
        return losses

    def _refuse(
        self, what: str, outputs: torch.Tensor, targets: torch.Tensor, hint: str = ""
    ) -> NoReturn:
        shapes = " or ".join(
            str(list(shape)) for shape in dict.fromkeys((targets.shape[:1], targets.shape))
        )
        raise InputError(
            f"--loss: {self.spec} {what} for {_given(outputs, targets)}. The surface needs the "
            f"loss of every sample, float {shapes}, to add them up alike on any number of "
            f"ranks{f': {hint}' if hint else ''}."
        )


def _given(outputs: torch.Tensor, targets: torch.Tensor) -> str:
    return f"outputs {_described(outputs)} and targets {_described(targets)}"


def _described(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def choose_loss(name: str, network: nn.Module, data: DataSet, *, model: str) -> LossChoice:
    """Try a loss on the first samples of each split. Local.

    Args:
        name: What --loss names.
        network: With its weights, in evaluation mode, on the CPU.
        data: The splits to be evaluated.
        model: What --model names, for messages.

    Returns:
        The loss with what is an error beside it. Classes have one: the largest output is another
        than the target (``bce``: a logit on the wrong side of 0). Numbers to predict have none.

    Raises:
        InputError: If the loss is not known, fails, or does not suit network or data.
    """
    own = None if name in FUNCTIONS else _find_own(name)
    choices = []
    for split in data.splits.values():
        for n in N_TRIED:
            outputs, targets = _try_network(network, split, n, data, model)
            if name in _CHECKS:  # cross_entropy was checked with the network
                _CHECKS[name](outputs, targets, split, NOUNS[split.kind])
            losses = (own or FUNCTIONS[name])(outputs, targets)
            one_loss = own is not None and losses.shape != targets.shape
            choices.append(LossChoice(name, _error_of(name, outputs, split), one_loss))
    return choices[0]


def _find_own(name: str) -> OwnLoss:
    if ":" not in name:
        raise unknown_name("--loss", name, [*FUNCTIONS, "package.module:function"])
    return OwnLoss(name)


def _try_network(
    network: nn.Module, split: Split, n: int, data: DataSet, model: str
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = np.arange(min(n, len(split.targets)))
    if split.kind == "text":  # the symbol with the largest number is the one that may not fit
        rows[-1] = split.inputs.max(axis=1).argmax()
    samples = ResidentSplit(
        split.inputs[rows], split.targets[rows], mean=data.mean, std=data.std, device="cpu"
    )
    inputs = samples.batch(slice(0, len(rows)))
    try:
        with torch.inference_mode():
            outputs = network(inputs)
    except Exception as problem:
        raise InputError(
            f"--model: {model} cannot take {_described(inputs)}, {NOUNS[split.kind]} of "
            f"{data.name}: {in_one_line(problem)}"
        ) from problem
    if not isinstance(outputs, torch.Tensor):
        raise InputError(
            f"--model: {model} returns {a_kind(outputs)}, not a tensor. Wrap the network in one "
            f"whose forward returns the tensor that the loss is made of."
        )
    return outputs.float(), samples.targets


def _error_of(name: str, outputs: torch.Tensor, split: Split) -> str | None:
    if name == "bce":
        return "sign"
    are_classes = split.targets.dtype.kind == "i"
    shape = (len(outputs), *split.targets.shape[1:])
    n_outputs = outputs.shape[-1] if outputs.shape[:-1] == shape else 0
    if not are_classes or n_outputs < 2:
        return None
    has_each = split.targets.min() >= 0 and split.targets.max() < n_outputs
    return "largest output" if has_each else None


def _check_mse(outputs: torch.Tensor, targets: torch.Tensor, split: Split, noun: str) -> None:
    n, given = len(targets), list(outputs.shape)
    if targets.is_floating_point():
        _check_one_each("mse", outputs, targets, noun)
    elif _error_of("mse", outputs, split) is None:
        low, high = int(split.targets.min()), int(split.targets.max())
        raise InputError(
            f"--loss mse: the network returns {given} for {n} {noun}, whose targets are class "
            f"numbers from {low} to {high}, and needs an output for each class: "
            f"{[*targets.shape, max(2, 1 + high)]}. For numbers to predict, let the "
            f"data be float32."
        )


def _check_bce(outputs: torch.Tensor, targets: torch.Tensor, split: Split, noun: str) -> None:
    low, high = split.targets.min(), split.targets.max()
    if low < 0 or high > 1:
        raise InputError(
            f"--loss bce: targets go from {low:g} to {high:g}, and must be from 0 to 1: 1 is the "
            f"class whose logit the network returns. For several classes take cross_entropy."
        )
    _check_one_each("bce", outputs, targets, noun)


def _check_one_each(name: str, outputs: torch.Tensor, targets: torch.Tensor, noun: str) -> None:
    if outputs.shape not in {targets.shape, (*targets.shape, 1)}:
        raise InputError(
            f"--loss {name}: the network returns {list(outputs.shape)} for {len(targets)} {noun}, "
            f"whose targets are {_described(targets)}; it needs an output for each of them: "
            f"{list(targets.shape)} or {[*targets.shape, 1]}."
        )


_CHECKS: dict[str, Callable[[torch.Tensor, torch.Tensor, Split, str], None]] = {
    "mse": _check_mse,
    "bce": _check_bce,
}
