"""Train on batches of any kind, with a loss that is a function of network and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.process_group import ProcessGroup
from landscape_mpi.zoo.samples import Measured, Tally
from landscape_mpi.zoo.training_task import Pass, Share, TrainingTask, weight_in_group

Found = torch.Tensor | tuple[torch.Tensor, torch.Tensor | float]
LossOfBatch = Callable[[nn.Module, Any], Found]  # losses [n], or their sum and a count


class BatchSource(Protocol):
    """Give batches that can be read repeatedly."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __getitem__(self, index: int) -> Any:
        """Return a batch on the device."""


class BatchTask(TrainingTask):
    """Train on given batches, in a new order in every epoch."""

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
            loss: Function that is called with the network and a batch, in training mode with
                gradients.
            train: Batches to train on.
            test: Batches to evaluate; None if there are none.
            device: Device of the batches.
            at_a_time: Number of batches in a step; the processes of a group divide them.
            seeded: Context that sets the random numbers of a test batch, by its number, and
                restores them.
        """
        self._loss, self._train, self._test = loss, train, test
        self._device, self._at_a_time, self._seeded = device, at_a_time, seeded
        self.n_batches = -(-len(train) // at_a_time)

    def module(self, network: nn.Module) -> nn.Module:
        """Return a module that computes the summed loss of batches with this network."""
        at_place = getattr(network, "computing", None)  # a curve chooses the weights
        return at_place(self.sums) if at_place else WithFunction(network, self.sums)

    def sums(self, network: nn.Module, batches: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum of the losses of some batches, and their count without its graph."""
        found = [sums_of(self._loss(network, batch)) for batch in batches]
        counts = [torch.as_tensor(n, dtype=torch.float64, device=self._device) for _, n in found]
        return torch.stack([total for total, _ in found]).sum(), torch.stack(counts).sum().detach()

    def batches(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yield the indices of the batches of each step."""
        yield from torch.randperm(len(self._train), generator=generator).split(self._at_a_time)

    def share(self, module: nn.Module, batch: torch.Tensor, known: Pass) -> Share:
        """Return the contribution of this process's batches; see TrainingTask."""
        own = known.group.part_of(batch)
        n_own = own.stop - own.start
        # A process without a batch must enter the backward pass too: it uses one with weight 0.
        indices = batch[own if n_own else slice(0, 1)].tolist()
        with known.precision:
            total, count = module([self._train[index] for index in indices])
        weight = weight_in_group(count if n_own else 0.0, known.group, self._device)
        return Share(_mean(total, count), weight, bool(n_own))

    @torch.no_grad()
    def test(self, network: nn.Module, group: ProcessGroup) -> tuple[float | None, float | None]:
        """Return the loss of the test batches, if there are any; see TrainingTask."""
        if self._test is None:
            return None, None
        tally, module = Tally(self._device, has_error=False), self.module(network)
        numbers = torch.arange(len(self._test))
        for index in numbers[group.part_of(numbers)].tolist():
            with self._seeded(index):
                tally.add(_mean(*module([self._test[index]])))
        return tally.result(group)


class WithFunction(nn.Module):
    """Wrap a network so that a function of it replaces its outputs."""

    def __init__(
        self, network: nn.Module, function: Callable[[nn.Module, Any], tuple[torch.Tensor, ...]]
    ) -> None:
        super().__init__()
        self.network, self._function = network, function

    def forward(self, batch: Any) -> tuple[torch.Tensor, ...]:
        """Return the value of the function for a batch."""
        return self._function(self.network, batch)


def sums_of(found: Found) -> tuple[torch.Tensor, torch.Tensor | float]:
    """Return the sum and the count from the result of a loss.

    Raises:
        InputError: If the result is one number, which does not give the number of samples that
            count.
    """
    if isinstance(found, tuple):
        return found
    if found.ndim != 1:
        raise InputError(
            f"the loss returned a tensor {list(found.shape)}. Return the losses of the samples, a "
            "tensor [n], or the pair (sum of the losses, number of samples that count)."
        )
    return found.sum(), len(found)


def _mean(total: torch.Tensor, count: torch.Tensor) -> Measured:
    divisor = torch.where(count == 0, torch.ones_like(count), count)
    return Measured(total / divisor, None, count)
