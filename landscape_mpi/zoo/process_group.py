"""Join the processes that train one network, each on its part of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class ProcessGroup:
    """Describe this process in torch.distributed's group; it is alone if size is 1."""

    rank: int = 0
    size: int = 1

    def join(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that its backward pass averages all gradients. Collective.

        Before every forward pass all processes take the buffers of rank 0. So batch-norm
        standardises by the local part of a batch and keeps the running statistics of rank 0's
        parts.
        """
        if self.size == 1:
            return network
        for parameter in network.parameters():
            if parameter.requires_grad and 1 in parameter.shape:
                parameter.register_hook(in_strides(parameter.stride()))
        return DistributedDataParallel(network)

    def part_of(self, batch: torch.Tensor) -> slice:
        """Return this process's part of a batch; the parts cover the batch almost equally."""
        n = len(batch)
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def add_up(self, sums: torch.Tensor) -> None:
        """Add up the sums of all processes, in place. Collective."""
        if self.size > 1:
            distributed.all_reduce(sums)

    def share_buffers(self, network: nn.Module) -> None:
        """Copy the buffers of rank 0 to all processes. Collective."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)


def in_strides(strides: tuple[int, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a hook that gives a gradient its parameter's strides if the memory order is equal.

    The stride of an axis of length 1 has no meaning, e.g. in a 1x1 filter, where convolutions set
    it as for channels last. DistributedDataParallel compares it nevertheless, and warns.
    """

    def give(gradient: torch.Tensor) -> torch.Tensor:
        if gradient.layout is not torch.strided or gradient.stride() == strides:
            return gradient
        axes = zip(gradient.shape, gradient.stride(), strides, strict=True)
        if any(there != wanted for length, there, wanted in axes if length > 1):
            return gradient  # autograd copies it into the parameter's strides
        return gradient.as_strided(gradient.shape, strides, gradient.storage_offset())

    return give


ALONE = ProcessGroup()
