"""Define paths through weight space: a place on a path is a weighted sum of points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from landscape_mpi.compute.curve import path_weights


@dataclass(frozen=True)
class Paths(ABC):
    """Give the weight of each point at the places of numbered paths."""

    n_points: int

    @abstractmethod
    def weights_at(self, t: float, path: int) -> list[float]:
        """Return the weight of each point at a place; an end is a single point.

        Args:
            t: The place, from 0 to 1.
            path: Number of the path.
        """


@dataclass(frozen=True)
class CurvePaths(Paths):
    """Describe a curve and the straight line between its ends; their numbers are in curve.py."""

    kind: str  # one of curve.KINDS

    def weights_at(self, t: float, path: int) -> list[float]:
        """Return the weight of each point at a place; see Paths."""
        return path_weights(self.kind, self.n_points, t, path).tolist()


@dataclass(frozen=True)
class LinePaths(Paths):
    """Describe straight lines between points."""

    lines: tuple[tuple[int, int], ...]  # for each line the indices of its points

    def weights_at(self, t: float, path: int) -> list[float]:
        """Return the weight of each point at a place; see Paths."""
        start, end = self.lines[path]
        weights = [0.0] * self.n_points
        weights[start], weights[end] = 1 - t, t
        return weights
