"""Paths through weight space: a place of a path is a weighted sum of some points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from landscape_mpi.compute.curve import path_weights


@dataclass(frozen=True)
class Paths(ABC):
    """Paths by number, and how much each point counts at their places."""

    n_points: int

    @abstractmethod
    def weights_at(self, t: float, path: int) -> list[float]:
        """Return how much each point counts at a place; an end is one point alone.

        Args:
            t: The place, from 0 to 1.
            path: Number of the path.
        """


@dataclass(frozen=True)
class CurvePaths(Paths):
    """A curve, and the straight line beside it: curve.CURVE and curve.STRAIGHT_LINE."""

    kind: str  # one of curve.KINDS

    def weights_at(self, t: float, path: int) -> list[float]:
        """Return how much each point counts at a place; see Paths."""
        return path_weights(self.kind, self.n_points, t, path).tolist()


@dataclass(frozen=True)
class LinePaths(Paths):
    """Straight lines between points."""

    lines: tuple[tuple[int, int], ...]  # of each line the numbers of its points

    def weights_at(self, t: float, path: int) -> list[float]:
        """Return how much each point counts at a place; see Paths."""
        start, end = self.lines[path]
        weights = [0.0] * self.n_points
        weights[start], weights[end] = 1 - t, t
        return weights
