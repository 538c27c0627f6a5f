"""Compute a network's losses at several points in one pass, with stacked weights.

If network and data are too small to fill a GPU, the launch of kernels dominates a pass, and several
points then share the launches. If either fills the device, a larger batch is as fast.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Evaluator, Setting, means_of, prepare_device
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.moving_network import StackedNetwork
from landscape_mpi.compute.point_losses import PointLosses, shortest_seconds_of
from landscape_mpi.compute.precision import SAME_LOSS, deviation
from landscape_mpi.compute.preparation import Build, prepare_network
from landscape_mpi.compute.samples import ResidentSplit


class StackedLossPlane:
    """Hold a prepared network, its directions and data, for ``setting.points`` points at a time."""

    def __init__(
        self,
        network: nn.Module,
        directions: Mapping[str, Direction],
        splits: Mapping[str, ResidentSplit],
        sample: torch.Tensor,
        setting: Setting,
        *,
        loss: Loss = CROSS_ENTROPY,
        build: Build | None = None,
    ) -> None:
        """Prepare to evaluate points; the arguments are those of LossPlane."""
        prepare_device(setting, network)
        prepared = prepare_network(
            network, dict(directions), sample, setting, fused=False, build=build
        )
        networks, missing = prepared.networks, setting.n_threads - len(prepared.networks)
        networks += [copy.deepcopy(networks[0]) for _ in range(missing)]
        self._setting = setting
        self._network = StackedNetwork(
            networks,
            **prepared.directions,
            n_points=setting.points,
            device=setting.device.name,
            dtype=prepared.dtype,
            steps=setting.steps,
        )
        self._splits = [samples.at_points(setting.points) for samples in splits.values()]
        self._evaluator = _StackedEvaluator(self._network, setting, dtype=prepared.dtype, loss=loss)
        self.description = f"{prepared.description}, {setting.points} points stacked"

    @property
    def launching(self) -> str:
        """Return how the batches of a pass are started; known after the first pass."""
        return self._evaluator.passes.description

    def evaluate(self, points: Sequence[tuple[float, float]]) -> np.ndarray:
        """Return mean loss and error of each split at some points.

        Args:
            points: Alpha and beta of ``setting.points`` points or fewer.

        Returns:
            float64 [n_points, 2 * n_splits].
        """
        missing = self._setting.points - len(points)
        self._network.move_to_all([*points, *[points[-1]] * missing])
        for samples in self._splits:
            self._evaluator.compute_losses(samples)
        kept = [samples.kept for samples in self._splits]
        return mean_values_of_points(kept)[: len(points)]

    def shortest_seconds(self) -> float:
        """Return the shortest time of a point over some full passes, s, after one that prepares."""
        points = spread(self._setting.points)
        return shortest_seconds_of(lambda: self.evaluate(points)) / len(points)

    def find_fault(self, plane: PointLosses) -> str | None:
        """Return how the losses differ from those of the points one by one; None if they do not.

        A point must have the same bits at any place in the stack and beside any other points,
        because ranks share the points out by their speed.

        Args:
            plane: Plane that evaluates one point, with the same setting otherwise.
        """
        points = spread(self._setting.points)
        found = self.evaluate(points)
        alone = np.array([plane.evaluate(*point) for point in points])
        difference = deviation(found[:, :1], alone[:, :1])
        if not difference <= SAME_LOSS[self._setting.precision]:
            return f"stacked the loss differs by {difference:.2g}"
        for turn in range(1, len(points)):
            turned = self.evaluate(points[turn:] + points[:turn])
            if not np.array_equal(np.roll(turned, turn, axis=0), found, equal_nan=True):
                return "the loss of a point depends on those it is stacked with"
        return None


def mean_values_of_points(kept: Sequence[tuple[torch.Tensor, ...]]) -> np.ndarray:
    """Return mean loss and error of splits at several points.

    Args:
        kept: The input of mean_values, with shapes [n_points, ...].

    Returns:
        float64 [n_points, 2 * n_splits].
    """
    columns = [values.flatten(1) for split in kept for values in split]
    totals = torch.stack([values.sum(dim=1, dtype=torch.float64) for values in columns], dim=1)
    return means_of(np.array(totals.tolist()), [tuple(v[0] for v in split) for split in kept])


def spread(n_points: int) -> list[tuple[float, float]]:
    """Return distinct points between the center and (0.5, 0.5)."""
    return [(0.5 * i / n_points, 0.5 * i / n_points) for i in range(n_points)]


class _StackedEvaluator(Evaluator):
    """Pass the outputs of all points to the loss as one long batch."""

    def _losses_and_wrong(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | bool, torch.Tensor | None]:
        n_points = len(outputs)
        repeated = targets.expand(n_points, *targets.shape).flatten(0, 1)
        losses, wrong, weights = super()._losses_and_wrong(outputs.flatten(0, 1), repeated)
        if isinstance(wrong, torch.Tensor):
            wrong = wrong.unflatten(0, (n_points, -1))
        if weights is not None:
            weights = weights.unflatten(0, (n_points, -1))
        return losses.unflatten(0, (n_points, -1)), wrong, weights
