"""Draw curves through weight space: Bezier curves and polygonal chains.

The first and the last of the points that define a curve are its ends. Each place on the curve is a
weighted sum of these points. If one weight is 1 and the others are 0, the result is that point, bit
for bit.

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
CURVE, STRAIGHT_LINE = 0, 1  # numbers of the paths from end to end

Point = Mapping[str, np.ndarray]  # tensors of a network, by name


def weights_at(kind: str, n_points: int, t: float) -> np.ndarray:
    """Return the weight of each point at a place of the curve.

    Args:
        kind: One of KINDS.
        n_points: Number of points that define the curve, at least 2.
        t: Place, from 0 to 1.

    Returns:
        Weights from 0 to 1, float64 [n_points]; their sum is 1.

    Source: Garipov et al. 2018, arXiv:1802.10026, section 3.2, for any number of points.
    """
    last = n_points - 1
    if kind == "polygon":
        # Place among the points: from k to k + 1 the weight moves from one point to the next.
        return np.maximum(0.0, 1.0 - np.abs(t * last - np.arange(n_points)))
    counts = np.array([math.comb(last, k) for k in range(n_points)], np.float64)
    k = np.arange(n_points)
    return counts * t**k * (1.0 - t) ** (last - k)


def path_weights(kind: str, n_points: int, t: float, path: int) -> np.ndarray:
    """Return the weight of each point at a place of a path, float64 [n_points].

    Args:
        kind: Kind of the curve, one of KINDS.
        n_points: Number of points that define the curve.
        t: Place, from 0 to 1.
        path: CURVE, or STRAIGHT_LINE between the ends of the curve.
    """
    if path == CURVE:
        return weights_at(kind, n_points, t)
    weights = np.zeros(n_points)
    weights[[0, -1]] = weights_at("polygon", 2, t)
    return weights


def path_lengths(
    points: Sequence[Point], names: Sequence[str], kind: str, places: np.ndarray
) -> np.ndarray:
    """Return the lengths of the curve and of the straight line from t = 0 to each place.

    Args:
        points: Tensors at each point that defines the curve, by name.
        names: Names of the tensors that count.
        kind: Kind of the curve, one of KINDS.
        places: Places in rising order, float64 [n].

    Returns:
        Sums of the distances between successive places, float64 [n, 2].
    """
    n_points = len(points)
    # Inner products of differences from the first point; those of the points would lose digits.
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
    """Fill a vector with a weighted sum of points; a single point is copied exactly.

    Args:
        points: Points, [n_points, n].
        weights: Weights, [n_points].
        out: Result, [n], of the type of the points.
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
        end: The same at the other end.
        n_points: Number of points, both ends included.

    Returns:
        Tensors of each point, by name; integers, such as counters, are those of the nearer end.
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
    """Compute a network at a place of a curve; the curve's points are the parameters.

    In training each pass draws a new place t, uniform from 0 to 1.
    """

    def __init__(
        self, network: nn.Module, points: Sequence[Point], *, kind: str, free_ends: bool = False
    ) -> None:
        """Take a network and the points of the curve.

        Args:
            network: Any network; functional_call gives it the parameters of a place. It belongs to
                the curve from then on.
            points: Values of the network's trained parameters at each point, by name.
            kind: One of KINDS.
            free_ends: Whether the ends are trained as well.
        """
        super().__init__()
        self._computed: _Computed
        self.kind = kind
        self.t: float | None = None  # place of the last pass
        # L2 norm of the weights of the last pass, for a penalty.
        self.square_norm = torch.zeros((), dtype=torch.float32)
        trained = trained_parameters(network)
        self._shapes = {name: parameter.shape for name, parameter in trained.items()}
        names = {parameter: name for name, parameter in trained.items()}
        everywhere = network.named_parameters(remove_duplicate=False)
        self._shared = {n: names[p] for n, p in everywhere if p in names and names[p] != n}
        flat = torch.stack([_flat(point, trained) for point in points])
        n_fixed = 0 if free_ends else 2
        self._order = _ends_first(len(points), n_fixed)
        # A parameter, because buffers are sent to all ranks before every pass.
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

        A parameter with two names appears under both.
        """
        found = []
        for point in self.points.cpu():
            tensors = {name: tensor.clone() for name, tensor in self._by_name(point).items()}
            found.append(tensors | {other: tensors[name] for other, name in self._shared.items()})
        return found

    def computing(self, function: Callable[[nn.Module, Any], Any]) -> CurveNetwork:
        """Return this curve with a function of network and inputs in place of the outputs.

        Args:
            function: Function that is called with the network, which has the weights of a place
                during the call. It may call the network several times, call its parts, or
                differentiate it.

        Returns:
            The same curve.
        """
        # Not a submodule: its parameters would be listed twice.
        object.__setattr__(self, "_computed", _Computed(self.network, function))
        return self

    def forward(self, inputs: Any) -> Any:
        """Return the outputs at a place drawn at random, or at ``t`` outside training.

        Raises:
            ValueError: If ``t`` is not set outside training.
        """
        if self.training:
            # Drawn in float64, so that it does not round to an end, where the bends have no
            # gradient.
            self.t = float(torch.rand((), dtype=torch.float64))
        if self.t is None:
            raise ValueError("t is not set")
        return self.at(self.t, inputs)

    def at(self, t: float, inputs: Any) -> Any:
        """Return the outputs at a place of the curve, with gradients for the points."""
        weights = weights_at(self.kind, len(self._order), t)[self._order]
        known = torch.from_numpy(weights).to(self.free)
        n_fixed = len(self.fixed)
        # The place keeps the type of the points, whatever type the network computes in.
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
    """Wrap a function of a network and its inputs as a module."""

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
    """Return the points in the order of storage: first the fixed ones, then the others."""
    ends = [0, n_points - 1][:n_fixed]
    return [*ends, *(k for k in range(n_points) if k not in ends)]
