"""Trials of losses on a few samples before a run: their fit, and the targets that count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.losses import FUNCTIONS, Loss
from landscape_mpi.engine.losses import LossChoice, OwnLoss
from landscape_mpi.engine.request import LossRequest
from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo.dataset import LEFT_OUT, DataSet, Split
from landscape_mpi.zoo.networks import (
    check_counted,
    class_axes,
    find_class_axis,
    lost_axis,
    sample_words,
    try_network,
)
from landscape_mpi.zoo.user_functions import described

N_TRIED = (3, 1)  # a loss that works for a batch of 3 may fail for the last one, of 1
N_COMMON = 4  # each of these commonest targets is tried, since one of them may not count
MOST_COUNTED = 1_000_000  # targets to search for the common ones
SMALLEST_LOSS = 1e-3  # only cross-entropies above this are compared
UNCLEAR = "its classes may lie along axis 1 or -1, so pass --class-axis for an error; "
Batch = tuple[torch.Tensor, torch.Tensor]  # outputs and targets


def choose_loss(asked: LossRequest, network: nn.Module, data: DataSet, *, model: str) -> LossChoice:
    """Try a loss on some samples of each split. Local.

    Args:
        asked: The request for the loss, as far as the user states it.
        network: The network with its weights, in evaluation mode, on the CPU.
        data: The splits to evaluate.
        model: Value of --model, for messages.

    Returns:
        The loss and its error. Classes have an error: the largest output is not the target's
        (``bce``: a logit is on the wrong side of 0). Numbers to predict have none.

    Raises:
        InputError: If the loss is not known, fails, or does not suit network or data.
    """
    name = asked.loss
    if asked.class_weights is not None and name != "cross_entropy":
        raise InputError(
            f"--class-weights applies only to cross_entropy, but --loss is {name}. Leave it out; "
            "your own function can return (losses, weights), both of every sample."
        )
    if asked.label_smoothing and name != "cross_entropy":
        raise InputError(
            f"--label-smoothing {asked.label_smoothing:g}: applies only to cross_entropy, but "
            f"--loss is {name}. Leave it out; your own function can smooth its labels itself."
        )
    if own := None if name in FUNCTIONS else _find_own(name):
        data = replace(data, ignored=_find_uncounted(own, network, data, asked, model))
    elif asked.ignore_index is None and data.ignored is not None and name != "cross_entropy":
        raise InputError(
            f"--loss {name}: some targets are {data.ignored}. torch's cross-entropy leaves such "
            f"targets out, but torch's {name} does not. Pass --ignore-index {data.ignored} if "
            "they do not count, or --ignore-index none if they do."
        )
    check_counted(data)
    choices = []
    for part, split in data.splits.items():
        for n in N_TRIED:
            rows = split.rows_to_try(n)
            outputs = try_network(network, split, rows, data, name=model).float()
            trial = _Trial(outputs, torch.from_numpy(split.targets[rows]), part, data, asked, model)
            choices.append(trial.with_own(own) if own else trial.with_ours(name))
    words = choices[0].words + _mean_in_words(choices[0], data)
    if own and choices[0].error == "largest output":
        words += _told_of_weights(own, network, choices[0], data, model)
    return replace(choices[0], words=words)


def _find_own(name: str) -> OwnLoss:
    if ":" not in name:
        raise unknown_name("--loss", name, [*FUNCTIONS, "package.module:function"])
    return OwnLoss(name)


@dataclass(frozen=True)
class _Trial:
    """A network's outputs for some samples, to try a loss on."""

    outputs: torch.Tensor
    targets: torch.Tensor
    part: str  # name of the split
    data: DataSet
    asked: LossRequest
    model: str

    @property
    def split(self) -> Split:
        """Return the split of the samples."""
        return self.data.splits[self.part]

    def with_ours(self, name: str) -> LossChoice:
        """Try a loss of losses.FUNCTIONS, and return it.

        Raises:
            InputError: If it does not suit.
        """
        if name == "bce":
            _check_bce(self.outputs, self.targets, self.data.counted(self.part), self._samples)
        error, axis = self._error(name)
        if name == "mse" and self.targets.is_floating_point():
            _check_one_each("mse", self.outputs, self.targets, self._samples)
        elif name == "mse" and error is None:
            self._refuse_mse()
        if name == "cross_entropy":
            self._check_weights(self.outputs.shape[axis])
        ignored, weights = self.data.ignored, self.asked.class_weights
        smoothing = self.asked.label_smoothing
        choice = LossChoice(name, error, False, axis, ignored, weights, label_smoothing=smoothing)
        choice.load().measure(self.outputs, self.targets)
        return choice

    def with_own(self, own: OwnLoss) -> LossChoice:
        """Try the user's own loss, and return it.

        Raises:
            InputError: If it fails, or returns something else.
        """
        found = own(self.outputs, self.targets)
        losses, weights = found if isinstance(found, tuple) else (found, None)
        one_loss = losses.shape != self.targets.shape
        error, axis = self._error(own.spec)
        brings = weights is not None
        unclear = UNCLEAR if len(self._axes_that_fit()) > 1 else ""
        ignored = self.data.ignored
        return LossChoice(own.spec, error, one_loss, axis, ignored, None, brings, words=unclear)

    @property
    def _samples(self) -> str:
        return sample_words(len(self.targets), self.split.kind)

    def _error(self, name: str) -> tuple[str | None, int]:
        """Return the error beside a loss, and the axis of the classes."""
        if name == "bce":
            return "sign", -1
        if name == "cross_entropy":
            axis = self._class_axis(self.asked.class_axis)
            return "largest output", axis
        axes = self._axes_that_fit()
        if len(axes) > 1 and name == "mse":
            self._class_axis(None)
        return ("largest output", axes[0]) if len(axes) == 1 else (None, -1)

    def _class_axis(self, asked: int | None) -> int:
        n, name = len(self.targets), self.model
        return find_class_axis(self.outputs, self.split, self.data, n=n, name=name, asked=asked)

    def _axes_that_fit(self) -> list[int]:
        """Return the axes of the outputs that can hold the classes of the targets."""
        counted = self.data.counted(self.part)
        if counted.dtype.kind != "i" or counted.min() < 0:
            return []
        most = max(1, int(counted.max()))
        found = class_axes(self.outputs, self.split.targets.shape[1:], len(self.targets))
        fits = [axis for axis in found if self.outputs.shape[axis] > most]
        asked = self.asked.class_axis
        return [asked] if asked in fits else fits

    def _refuse_mse(self) -> NoReturn:
        counted = self.data.counted(self.part)
        low, high = int(counted.min()), int(counted.max())
        raise InputError(
            f"--loss mse: the network returns {list(self.outputs.shape)} for {self._samples}, "
            f"whose targets are class numbers from {low} to {high}, but it needs an output for "
            f"each class: {[*self.targets.shape, max(2, 1 + high)]}. For numbers to predict, let "
            "the data be float32."
        )

    def _check_weights(self, n_outputs: int) -> None:
        weights = self.asked.class_weights
        if weights is None:
            return
        if len(weights) != n_outputs:
            raise InputError(
                f"--class-weights: {len(weights)} are given, but the network has {n_outputs} "
                "classes. Pass one weight for each class."
            )
        counted = self.data.counted(self.part)
        if not np.asarray(weights)[np.unique(counted)].any():
            raise InputError(
                f"--class-weights: those of all classes in {self.part} are 0, so there is nothing "
                f"to take a mean over. Give one of them a weight."
            )


def _find_uncounted(
    own: OwnLoss, network: nn.Module, data: DataSet, asked: LossRequest, model: str
) -> int | None:
    """Return the target that does not count in the user's own loss, None if all count.

    Raises:
        InputError: If a target has no loss, or -100 has one, and --ignore-index is not given.
    """
    if asked.ignore_index == "none":
        return None
    ignored = data.ignored
    for split in data.splits.values():
        found = _silent_targets(own, _telling_batches(network, split, data, model))
        if found is None:  # a single loss for a whole sample does not show which targets count
            continue
        if asked.ignore_index is None and ignored == LEFT_OUT and (split.targets == LEFT_OUT).any():
            ignored = _check_left_out(own, found.silent, data)
        others = sorted(found.silent.difference({ignored, LEFT_OUT}))
        if others and not found.brings_weights:
            _refuse_silent(own, others[0], asked)
    return ignored


def _telling_batches(
    network: nn.Module, split: Split, data: DataSet, model: str
) -> Iterator[Batch]:
    """Yield a network's outputs for a few samples with their targets, if these are whole numbers.

    Among them are the smallest, the largest and the commonest targets, and -100 if it occurs.
    """
    if split.targets.dtype.kind != "i":
        return
    flat = split.targets.reshape(len(split.targets), -1)
    some = flat.ravel()[:: 1 + flat.size // MOST_COUNTED]
    numbers, counts = np.unique(some, return_counts=True)
    common = numbers[np.argsort(-counts, kind="stable")[:N_COMMON]]
    sought = [flat.min(), flat.max(), LEFT_OUT, *common]
    found = [(flat == number).any(axis=1).argmax() for number in dict.fromkeys(sought)]
    rows = np.unique([*split.rows_to_try(N_TRIED[0]), *found])
    for start in range(0, len(rows), N_TRIED[0]):
        own = rows[start : start + N_TRIED[0]]
        outputs = try_network(network, split, own, data, name=model).float()
        yield outputs, torch.from_numpy(split.targets[own])


@dataclass(frozen=True)
class _Silence:
    """Targets that have no loss, or no weight, for any outputs."""

    silent: set[int]
    brings_weights: bool


def _silent_targets(own: OwnLoss, batches: Iterator[Batch]) -> _Silence | None:
    """Return the targets that do not count; None if the loss is not one per target."""
    numbers: set[int] = set()
    loud: set[int] = set()
    brings_weights = False
    for outputs, targets in batches:
        numbers.update(targets.unique().tolist())
        pair = list(_losses_of_two(own, outputs, targets))
        for found in pair:
            brings_weights = isinstance(found, tuple)
            counts = found[1] if isinstance(found, tuple) else found
            if counts.shape != targets.shape:
                return None
            heard = targets[counts != 0] if len(pair) == 2 else targets
            loud.update(heard.unique().tolist())
    return _Silence(numbers - loud if loud else set(), brings_weights)


def _losses_of_two(
    own: OwnLoss, outputs: torch.Tensor, targets: torch.Tensor
) -> Iterator[torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
    """Yield the losses of outputs and of their negatives, which a loss may not accept."""
    yield own(outputs, targets)
    with contextlib.suppress(InputError):
        yield own(-outputs, targets)


def _check_left_out(own: OwnLoss, silent: set[int], data: DataSet) -> int | None:
    if LEFT_OUT in silent:
        return LEFT_OUT
    if any(data.counted(name).min(initial=0) < 0 for name in data.splits):
        return None  # one number among other negative ones
    raise InputError(
        f"--loss: {own.spec} gives targets of {LEFT_OUT} a loss, but torch's cross-entropy leaves "
        f"such targets out. Pass --ignore-index {LEFT_OUT} if they do not count, or --ignore-index "
        f"none if they do."
    )


def _refuse_silent(own: OwnLoss, number: int, asked: LossRequest) -> NoReturn:
    ways = (
        f"Pass --ignore-index {number} to leave them out of the mean, or --ignore-index none to "
        f"count their losses of 0"
    )
    if asked.ignore_index is not None:
        ways = "Let the function return (losses, weights), with weights of 0 for these targets"
    raise InputError(
        f"--loss: {own.spec} gives targets of {number} a loss of 0 whatever the outputs are, as if "
        f"they did not count; a mean over all targets would be too small. {ways}."
    )


def _told_of_weights(
    own: OwnLoss, network: nn.Module, choice: LossChoice, data: DataSet, model: str
) -> str:
    """Return a note if a loss is the cross-entropy times weights of classes; otherwise empty.

    Raises:
        InputError: If it returns weights, but its losses are not multiplied by them.
    """
    split = next(iter(data.splits.values()))
    batches = _telling_batches(network, split, data, model)
    found = [_factors(own, outputs, targets, choice) for outputs, targets in batches]
    if any(one is None for one in found):
        return ""
    factors, weights = torch.cat([one for one in found if one is not None]).T
    if choice.brings_weights and _vary(weights) and not _vary(factors):
        raise InputError(
            f"--loss: {own.spec} returns weights from {weights.min():.4g} to {weights.max():.4g}, "
            f"but its losses are not multiplied by them. The mean is the sum of the losses divided "
            f"by the sum of the weights: return (losses * weights, weights)."
        )
    if choice.brings_weights or not _vary(factors):
        return ""
    return (
        f", although they are the cross-entropy times weights from {factors.min():.4g} to "
        f"{factors.max():.4g}. torch's CrossEntropyLoss(weight) divides by the sum of the weights, "
        f"as --loss cross_entropy with --class-weights does, and a --loss that returns "
        f"(losses, weights)"
    )


def _vary(values: torch.Tensor) -> bool:
    return len(values) > 1 and bool(values.max() > 1.001 * values.min())


def _factors(
    own: OwnLoss, outputs: torch.Tensor, targets: torch.Tensor, choice: LossChoice
) -> torch.Tensor | None:
    """Return the loss divided by the cross-entropy, and the weight, for some targets, [n, 2].

    None means that the loss is not the cross-entropy times a factor independent of the outputs.
    """
    plain = Loss(FUNCTIONS["cross_entropy"], None, choice.class_axis, choice.ignored)
    factors, weights = [], torch.ones_like(targets, dtype=torch.float32)
    for sign, found in zip((1, -1), _losses_of_two(own, outputs, targets), strict=False):
        losses = found[0] if isinstance(found, tuple) else found
        if losses.shape != targets.shape:
            return None
        weights = found[1] if isinstance(found, tuple) else weights
        entropies, _ = plain.weighted(sign * outputs, targets)
        factors.append(torch.where(entropies > SMALLEST_LOSS, losses / entropies, torch.nan))
    one, other = factors[0], factors[-1]
    told = one.isfinite() & other.isfinite()
    if len(factors) < 2 or not torch.allclose(one[told], other[told], rtol=1e-3):
        return None
    return torch.stack([one[told], weights[told]], dim=1)


def _mean_in_words(choice: LossChoice, data: DataSet) -> str:
    if choice.brings_weights:
        mean = "the sum of the losses divided by the sum of the weights it returns"
    elif choice.class_weights is not None:
        mean = "divided by the sum of the class weights, as by torch"
    else:
        mean = "each counts once"
    if choice.label_smoothing:
        mean += f"; label smoothing {choice.label_smoothing:g}"
    counts = [_counts_in_words(name, choice, data) for name in data.splits]
    return f"mean over {' and '.join(counts)}: {mean}"


def _counts_in_words(name: str, choice: LossChoice, data: DataSet) -> str:
    targets = data.splits[name].targets
    if choice.one_loss or (targets.ndim == 1 and choice.ignored is None):
        return f"the {len(targets):,} {name} samples"
    if choice.ignored is None:
        return f"the {targets.size:,} {name} targets"
    n = data.counted(name).size
    return f"the {n:,} of {targets.size:,} {name} targets that are not {choice.ignored}"


def _check_bce(
    outputs: torch.Tensor, targets: torch.Tensor, counted: np.ndarray, samples: str
) -> None:
    low, high = counted.min(), counted.max()
    if low < 0 or high > 1:
        hint = f" Pass --ignore-index {low:g} if these targets do not count."
        left_out = hint if low < 0 and low == int(low) else ""
        raise InputError(
            f"--loss bce: targets go from {low:g} to {high:g}, but must be from 0 to 1, where 1 "
            "is the class whose logit the network returns. For several classes, use "
            f"cross_entropy.{left_out}"
        )
    _check_one_each("bce", outputs, targets, samples)


def _check_one_each(name: str, outputs: torch.Tensor, targets: torch.Tensor, samples: str) -> None:
    n, *places = targets.shape
    if outputs.shape not in {targets.shape, (n, *places, 1), (n, 1, *places)}:
        raise InputError(
            f"--loss {name}: the network returns {list(outputs.shape)} for {samples}, whose "
            f"targets are {described(targets)}; it needs an output for each of them: "
            f"{list(targets.shape)} or {[*targets.shape, 1]}.{lost_axis(outputs, n)}"
        )
