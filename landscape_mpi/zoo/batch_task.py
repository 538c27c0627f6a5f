"""Training on batches of any kind, with a loss of a network and a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.samples import Measured, Tally
from landscape_mpi.zoo.team import Team
from landscape_mpi.zoo.training_task import Pass, Share, TrainingTask, weight_in_team

Found = torch.Tensor | tuple[torch.Tensor, torch.Tensor | float]
LossOfBatch = Callable[[nn.Module, Any], Found]  # [n] losses, or their sum and a count


class BatchSource(Protocol):
    """Batches that are there again whenever they are asked for."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Any:
        """Return one, on the device."""


class BatchTask(TrainingTask):
    """Batches as they are given, in another order in every epoch."""

    has_error = False

    def __init__(
        self,
        loss: LossOfBatch,
        train: BatchSource,
        test: BatchSource | None = None,
        *,
        device: torch.device,
        at_a_time: int = 1,
        seeded: Callable[[int], AbstractContextManager[object]] = lambda _: nullcontext(),
    ) -> None:
        """Take batches.

        Args:
            loss: Called with the network and a batch, in training mode with gradients.
            train: Batches to train on.
            test: Batches to evaluate; None if there are none.
            device: Where they are.
            at_a_time: Batches of a step, which the processes of a team share out.
            seeded: Sets random numbers for a test batch, by its number, and puts them back.
        """
        self._loss, self._train, self._test = loss, train, test
        self._device, self._at_a_time, self._seeded = device, at_a_time, seeded
        self.n_batches = -(-len(train) // at_a_time)

    def module(self, network: nn.Module) -> nn.Module:
        """Return what computes the summed loss of batches, by this network."""
        at_place = getattr(network, "computing", None)  # a curve, which chooses the weights
        return at_place(self.sums) if at_place else WithFunction(network, self.sums)

    def sums(self, network: nn.Module, batches: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum of the losses of some batches, and their count without a graph."""
        found = [sums_of(self._loss(network, batch)) for batch in batches]
        counts = [torch.as_tensor(n, dtype=torch.float64, device=self._device) for _, n in found]
        return torch.stack([total for total, _ in found]).sum(), torch.stack(counts).sum().detach()

    def batches(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yield the numbers of the batches of each step."""
        yield from torch.randperm(len(self._train), generator=generator).split(self._at_a_time)

    def share(self, module: nn.Module, batch: torch.Tensor, known: Pass) -> Share:
        """Return what this process's batches give; see TrainingTask."""
        own = known.team.part_of(batch)
        n_own = own.stop - own.start
        # A process without a batch has to enter the backward pass too: it takes one for nothing.
        indices = batch[own if n_own else slice(0, 1)].tolist()
        with known.precision:
            total, count = module([self._train[index] for index in indices])
        weight = weight_in_team(count if n_own else 0.0, known.team, self._device)
        return Share(_mean(total, count), weight, bool(n_own))

    @torch.no_grad()
    def test(self, network: nn.Module, team: Team) -> tuple[float | None, float | None]:
        """Return the loss of the test batches, if there are some; see TrainingTask."""
        if self._test is None:
            return None, None
        tally, module = Tally(self._device, has_error=False), self.module(network)
        numbers = torch.arange(len(self._test))
        for index in numbers[team.part_of(numbers)].tolist():
            with self._seeded(index):
                tally.add(_mean(*module([self._test[index]])))
        return tally.result(team)


class WithFunction(nn.Module):
    """A network, and a function of it that is computed in the place of its outputs."""

    def __init__(
        self, network: nn.Module, function: Callable[[nn.Module, Any], tuple[torch.Tensor, ...]]
    ) -> None:
        super().__init__()
        self.network, self._function = network, function

    def forward(self, batch: Any) -> tuple[torch.Tensor, ...]:
        """Return the value of the function for a batch."""
        return self._function(self.network, batch)


def sums_of(found: Found) -> tuple[torch.Tensor, torch.Tensor | float]:
    """Return the sum and the count that a loss has given.

    Raises:
        InputError: If it has given one number, which does not say how many samples count.
    """
    if isinstance(found, tuple):
        return found
    if found.ndim != 1:
        raise InputError(
            f"the loss returned a tensor {list(found.shape)}. Return the losses of the samples, a "
            f"tensor [n], or the pair (sum of the losses, how many count)."
        )
    return found.sum(), len(found)


def _mean(total: torch.Tensor, count: torch.Tensor) -> Measured:
    divisor = torch.where(count == 0, torch.ones_like(count), count)
    return Measured(total / divisor, None, count)
