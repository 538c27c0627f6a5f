"""Move the weights of a network on a plane, or between solutions.

All moved tensors are views into one flat vector, so a point costs two fused multiply-adds on this
vector, whatever the number of layers. Some networks cannot be moved like this: they keep views of
their weights, or merge some of them on eval(). Then each point is copied into the network's own
tensors in training mode, and eval() is called again, as a user of torch would do it.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.curve import combine
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.steps import ALL, Steps
from landscape_mpi.compute.tensors import (
    acts_on_eval,
    acts_on_load,
    changed_by_eval,
    named_tensors,
    put_values,
    set_values,
    tensors_named,
)
from landscape_mpi.compute.ties import converted, tie_again, ties_of


class FlatNetwork:
    """Hold a network in evaluation mode whose moved tensors lie in one flat vector."""

    def __init__(
        self,
        networks: nn.Module | Sequence[nn.Module],
        names: set[str],
        *,
        device: str,
        dtype: torch.dtype,
        steps: Steps = ALL,
    ) -> None:
        """Take over a network, or copies of it, and put its moved tensors into one vector.

        Args:
            networks: Networks in training mode, which shows whether eval() merges weights; they are
                changed. Several networks, one for each thread, move together.
            names: Names of the parameters and buffers that move.
            device: Device that it computes on.
            dtype: Type it computes in; points are made in its own type and rounded to this one.
            steps: Steps to take; see Steps.views and Steps.channels_last.
        """
        self.networks = [networks] if isinstance(networks, nn.Module) else list(networks)
        self.network = self.networks[0]
        self._ties = ties_of(self.network)
        for network in self.networks:
            converted(network, device)
        moved = tensors_named(self.network, names)
        self._layout = Layout(moved, channels_last=steps.channels_last)
        self._point = _wide(self._layout.flatten(moved, device=device))
        is_own = dtype == type_of(self.network)
        self._weights = self._point.to(_only_type(moved, self._point.dtype) if is_own else dtype)
        self._acts = not steps.views and acts_on_eval(self.network)
        self._loads = not steps.views and acts_on_load(self.network)
        # Values of the unmoved tensors: train() undoes merging with a rounding error each time.
        unmoved = changed_by_eval(self.network) if self._acts else {}
        self._unmoved = {name: t for name, t in unmoved.items() if name not in self._layout.like}
        for network in self.networks:
            network.eval()
            if not is_own:
                converted(network, dtype)
            if steps.channels_last:
                order_channels_last(network)
                tie_again(network, self._ties)
        self._is_copied = not steps.views
        if steps.views:
            self._share_views(set(self._layout.like))

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the tensors that move."""
        return frozenset(self._layout.like)

    @property
    def vector(self) -> torch.Tensor | None:
        """Return the vector that the tensors are views of; None if points are copied in."""
        return None if self._is_copied else self._weights

    def take_back(self) -> None:
        """Take the networks back after another object has moved them.

        The networks must be at the center, in training mode, with their own tensors.
        """
        for network in self.networks:
            network.eval()
        if not self._is_copied:
            self._share_views(set(self._layout.like))

    def _share_views(self, names: set[str]) -> None:
        """Make the moved tensors views into the one vector, in every network.

        Raises:
            TypeError: If a tensor's type differs from the vector's.
        """
        # Set type and layout first: converting later would detach the views from the vector.
        for network in self.networks:
            moved = tensors_named(network, names)
            if {tensor.dtype for tensor in moved.values()} - {self._weights.dtype}:
                raise TypeError("its weights are of several types")
            for tensor, view in zip(moved.values(), self._layout.views(self._weights), strict=True):
                tensor.data = view
            tie_again(network, self._ties)

    def _flat(self, tensors: Mapping[str, np.ndarray]) -> torch.Tensor:
        """Return tensors in the order of the vector; zero for a missing tensor."""
        return self._layout.flat(tensors, self._point)

    def _take(self) -> None:
        """Give the networks the weights of the point in the vector."""
        if self._weights is not self._point:
            self._weights.copy_(self._point)
        if self._is_copied:
            for network in self.networks:
                self._copy_into(network)

    @torch.no_grad()
    def _copy_into(self, network: nn.Module) -> None:
        """Put the point into a network as a user of torch would: in training mode, then eval()."""
        if self._acts or self._loads:
            network.train()
        own = named_tensors(network)
        for name, tensor in self._unmoved.items():
            set_values(own[name], tensor)
        put_values(network, lambda: self._set_moved(network), loads=self._loads)
        if self._acts or self._loads:
            network.eval()

    def _set_moved(self, network: nn.Module) -> None:
        own = named_tensors(network)
        views = self._layout.views(self._weights)
        for name, values in zip(self._layout.like, views, strict=True):
            own[name].copy_(values)


class MovedNetwork(FlatNetwork):
    """Move a network in evaluation mode to center + alpha * direction + beta * direction.

    The network given is changed: it belongs to this object from then on.
    """

    def __init__(
        self,
        networks: nn.Module | Sequence[nn.Module],
        alpha: Direction,
        beta: Direction,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        steps: Steps = ALL,
    ) -> None:
        """Take over a network and put its moved tensors into one vector; see FlatNetwork.

        Args:
            networks: Networks with the weights of the center.
            alpha: Direction of its parameters and buffers, float32.
            beta: Direction along the other axis.
            device: Device that it computes on.
            dtype: Type it computes in; points are made in its own type and rounded to this one.
            steps: Steps to take.
        """
        names = {*alpha, *beta}
        super().__init__(
            networks, names, device=device, dtype=dtype or type_of(networks), steps=steps
        )
        self._center = self._point.clone()
        self._alpha, self._beta = self._flat(alpha), self._flat(beta)

    def move_to(self, alpha: float, beta: float) -> None:
        """Set the weights to those of a point; the center itself is exact."""
        torch.add(self._center, self._alpha, alpha=alpha, out=self._point)
        self._point.add_(self._beta, alpha=beta)
        self._take()


class StackedNetwork(MovedNetwork):
    """Hold a network at several points of its plane; a batch passes through all of them.

    The weights equal MovedNetwork's, bit for bit.
    """

    def __init__(
        self,
        networks: nn.Module | Sequence[nn.Module],
        alpha: Direction,
        beta: Direction,
        *,
        n_points: int,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        steps: Steps = ALL,
    ) -> None:
        """Take over a network; see MovedNetwork.

        Args:
            networks: One network for each batch that is computed at the same time.
            alpha: Direction of its parameters and buffers, float32.
            beta: Direction along the other axis.
            n_points: Number of points at once.
            device: Device that it computes on.
            dtype: Type it computes in.
            steps: Steps to take.
        """
        super().__init__(networks, alpha, beta, device=device, dtype=dtype, steps=steps)
        n = self._point.numel()
        self._rows = self._weights.new_empty((n_points, n))  # one row for each point
        # One tensor of all points after the other: layers would copy scattered values.
        self._stack = self._weights.new_empty(n_points * n)
        tensors, sources, start = {}, [torch.empty(0, dtype=torch.int64)], 0
        for name, like in self._layout.like.items():
            end = start + like.numel()
            stack = self._stack[n_points * start : n_points * end].view(n_points, -1)
            tensors[name] = self._layout.as_tensor(stack, like)
            sources.append((torch.arange(n_points)[:, None] * n + torch.arange(start, end)).ravel())
            start = end
        self._sources = torch.cat(sources).to(device)
        self._tensors = tensors
        self._free = FreeNetworks(self.networks)  # a call puts other tensors into the network

    def move_to_all(self, points: Sequence[tuple[float, float]]) -> None:
        """Set the weights to those of n_points points."""
        for row, (alpha, beta) in zip(self._rows, points, strict=True):
            self.move_to(alpha, beta)
            row.copy_(self._weights)
        torch.index_select(self._rows.view(-1), 0, self._sources, out=self._stack)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for a batch at each point, [n_points, n, ...]."""
        with self._free.one() as network:

            def at_one(tensors: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
                return torch.func.functional_call(network, tensors, (inputs,))

            return torch.vmap(at_one, in_dims=(0, None))(self._tensors, inputs)


class CombinedNetwork(FlatNetwork):
    """Hold a network in evaluation mode whose tensors are weighted sums of some points' tensors.

    The network given is changed: it belongs to this object from then on.
    """

    def __init__(
        self,
        networks: nn.Module | Sequence[nn.Module],
        points: Sequence[Mapping[str, np.ndarray]],
        *,
        device: str = "cpu",
        steps: Steps = ALL,
    ) -> None:
        """Take over a network and put its moved tensors into one vector; see FlatNetwork.

        Args:
            networks: Networks whose other tensors stay unchanged.
            points: Values of its parameters and buffers, with the same names for each point.
            device: Device that it computes on.
            steps: Steps to take.
        """
        names, dtype = set(points[0]), type_of(networks)
        super().__init__(networks, names, device=device, dtype=dtype, steps=steps)
        self._points = torch.stack([self._flat(point) for point in points])

    def move_to(self, weights: Sequence[float]) -> None:
        """Set the tensors to a weighted sum of points; a single point is exact."""
        combine(self._points, weights, self._point)
        self._take()


class FreeNetworks:
    """Lend networks to threads; each thread has its own while it computes."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self._free: queue.SimpleQueue[nn.Module] = queue.SimpleQueue()
        for network in networks:
            self._free.put(network)

    @contextmanager
    def one(self) -> Iterator[nn.Module]:
        """Take a network that no other thread uses, and return it afterwards."""
        network = self._free.get()
        try:
            yield network
        finally:
            self._free.put(network)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return a free network's outputs for a batch."""
        with self.one() as network:
            return network(inputs)


class Layout:
    """Describe how tensors lie in one vector, one after the other."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], *, channels_last: bool = True) -> None:
        """Take the shapes and types of tensors.

        Args:
            tensors: Tensors by name, in their order in the vector.
            channels_last: Whether weights of two-dimensional convolutions have the layout that
                their kernels read.
        """
        self.like = {name: torch.empty_like(t, device="meta") for name, t in tensors.items()}
        self._channels_last = channels_last

    def flatten(
        self, tensors: Mapping[str, torch.Tensor], *, device: str | torch.device = "cpu"
    ) -> torch.Tensor:
        """Return tensors as a new vector."""
        if not tensors:
            return torch.zeros(0, dtype=torch.float32, device=device)
        ordered = [self._in_memory(tensor.detach()).reshape(-1) for tensor in tensors.values()]
        return torch.cat(ordered)

    def flat(self, arrays: Mapping[str, np.ndarray], vector: torch.Tensor) -> torch.Tensor:
        """Return arrays as a vector like another one; zero for a missing name."""
        spread = {}
        for name, like in self.like.items():
            given = arrays.get(name)
            values = (
                torch.zeros(like.shape, dtype=torch.float32)
                if given is None
                else torch.from_numpy(np.ascontiguousarray(given))
            )
            spread[name] = values.to(vector.device, vector.dtype)
        return self.flatten(spread, device=vector.device).to(vector.dtype)

    def views(self, vector: torch.Tensor) -> Iterator[torch.Tensor]:
        """Return the tensors that a vector consists of, as views."""
        start = 0
        for like in self.like.values():
            yield self.as_tensor(vector[start : start + like.numel()], like)
            start += like.numel()

    def as_tensor(self, piece: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return values, [..., n] in memory order, in the shape of a tensor of n entries."""
        shaped = piece.view((*piece.shape[:-1], *self._in_memory(like).shape))
        return shaped.movedim(-1, -3) if self._is_turned(like) else shaped

    def _in_memory(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.permute(0, 2, 3, 1) if self._is_turned(tensor) else tensor

    def _is_turned(self, tensor: torch.Tensor) -> bool:
        return self._channels_last and tensor.dim() == 4


def type_of(networks: nn.Module | Sequence[nn.Module]) -> torch.dtype:
    """Return the type a network computes in: float64 if its parameters are, else float32."""
    network = networks if isinstance(networks, nn.Module) else networks[0]
    floats = {p.dtype for p in network.parameters() if p.is_floating_point()}
    return torch.float64 if floats == {torch.float64} else torch.float32


def _wide(vector: torch.Tensor) -> torch.Tensor:
    """Return a point in a type that can resolve a small step along a direction."""
    is_half = vector.dtype in {torch.float16, torch.bfloat16}
    return vector.float() if is_half else vector


def _only_type(tensors: Mapping[str, torch.Tensor], otherwise: torch.dtype) -> torch.dtype:
    """Return the type of all tensors; another type if they have several."""
    types = {tensor.dtype for tensor in tensors.values()}
    return types.pop() if len(types) == 1 else otherwise


def order_channels_last(network: nn.Module) -> None:
    """Give the weights of two-dimensional convolutions the layout that their kernels read."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
