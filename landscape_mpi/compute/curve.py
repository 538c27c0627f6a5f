"""Curves through weight space: a Bezier curve or a polygonal chain of some points.

The first and the last point are the ends. A point of the curve is a weighted sum of the points
that make it; where a weight is 1 and the others are 0, it is that point, bit for bit.

Source: Garipov et al. 2018, arXiv:1802.10026, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from landscape_mpi.compute.directions import inner
from landscape_mpi.compute.tensors import freeze

KINDS = ("bezier", "polygon")
CURVE, STRAIGHT_LINE = 0, 1  # paths from end to end, by number

Point = Mapping[str, np.ndarray]  # tensors of a network by name


def weights_at(kind: str, n_points: int, t: float) -> np.ndarray:
    """Return how much each point counts at a place of the curve.

    Args:
        kind: One of KINDS.
        n_points: Points that make the curve, at least 2.
        t: Place, from 0 to 1.

    Returns:
        float64 [n_points], from 0 to 1; their sum is 1.

    Source: Garipov et al. 2018, arXiv:1802.10026, section 3.2, for any number of points.
    """
    last = n_points - 1
    if kind == "polygon":
        # The place among the points: from k to k + 1 the weight of the one goes to the other.
        return np.maximum(0.0, 1.0 - np.abs(t * last - np.arange(n_points)))
    counts = np.array([math.comb(last, k) for k in range(n_points)], np.float64)
    k = np.arange(n_points)
    return counts * t**k * (1.0 - t) ** (last - k)


def path_weights(kind: str, n_points: int, t: float, path: int) -> np.ndarray:
    """Return how much each point counts at a place of a path, float64 [n_points].

    Args:
        kind: Of the curve, one of KINDS.
        n_points: Points that make the curve.
        t: Place, from 0 to 1.
        path: CURVE, or STRAIGHT_LINE between its ends.
    """
    if path == CURVE:
        return weights_at(kind, n_points, t)
    weights = np.zeros(n_points)
    weights[[0, -1]] = weights_at("polygon", 2, t)
    return weights


def path_lengths(
    points: Sequence[Point], names: Sequence[str], kind: str, places: np.ndarray
) -> np.ndarray:
    """Return the length of the curve, and of the straight line, from t = 0 to each place.

    Args:
        points: Tensors at each point that makes the curve, by name.
        names: Of those that count.
        kind: Of the curve, one of KINDS.
        places: Rising, float64 [n].

    Returns:
        float64 [n, 2], the sum of the distances between one place and the next.
    """
    n_points = len(points)
    # Inner products of the points less the first: those of the points would lose digits.
    moved = [
        {name: point[name].astype(np.float64) - points[0][name] for name in names}
        for point in points
    ]
    gram = np.array([[inner(a, b) for b in moved] for a in moved])
    lengths = np.zeros((len(places), 2))
    for path in (CURVE, STRAIGHT_LINE):
        weights = np.stack([path_weights(kind, n_points, t, path) for t in places])
        steps = np.diff(weights, axis=0)
        squares = np.einsum("ik,kl,il->i", steps, gram, steps)
        lengths[1:, path] = np.cumsum(np.sqrt(np.maximum(squares, 0.0)))
    return lengths


def combine(points: torch.Tensor, weights: Sequence[float], out: torch.Tensor) -> torch.Tensor:
    """Fill a vector with a weighted sum of points; a point alone comes out exactly.

    Args:
        points: [n_points, n].
        weights: [n_points].
        out: [n], of the type of the points.
    """
    used = [k for k, weight in enumerate(weights) if weight != 0]
    if len(used) == 1 and weights[used[0]] == 1:
        return out.copy_(points[used[0]])
    torch.mul(points[used[0]], float(weights[used[0]]), out=out)
    for k in used[1:]:
        out.add_(points[k], alpha=float(weights[k]))
    return out


def straight_points(start: Point, end: Point, n_points: int) -> list[dict[str, np.ndarray]]:
    """Return points on the straight line between two ends, evenly spaced; the ends are exact.

    Args:
        start: Parameters and buffers of a network by name.
        end: Of the same network.
        n_points: How many, both ends among them.

    Returns:
        Tensors by name of each point; whole numbers, as of counters, are those of the nearer end.
    """
    return [
        {name: _between(start[name], end[name], k / (n_points - 1)) for name in start}
        for k in range(n_points)
    ]


def _between(first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
    if not np.issubdtype(first.dtype, np.floating):
        return (first if t <= 0.5 else second).copy()
    both = torch.from_numpy(np.stack([first, second]))
    weights = weights_at("polygon", 2, t).tolist()
    return combine(both, weights, torch.empty_like(both[0])).numpy()


class CurveNetwork(nn.Module):
    """A network whose weights lie somewhere on a curve: its parameters are the curve's points.

    In training every pass has weights of a place t of its own, uniform from 0 to 1.
    """

    def __init__(
        self, network: nn.Module, points: Sequence[Point], *, kind: str, free_ends: bool = False
    ) -> None:
        """Take a network and the points of the curve.

        Args:
            network: Any; its parameters become those of the place, by functional_call. It
                belongs to this from then on.
            points: The values of its parameters that are trained, by name, at each point.
            kind: One of KINDS.
            free_ends: Whether the ends are trained too.
        """
        super().__init__()
        self._computed: _Computed
        self.kind = kind
        self.t: float | None = None  # of the last pass
        self.square_norm = torch.zeros(())  # of the weights of the last pass, for a penalty
        trained = trained_parameters(network)
        self._shapes = {name: parameter.shape for name, parameter in trained.items()}
        names = {parameter: name for name, parameter in trained.items()}
        everywhere = network.named_parameters(remove_duplicate=False)
        self._shared = {n: names[p] for n, p in everywhere if p in names and names[p] != n}
        flat = torch.stack([_flat(point, trained) for point in points])
        n_fixed = 0 if free_ends else 2
        self._order = _ends_first(len(points), n_fixed)
        # A parameter, not a buffer: those are sent to all ranks before every pass.
        self.fixed = nn.Parameter(flat[self._order[:n_fixed]].clone(), requires_grad=False)
        self.free = nn.Parameter(flat[self._order[n_fixed:]].clone())
        self.network = network
        freeze(network)
        self.computing(lambda network, inputs: network(inputs))

    @property
    def points(self) -> torch.Tensor:
        """Return the points in the order of the curve, detached, [n_points, n_weights]."""
        stacked = torch.cat([self.fixed, self.free]).detach()
        return stacked[np.argsort(self._order).tolist()]

    def named_points(self) -> list[dict[str, torch.Tensor]]:
        """Return the values of the trained parameters at each point, on the CPU.

        A parameter of two names is there under both.
        """
        found = []
        for point in self.points.cpu():
            tensors = {name: tensor.clone() for name, tensor in self._by_name(point).items()}
            found.append(tensors | {other: tensors[name] for other, name in self._shared.items()})
        return found

    def computing(self, function: Callable[[nn.Module, Any], Any]) -> CurveNetwork:
        """Let a function of network and inputs be computed in the place of the outputs.

        Args:
            function: Called with the network, which has the weights of a place meanwhile, however
                it is used: called several times, by parts, differentiated.

        Returns:
            The same curve.
        """
        # No submodule: its parameters would be told twice.
        object.__setattr__(self, "_computed", _Computed(self.network, function))
        return self

    def forward(self, inputs: Any) -> Any:
        """Return the outputs at a place drawn at random, or at ``t`` outside training.

        Raises:
            ValueError: If the place is not known.
        """
        if self.training:
            # Drawn in float64: of the ends themselves the bends have no gradient.
            self.t = float(torch.rand((), dtype=torch.float64))
        if self.t is None:
            raise ValueError("t is not set")
        return self.at(self.t, inputs)

    def at(self, t: float, inputs: Any) -> Any:
        """Return the outputs at a place of the curve, with gradients of the points."""
        weights = weights_at(self.kind, len(self._order), t)[self._order]
        known = torch.from_numpy(weights).to(self.free)
        n_fixed = len(self.fixed)
        # The place itself stays in the type of the points, whatever the network computes in.
        with torch.autocast(self.free.device.type, enabled=False):
            place = known[:n_fixed] @ self.fixed + known[n_fixed:] @ self.free
            self.square_norm = place.square().sum()
        tensors = {f"network.{name}": tensor for name, tensor in self._by_name(place).items()}
        return functional_call(self._computed, tensors, (inputs,))

    def _by_name(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        pieces = zip(self._shapes.items(), vector.split(sizes), strict=True)
        return {name: piece.view(shape) for (name, shape), piece in pieces}


class _Computed(nn.Module):
    """A function of a network and its inputs."""

    def __init__(self, network: nn.Module, function: Callable[[nn.Module, Any], Any]) -> None:
        super().__init__()
        self.network, self._function = network, function

    def forward(self, inputs: Any) -> Any:
        return self._function(self.network, inputs)


def trained_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of a network that are not frozen, by name."""
    return {n: p for n, p in network.named_parameters() if p.requires_grad}


def _flat(point: Point, like: Mapping[str, torch.Tensor]) -> torch.Tensor:
    tensors = [torch.as_tensor(point[name], dtype=like[name].dtype) for name in like]
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _ends_first(n_points: int, n_fixed: int) -> list[int]:
    """Return the points in the order in which they are kept: those that are fixed, the others."""
    ends = [0, n_points - 1][:n_fixed]
    return [*ends, *(k for k in range(n_points) if k not in ends)]
