"""What the weights of networks move on: a plane, or paths between points."""

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
    """Networks that move together."""

    @property
    def names(self) -> frozenset[str]:
        """Names of the tensors that move."""

    @property
    def vector(self) -> torch.Tensor | None:
        """The vector that these tensors are views of; None where points are copied into them."""

    def move_to(self, alpha: float, beta: float) -> None:
        """Give them the weights of a point of the grid."""

    def take_back(self) -> None:
        """Take them again after another object has moved them; see FlatNetwork."""


class Motion(ABC):
    """Where the points of a grid lie in weight space."""

    @abstractmethod
    def of(self, networks: Sequence[nn.Module], *, device: str, steps: Steps) -> Moving:
        """Take over networks that are alike, in training mode, and let them move.

        Args:
            networks: One for each thread.
            device: Where they compute.
            steps: Which of them are taken.
        """


@dataclass(frozen=True)
class PlaneMotion(Motion):
    """A plane: center + alpha * direction + beta * direction."""

    directions: Mapping[str, Direction]  # by axis

    def of(self, networks: Sequence[nn.Module], *, device: str, steps: Steps) -> Moving:
        """Take over networks at the center; see Motion."""
        alpha, beta = self.directions["alpha"], self.directions["beta"]
        return MovedNetwork(networks, alpha, beta, device=device, steps=steps)


@dataclass(frozen=True)
class PathMotion(Motion):
    """Paths between points: alpha is the place from 0 to 1, beta the number of the path."""

    paths: Paths
    points: Sequence[Mapping[str, np.ndarray]]  # floating-point tensors, the same names for each

    def of(self, networks: Sequence[nn.Module], *, device: str, steps: Steps) -> Moving:
        """Take over networks, whose other tensors stay as they are; see Motion."""
        return _OnPaths(CombinedNetwork(networks, self.points, device=device, steps=steps), self)


class _OnPaths:
    """Networks at places of paths."""

    def __init__(self, network: CombinedNetwork, motion: PathMotion) -> None:
        self._network, self._paths = network, motion.paths

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the tensors that move."""
        return self._network.names

    @property
    def vector(self) -> torch.Tensor | None:
        """Return the vector that they are views of; None where points are copied into them."""
        return self._network.vector

    def move_to(self, alpha: float, beta: float) -> None:
        """Give the networks the weights of a place; at both ends those of a point, bit for bit."""
        self._network.move_to(self._paths.weights_at(alpha, int(beta)))

    def take_back(self) -> None:
        """Take the networks again."""
        self._network.take_back()
