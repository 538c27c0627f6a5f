"""A network whose weights move over a plane.

All moved tensors are views into one flat vector, so that a point costs two fused
multiply-adds over it, whatever the number of layers.
"""

from __future__ import annotations

import copy
import queue
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


class StackedNetwork(MovedNetwork):
    """A network at several points of its plane at once, which takes a batch through all of them.

    Their weights are those that MovedNetwork gives, bit for bit.
    """

    def __init__(
        self,
        network: nn.Module,
        alpha: Direction,
        beta: Direction,
        *,
        n_points: int,
        threads: int = 1,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take over a network; see MovedNetwork.

        Args:
            network: Float32.
            alpha: Direction on its parameters and buffers, float32.
            beta: Likewise.
            n_points: How many.
            threads: Batches that may be taken through it at the same time.
            device: Where it is to compute.
            dtype: Type it computes in.
        """
        super().__init__(network, alpha, beta, device=device, dtype=dtype)
        n = self._point.numel()
        self._rows = self._weights.new_empty((n_points, n))  # a point each
        # Tensor after tensor, each of all points: layers would copy what lies apart.
        self._stack = self._weights.new_empty(n_points * n)
        tensors, sources, start = {}, [torch.empty(0, dtype=torch.int64)], 0
        for name, like in self._like.items():
            end = start + like.numel()
            stack = self._stack[n_points * start : n_points * end].view(n_points, -1)
            tensors[name] = as_tensor(stack, like)
            sources.append((torch.arange(n_points)[:, None] * n + torch.arange(start, end)).ravel())
            start = end
        self._sources = torch.cat(sources).to(device)
        self._tensors = tensors
        # A call with other tensors puts them into the network meanwhile.
        self._free: queue.SimpleQueue[nn.Module] = queue.SimpleQueue()
        for number in range(threads):
            self._free.put(copy.deepcopy(self.network) if number else self.network)

    def move_to_all(self, points: Sequence[tuple[float, float]]) -> None:
        """Set the weights to those of n_points points."""
        for row, (alpha, beta) in zip(self._rows, points, strict=True):
            self.move_to(alpha, beta)
            row.copy_(self._weights)
        torch.index_select(self._rows.view(-1), 0, self._sources, out=self._stack)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the network makes of a batch at each point, [n_points, n, ...]."""
        network = self._free.get()

        def at_one(tensors: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(network, tensors, (inputs,))

        try:
            return torch.vmap(at_one, in_dims=(0, None))(self._tensors, inputs)
        finally:
            self._free.put(network)


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
            torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
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
        yield as_tensor(flat[start : start + tensor.numel()], tensor)
        start += tensor.numel()


def as_tensor(piece: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return values in the order of their memory, [..., n], in the shape of a tensor of n."""
    shaped = piece.view(*piece.shape[:-1], *memory_order(like).shape)
    return shaped.movedim(-1, -3) if like.dim() == 4 else shaped
