"""What a network is trained on: the batches of an epoch, and what is minimised over each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from landscape_mpi.zoo.samples import Measured
from landscape_mpi.zoo.team import Team


@dataclass(frozen=True)
class Pass:
    """What a step knows besides its batch."""

    generator: torch.Generator  # on the CPU, the same numbers on all of the team
    team: Team
    precision: AbstractContextManager[object]  # in which the network computes


@dataclass(frozen=True)
class Share:
    """This process's part of a step."""

    measured: Measured  # of its own samples, or of some that do not count
    weight: float | torch.Tensor  # of its mean loss, in the mean over what all processes give
    counts: bool  # whether it has samples of its own


class TrainingTask(ABC):
    """Batches and a loss, on the device."""

    n_batches: int  # steps of an epoch
    has_error: bool  # whether samples can be misclassified

    def module(self, network: nn.Module) -> nn.Module:
        """Return the module that a step calls, which the processes of a team join.

        Args:
            network: That is trained.
        """
        return network

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Iterator[Any]:
        """Yield what the steps of an epoch are made of, in random order, the same on all."""

    @abstractmethod
    def share(self, module: nn.Module, batch: Any, known: Pass) -> Share:
        """Return what this process gives to a step. Collective over the team.

        Args:
            module: As module() made it, joined, in training mode.
            batch: One of batches().
            known: What else is known of the step.
        """

    @abstractmethod
    def test(self, network: nn.Module, team: Team) -> tuple[float | None, float | None]:
        """Return loss and error of the test split, each if there is one. Collective.

        Args:
            network: In evaluation mode, the same on all of the team.
            team: Those who share the work.
        """


def weight_in_team(own: float | torch.Tensor, team: Team, device: torch.device) -> torch.Tensor:
    """Return how much a mean over own samples counts, where the means of all are averaged.

    Collective over the team.

    Args:
        own: Sum of the weights of the process's samples.
        team: All processes.
        device: On which they communicate.
    """
    mine = torch.as_tensor(own, dtype=torch.float64, device=device).detach()
    total = mine.clone()
    team.add_up(total)
    return torch.where(total == 0, torch.zeros_like(total), mine * team.size / total)
