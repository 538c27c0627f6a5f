"""A network whose weights move over a plane.

All moved tensors are views into one flat vector, so that a point costs two fused
multiply-adds over it, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.curve import combine
from landscape_mpi.compute.directions import Direction


class FlatNetwork:
    """A network in evaluation mode whose moved tensors are views into one flat vector."""

    def __init__(
        self, network: nn.Module, names: set[str], *, device: str, dtype: torch.dtype
    ) -> None:
        """Take over a network and put tensors of it into one vector.

        Args:
            network: Float32; it is changed.
            names: Of its parameters and buffers that move.
            device: Where it is to compute.
            dtype: Type it computes in; points are made in float32 and rounded to it.
        """
        self.network = network.eval().to(device)
        moved = _tensors(network, names)
        self._like = {name: torch.empty_like(t, device="meta") for name, t in moved.items()}
        self._point = _flatten({name: tensor.detach() for name, tensor in moved.items()})
        self._weights = self._point.to(dtype)  # the same memory where the type is float32
        # Type and layout first: converting them later would cut the views off the vector.
        self.network.to(dtype)
        order_channels_last(network)
        moved = _tensors(network, set(moved))
        for tensor, view in zip(moved.values(), views_of(self._weights, moved), strict=True):
            tensor.data = view

    def _flat(self, tensors: Mapping[str, np.ndarray]) -> torch.Tensor:
        """Return tensors in the order of the vector, zero where there is none."""
        return _flatten(_spread(tensors, self._like, self._point.device))

    def _take(self) -> None:
        """Give the network the weights of the point."""
        if self._weights is not self._point:
            self._weights.copy_(self._point)


class MovedNetwork(FlatNetwork):
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
        super().__init__(network, {*alpha, *beta}, device=device, dtype=dtype)
        self._center = self._point.clone()
        self._alpha, self._beta = self._flat(alpha), self._flat(beta)

    def move_to(self, alpha: float, beta: float) -> None:
        """Set the weights to those of a point; the center itself comes out exactly."""
        torch.add(self._center, self._alpha, alpha=alpha, out=self._point)
        self._point.add_(self._beta, alpha=beta)
        self._take()


class CombinedNetwork(FlatNetwork):
    """A network in evaluation mode whose tensors are weighted sums of those of some points.

    The network given is changed: it belongs to this object from then on.
    """

    def __init__(
        self, network: nn.Module, points: Sequence[Mapping[str, np.ndarray]], *, device: str = "cpu"
    ) -> None:
        """Take over a network and put its moved tensors into one vector.

        Args:
            network: Float32.
            points: Values of its parameters and buffers, float32, the same names for each.
            device: Where it is to compute.
        """
        super().__init__(network, set(points[0]), device=device, dtype=torch.float32)
        self._points = torch.stack([self._flat(point) for point in points])

    def move_to(self, weights: Sequence[float]) -> None:
        """Set the tensors to a weighted sum; a point alone comes out exactly."""
        combine(self._points, weights, self._point)
        self._take()


def _tensors(network: nn.Module, names: set[str]) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of these names themselves, in the network's order."""
    state = network.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if name in names}


def order_channels_last(network: nn.Module) -> None:
    """Lay the weights of two-dimensional convolutions out as their kernels read them."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _spread(
    direction: Mapping[str, np.ndarray], moved: Mapping[str, torch.Tensor], device: torch.device
) -> dict[str, torch.Tensor]:
    """Return the direction as tensors beside the moved ones, zero where it has no entry."""
    spread = {}
    for name, tensor in moved.items():
        values = direction.get(name)
        spread[name] = (
            torch.zeros_like(tensor, device=device)
            if values is None
            else torch.from_numpy(np.ascontiguousarray(values)).to(device, tensor.dtype)
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
