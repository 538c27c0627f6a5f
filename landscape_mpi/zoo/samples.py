"""A split on its device, and the loss and error of a network on it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.team import ALONE, Team

N_AT_ONCE = 1000  # samples in a batch of evaluation


class Samples:
    """One split on the device, images as uint8 until a batch is used."""

    def __init__(self, split: Split, data: DataSet, device: torch.device) -> None:
        inputs = torch.from_numpy(split.inputs)
        self._has_pixels = split.has_pixels
        if split.kind == "image":
            inputs = inputs.permute(0, 3, 1, 2).contiguous()
        self.inputs = inputs.to(device)
        self.targets = torch.from_numpy(split.targets).to(device)
        self._mean = torch.tensor(data.mean, device=device)[:, None, None]
        self._std = torch.tensor(data.std, device=device)[:, None, None]

    def as_seen(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs as the network sees them: pixels standardised, all else as it is."""
        return (inputs.float() / 255 - self._mean) / self._std if self._has_pixels else inputs


class Tally:
    """Sums of loss and errors on the device, read once at the end: reading waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, logits: torch.Tensor, targets: torch.Tensor, mean_loss: torch.Tensor) -> None:
        """Count a batch."""
        self._sums[0] += mean_loss.detach().double() * targets.numel()
        self._sums[1] += (logits.argmax(dim=-1) != targets).sum()
        self._sums[2] += targets.numel()

    def result(self, team: Team) -> tuple[float, float]:
        """Return mean loss in nats, error in percent, over what all have counted. Collective."""
        team.add_up(self._sums)
        loss, n_wrong, n = self._sums.tolist()
        return loss / n, 100 * n_wrong / n


def mean_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy, nat, over all targets: [n], or [n, length] of sequences."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


@torch.no_grad()
def evaluate(network: nn.Module, samples: Samples, team: Team = ALONE) -> tuple[float, float]:
    """Return mean loss in nats and error in percent of a network in evaluation mode. Collective.

    Args:
        network: The same on all of the team.
        samples: All of the split.
        team: Those who share the work.
    """
    tally = Tally(samples.targets.device)
    own = team.part_of(samples.targets)
    for inputs, targets in zip(
        samples.inputs[own].split(N_AT_ONCE), samples.targets[own].split(N_AT_ONCE), strict=True
    ):
        if len(targets):
            logits = network(samples.as_seen(inputs))
            tally.add(logits, targets, mean_loss(logits, targets))
    return tally.result(team)
