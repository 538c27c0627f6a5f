"""The processes that train one network together, each on its part of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """This process among those of torch.distributed's group; alone where size is 1."""

    rank: int = 0
    size: int = 1

    def join(self, network: nn.Module) -> nn.Module:
        """Return the network whose backward pass averages the gradients of all. Collective.

        Before every forward pass all take the buffers of rank 0, so batch-norm standardises by
        the local part of a batch and keeps the running statistics of rank 0's parts.
        """
        if self.size == 1:
            return network
        for parameter in network.parameters():
            if parameter.requires_grad and 1 in parameter.shape:
                parameter.register_hook(in_strides(parameter.stride()))
        return DistributedDataParallel(network)

    def part_of(self, batch: torch.Tensor) -> slice:
        """Return which of a batch are this process's: as many for each, none left out."""
        n = len(batch)
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def add_up(self, sums: torch.Tensor) -> None:
        """Add the sums of all, in place. Collective."""
        if self.size > 1:
            distributed.all_reduce(sums)

    def share_buffers(self, network: nn.Module) -> None:
        """Give all the buffers of rank 0. Collective."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)


def in_strides(strides: tuple[int, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what gives a gradient the strides of its parameter, where its numbers lie alike.

    The stride of an axis of length 1 means nothing: that of a 1x1 filter, which convolutions set as
    for channels last. DistributedDataParallel compares it all the same, and warns.
    """

    def give(gradient: torch.Tensor) -> torch.Tensor:
        if gradient.layout is not torch.strided or gradient.stride() == strides:
            return gradient
        axes = zip(gradient.shape, gradient.stride(), strides, strict=True)
        if any(there != wanted for length, there, wanted in axes if length > 1):
            return gradient  # autograd copies it into the strides of the parameter
        return gradient.as_strided(gradient.shape, strides, gradient.storage_offset())

    return give


ALONE = Team()
