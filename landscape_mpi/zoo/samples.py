"""Hold a split on its device, and measure loss and error of a network on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.process_group import ALONE, ProcessGroup

N_AT_ONCE = 1000  # number of samples in a batch of evaluation


class TargetLoss(Protocol):
    """Compute a loss of outputs and targets, with or without an error."""

    error: str | None

    def weighted(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return losses and their weights; None if each counts once."""

    def wrong(
        self, outputs: torch.Tensor, targets: torch.Tensor, losses: torch.Tensor
    ) -> torch.Tensor | bool:
        """Return which targets are missed."""

    def counted(self, targets: torch.Tensor) -> torch.Tensor | None:
        """Return which targets count; None if all do."""


class Samples:
    """Hold a split on the device; images stay uint8 until a batch is used."""

    has_error = True

    def __init__(self, split: Split, data: DataSet, device: torch.device) -> None:
        inputs = torch.from_numpy(split.inputs)
        self._has_pixels = split.has_pixels
        if split.kind == "image":
            # Not contiguous(), which keeps the layout of images with one channel: convolutions and
            # later layers would treat it as channels last.
            inputs = inputs.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
        self.inputs = inputs.to(device)
        self.targets = torch.from_numpy(split.targets).to(device)
        self._mean = torch.tensor(data.mean, dtype=torch.float32, device=device)[:, None, None]
        self._std = torch.tensor(data.std, dtype=torch.float32, device=device)[:, None, None]
        self._ignored, self._class_axis = data.ignored, data.class_axis

    def as_seen(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs as the network sees them: pixels standardised, other inputs unchanged."""
        return (inputs.float() / 255 - self._mean) / self._std if self._has_pixels else inputs

    def measure(self, outputs: torch.Tensor, targets: torch.Tensor) -> Measured:
        """Return mean loss and errors of a network's outputs for some targets, in float32."""
        logits = outputs if self._class_axis == -1 else outputs.movedim(self._class_axis, -1)
        n: int | torch.Tensor = targets.numel()
        counted = self._counted(targets)
        if counted is None:
            loss = functional.cross_entropy(logits.flatten(0, -2), targets.flatten())
        else:
            n = counted.sum()
            flat, ignored = targets.flatten(), self._ignored or 0
            total = functional.cross_entropy(
                logits.flatten(0, -2), flat, ignore_index=ignored, reduction="sum"
            )
            loss = total / n.clamp(min=1)
        with torch.no_grad():
            wrong = logits.argmax(dim=-1) != targets
            n_wrong = (wrong if counted is None else wrong & counted).sum()
        return Measured(loss, n_wrong, n)

    def weight_of(
        self, own: torch.Tensor, batch: torch.Tensor, n_parts: int
    ) -> float | torch.Tensor:
        """Return the weight of the mean loss of a part in the mean over all parts of a batch.

        Args:
            own: Targets of this part.
            batch: Targets of the batch; each one belongs to one part.
            n_parts: Number of parts.
        """
        mine, all_ = self._counted(own), self._counted(batch)
        if mine is None or all_ is None:
            return len(own) * n_parts / len(batch)
        return mine.sum() * n_parts / all_.sum().clamp(min=1)

    def _counted(self, targets: torch.Tensor) -> torch.Tensor | None:
        return None if self._ignored is None else targets != self._ignored


class LossSamples(Samples):
    """Hold a split on the device, with its own loss."""

    def __init__(self, split: Split, data: DataSet, device: torch.device, loss: TargetLoss) -> None:
        super().__init__(split, data, device)
        self._loss = loss
        self.has_error = loss.error is not None

    def measure(self, outputs: torch.Tensor, targets: torch.Tensor) -> Measured:
        """Return mean loss and errors of a network's outputs for some targets."""
        losses, weights = self._loss.weighted(outputs, targets)
        weights = torch.ones_like(losses) if weights is None else weights.detach()
        n = weights.sum()
        found = Measured(losses.sum() / torch.where(n == 0, torch.ones_like(n), n), None, n)
        if not self.has_error:
            return found
        counted = self._loss.counted(targets)
        with torch.no_grad():
            wrong = torch.as_tensor(self._loss.wrong(outputs, targets, losses))
        n_targets = targets.numel() if counted is None else counted.sum()
        return replace(found, n_wrong=wrong.sum(), n_targets=n_targets)


@dataclass(frozen=True)
class Measured:
    """Hold loss and errors of a network's outputs for some targets."""

    loss: torch.Tensor  # mean over the targets that count; 0 if none does
    n_wrong: torch.Tensor | None  # None if there is no error
    n: int | torch.Tensor  # number of targets that count, or the sum of their weights
    n_targets: int | torch.Tensor | None = None  # number of targets that count; None if it equals n


class Tally:
    """Sum loss and errors on the device; read them once at the end, because reading waits."""

    def __init__(self, device: torch.device, *, has_error: bool = True) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)
        self._has_error = has_error

    def add(self, measured: Measured) -> None:
        """Add a batch."""
        self._sums[0] += measured.loss.detach().double() * measured.n
        self._sums[1] += measured.n
        if measured.n_wrong is not None:
            self._sums[2] += measured.n_wrong
            self._sums[3] += measured.n if measured.n_targets is None else measured.n_targets

    def result(self, group: ProcessGroup) -> tuple[float, float | None]:
        """Return mean loss, and error in percent if there is one. Collective over the group."""
        group.add_up(self._sums)
        loss, n, n_wrong, n_targets = self._sums.tolist()
        # NaN if nothing counts, because there is no mean.
        mean = loss / n if n else math.nan
        return mean, 100 * n_wrong / n_targets if self._has_error and n_targets else None


@torch.no_grad()
def evaluate(
    network: nn.Module, samples: Samples, group: ProcessGroup = ALONE
) -> tuple[float, float | None]:
    """Return a network's mean loss, and error in percent if there is one. Collective.

    Args:
        network: Network in evaluation mode, the same on the whole group.
        samples: All samples of the split.
        group: Processes that share the work.
    """
    tally = Tally(samples.targets.device, has_error=samples.has_error)
    own = group.part_of(samples.targets)
    for inputs, targets in zip(
        samples.inputs[own].split(N_AT_ONCE), samples.targets[own].split(N_AT_ONCE), strict=True
    ):
        if len(targets):
            tally.add(samples.measure(network(samples.as_seen(inputs)), targets))
    return tally.result(group)
