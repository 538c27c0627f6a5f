"""Define a training task: the batches of an epoch, and the loss that is minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from landscape_mpi.zoo.process_group import ProcessGroup
from landscape_mpi.zoo.samples import Measured


@dataclass(frozen=True)
class Pass:
    """Hold the inputs of a step besides its batch."""

    generator: torch.Generator  # on the CPU, with the same numbers on the whole group
    group: ProcessGroup
    precision: AbstractContextManager[object]  # context in which the network computes


@dataclass(frozen=True)
class Share:
    """Hold this process's part of a step."""

    measured: Measured  # loss of its own samples, or of samples with weight 0
    weight: float | torch.Tensor  # weight of its mean loss in the mean over all processes
    counts: bool  # whether it has its own samples


class TrainingTask(ABC):
    """Define batches and a loss on the device."""

    n_batches: int  # number of steps in an epoch
    has_error: bool  # whether samples can be misclassified

    def module(self, network: nn.Module) -> nn.Module:
        """Return the module that a step calls and that the processes of a group join.

        Args:
            network: Network to train.
        """
        return network

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Iterator[Any]:
        """Yield the batches of an epoch in random order, the same on all processes."""

    @abstractmethod
    def share(self, module: nn.Module, batch: Any, known: Pass) -> Share:
        """Return this process's contribution to a step. Collective over the group.

        Args:
            module: Result of module(), joined, in training mode.
            batch: One of batches().
            known: Other inputs of the step.
        """

    @abstractmethod
    def test(self, network: nn.Module, group: ProcessGroup) -> tuple[float | None, float | None]:
        """Return loss and error of the test split, each if there is one. Collective.

        Args:
            network: Network in evaluation mode, the same on the whole group.
            group: Processes that share the work.
        """


def weight_in_group(
    own: float | torch.Tensor, group: ProcessGroup, device: torch.device
) -> torch.Tensor:
    """Return the weight of this process's mean when the means of all processes are averaged.

    Collective over the group.

    Args:
        own: Sum of the weights of the process's samples.
        group: All processes.
        device: Device on which they communicate.
    """
    mine = torch.as_tensor(own, dtype=torch.float64, device=device).detach()
    total = mine.clone()
    group.add_up(total)
    return torch.where(total == 0, torch.zeros_like(total), mine * group.size / total)
