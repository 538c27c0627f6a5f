"""Move the weights of networks on a plane, or on paths between points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.moving_network import CombinedNetwork, MovedNetwork
from landscape_mpi.compute.paths import Paths
from landscape_mpi.compute.steps import Steps


class Moving(Protocol):
    """Move several networks together."""

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the tensors that move."""

    @property
    def vector(self) -> torch.Tensor | None:
        """Return the vector that these tensors are views of; None if points are copied in."""

    def move_to(self, alpha: float, beta: float) -> None:
        """Give the networks the weights of a grid point."""

    def take_back(self) -> None:
        """Take the networks back after another object has moved them; see FlatNetwork."""


class Motion(ABC):
    """Describe where the points of a grid lie in weight space."""

    @abstractmethod
    def of(self, networks: Sequence[nn.Module], *, device: str, steps: Steps) -> Moving:
        """Take over networks of one architecture, in training mode, and let them move.

        Args:
            networks: One network for each thread.
            device: Device of the networks.
            steps: Steps to take.
        """


@dataclass(frozen=True)
class PlaneMotion(Motion):
    """Describe a plane: center + alpha * direction + beta * direction."""

    directions: Mapping[str, Direction]  # directions by axis

    def of(self, networks: Sequence[nn.Module], *, device: str, steps: Steps) -> Moving:
        """Take over networks at the center; see Motion."""
        alpha, beta = self.directions["alpha"], self.directions["beta"]
        return MovedNetwork(networks, alpha, beta, device=device, steps=steps)


@dataclass(frozen=True)
class PathMotion(Motion):
    """Describe paths between points: alpha is the place from 0 to 1, beta the path's number."""

    paths: Paths
    points: Sequence[Mapping[str, np.ndarray]]  # floating-point tensors, with equal names

    def of(self, networks: Sequence[nn.Module], *, device: str, steps: Steps) -> Moving:
        """Take over networks; their other tensors stay unchanged. See Motion."""
        return _OnPaths(CombinedNetwork(networks, self.points, device=device, steps=steps), self)


class _OnPaths:
    """Move networks to places on paths."""

    def __init__(self, network: CombinedNetwork, motion: PathMotion) -> None:
        self._network, self._paths = network, motion.paths

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the tensors that move."""
        return self._network.names

    @property
    def vector(self) -> torch.Tensor | None:
        """Return the vector that the tensors are views of; None if points are copied in."""
        return self._network.vector

    def move_to(self, alpha: float, beta: float) -> None:
        """Give the networks the weights of a place; both ends are exactly a point, bit for bit."""
        self._network.move_to(self._paths.weights_at(alpha, int(beta)))

    def take_back(self) -> None:
        """Take the networks back."""
        self._network.take_back()
