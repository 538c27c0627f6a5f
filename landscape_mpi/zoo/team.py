"""The processes that train one network together, each on its part of every batch."""

from __future__ import annotations

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
        return network if self.size == 1 else DistributedDataParallel(network)

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


ALONE = Team()
