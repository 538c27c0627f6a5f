"""Compute the gradient of the mean loss at the points of a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from landscape_mpi.compute.batch_losses import BatchLosses
from landscape_mpi.compute.derivative_plane import DerivativePlane
from landscape_mpi.compute.derivatives import differentiate
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.preparation import Build
from landscape_mpi.compute.problem_network import ProblemNetwork


@dataclass(frozen=True)
class GradientSums:
    """Hold sums over the batches of a rank; added up over ranks they give the whole."""

    loss: float
    weight: float  # sum of the weights of the losses; their mean is loss / weight
    gradient: torch.Tensor  # gradient of the loss, float64 [n_parameters], on the device

    @property
    def mean_loss(self) -> float:
        """Return the mean loss; NaN if no sample counts."""
        return self.loss / self.weight if self.weight else math.nan

    @property
    def norm(self) -> float:
        """Return the L2 norm of the gradient of the mean loss; NaN if no sample counts."""
        length = float(torch.linalg.vector_norm(self.gradient))
        return length / abs(self.weight) if self.weight else math.nan


class GradientPlane(DerivativePlane):
    """Compute the gradient of a network's mean loss at points of its plane."""

    def __init__(
        self,
        network: nn.Module | ProblemNetwork,
        directions: Mapping[str, Direction],
        losses: BatchLosses,
        setting: Setting,
        *,
        parameters: Sequence[str],
        build: Build | None = None,
    ) -> None:
        """Prepare the network; see DerivativePlane.

        Args:
            network: Network with its weights, or a problem's network.
            directions: Directions by axis, for the network's parameters and buffers.
            losses: Losses of this rank's batches, on the setting's device.
            setting: How to compute; it applies to the whole process.
            parameters: Names of the parameters to differentiate by.
            build: Function that builds the network again for a further thread; None if threads may
                share one.
        """
        super().__init__(
            network,
            directions,
            losses,
            setting,
            parameters=parameters,
            what="the gradient",
            build=build,
        )

    def norm_at(self, alpha: float, beta: float) -> float:
        """Return the norm of the gradient of the mean loss over this rank's batches at a point."""
        return self.sums_at(alpha, beta).norm

    def sums_at(self, alpha: float, beta: float) -> GradientSums:
        """Return loss and gradient at a point, summed over this rank's batches in their order.

        NaN and infinity are results.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
        """
        self._go(alpha, beta)
        total = torch.zeros_like(self._scale, dtype=torch.float64)
        loss = torch.zeros((), dtype=torch.float64, device=total.device)
        weight, threads = torch.zeros_like(loss), self._setting.n_threads
        for start in self._indices[::threads]:
            indices = self._indices[start : start + threads]  # few gradients at the same time
            for its_loss, its_weight, gradient in self._pool.map(self._batch, indices):
                total += gradient
                loss += its_loss
                weight += its_weight
        return GradientSums(float(loss), float(weight), total.mul_(self._scale))

    def _batch(self, index: int) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        with self._network_alone() as (network, own):
            with torch.enable_grad():
                loss, weight = self._losses.summed(network, index)
            gradient = self._flattened(differentiate((loss,), own, retain_graph=False))
        return loss.detach(), weight, gradient
