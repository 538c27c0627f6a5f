"""Check that the calls of a loss do not change the weights of a point.

If a call changed weights or running statistics, the next call would see it, and the next batch
depends on the number of ranks and threads. The check adds up the bits before and after the batches
of a point, which costs little compared with a pass through the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from landscape_mpi.compute.motion import Moving
from landscape_mpi.compute.tensors import set_values, tensors_named

WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size in bytes


class KeptWeights:
    """Watch the moved tensors of networks, and their floating-point buffers, at one point."""

    def __init__(self, networks: Sequence[nn.Module], moving: Moving) -> None:
        """Take networks.

        Args:
            networks: Networks of one architecture, in evaluation mode.
            moving: Object that moves them.
        """
        self._networks, self._moving, self._names = networks, moving, moving.names
        self.note_unmoved()
        self._places = self._places_now()
        self._sums = torch.empty(0, dtype=torch.float32)

    def _unmoved(self, network: nn.Module) -> list[torch.Tensor]:
        return [
            buffer
            for name, buffer in network.named_buffers()
            if buffer.is_floating_point() and name not in self._names
        ]

    def _places_now(self) -> list[int]:
        return [tensor.data_ptr() for own in map(self._moved, self._networks) for tensor in own]

    def _moved(self, network: nn.Module) -> list[torch.Tensor]:
        return list(tensors_named(network, self._names).values())

    @property
    def is_replaced(self) -> bool:
        """Return whether a call has replaced a tensor that should be a view of the vector."""
        return self._moving.vector is not None and self._places_now() != self._places

    def note_unmoved(self) -> None:
        """Store the current values of the buffers that do not move."""
        every = map(self._unmoved, self._networks)
        self._values = [[buffer.detach().clone() for buffer in own] for own in every]

    def note(self) -> None:
        """Store the sum of the bits of a point, before its batches."""
        self._sums = self._sums_now()

    @property
    def is_changed(self) -> bool:
        """Return whether the bits differ from the stored ones."""
        now = self._sums_now()
        return now.shape != self._sums.shape or not torch.equal(now, self._sums)

    def _sums_now(self) -> torch.Tensor:
        vector = self._moving.vector
        if vector is not None:
            moved = [vector]
        else:
            moved = [tensor for own in map(self._moved, self._networks) for tensor in own]
        every = [*moved, *(buffer for own in map(self._unmoved, self._networks) for buffer in own)]
        sums = [_bits(tensor) for tensor in every]
        if not sums:
            return torch.empty(0, dtype=torch.float32)
        return torch.stack([one.to(sums[0].device) for one in sums])

    @torch.no_grad()
    def restore_unmoved(self) -> None:
        """Restore the buffers that do not move."""
        for network, values in zip(self._networks, self._values, strict=True):
            for buffer, value in zip(self._unmoved(network), values, strict=False):
                if buffer.shape == value.shape:
                    set_values(buffer, value)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor's bits, read as integers, int64."""
    return tensor.detach().view(WHOLE[tensor.element_size()]).sum(dtype=torch.int64)
