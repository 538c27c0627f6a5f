"""A network whose weights move over a plane.

All moved tensors are views into one flat vector, so that a point costs two fused
multiply-adds over it, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.directions import Direction


class MovedNetwork:
    """A network in evaluation mode at center + alpha * direction + beta * direction.

    The network given is changed: it belongs to this object from then on.
    """

    def __init__(
        self,
        network: nn.Module,
        alpha: Direction,
        beta: Direction,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take over a network and put its moved tensors into one vector.

        Args:
            network: Float32.
            alpha: Direction on its parameters and buffers, float32.
            beta: Likewise.
            device: Where it is to compute.
            dtype: Type it computes in; points are made in float32 and rounded to it.
        """
        self.network = network.eval().to(device)
        moved = _tensors(network, {*alpha, *beta})
        self._center = _flatten({name: tensor.detach() for name, tensor in moved.items()})
        self._alpha = _flatten(_spread(alpha, moved))
        self._beta = _flatten(_spread(beta, moved))
        self._point = self._center.clone()
        self._weights = self._point.to(dtype)  # the same memory where the type is float32
        # Type and layout first: converting them later would cut the views off the vector.
        self.network.to(dtype)
        _order_channels_last(network)
        moved = _tensors(network, set(moved))
        for tensor, view in zip(moved.values(), views_of(self._weights, moved), strict=True):
            tensor.data = view

    def move_to(self, alpha: float, beta: float) -> None:
        """Set the weights to those of a point; the center itself comes out exactly."""
        torch.add(self._center, self._alpha, alpha=alpha, out=self._point)
        self._point.add_(self._beta, alpha=beta)
        if self._weights is not self._point:
            self._weights.copy_(self._point)


def _tensors(network: nn.Module, names: set[str]) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of these names themselves, in the network's order."""
    state = network.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if name in names}


def _order_channels_last(network: nn.Module) -> None:
    """Lay the weights of two-dimensional convolutions out as their kernels read them."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _spread(direction: Direction, moved: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the direction as tensors beside the moved ones, zero where it has no entry."""
    spread = {}
    for name, tensor in moved.items():
        values = direction.get(name)
        spread[name] = (
            torch.zeros_like(tensor)
            if values is None
            else torch.from_numpy(np.ascontiguousarray(values)).to(tensor)
        )
    return spread


def _flatten(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    if not tensors:
        return torch.zeros(0)
    return torch.cat([memory_order(tensor).reshape(-1) for tensor in tensors.values()])


def memory_order(tensor: torch.Tensor) -> torch.Tensor:
    """Return convolution weights with channels last, as the kernels read them."""
    return tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor


def views_of(flat: torch.Tensor, like: Mapping[str, torch.Tensor]) -> Iterator[torch.Tensor]:
    """Return the tensors that make up a flat vector, shaped like those given."""
    start = 0
    for tensor in like.values():
        piece = flat[start : start + tensor.numel()].view(memory_order(tensor).shape)
        yield piece.permute(0, 3, 1, 2) if tensor.dim() == 4 else piece
        start += tensor.numel()
