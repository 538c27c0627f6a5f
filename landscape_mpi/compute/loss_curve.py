"""A network's loss over whole splits along a curve, and along the straight line beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from landscape_mpi.compute.curve import Point, path_weights
from landscape_mpi.compute.evaluation import Setting, prepare_device
from landscape_mpi.compute.folding import BATCH_NORMS
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.plane import CombinedNetwork
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.samples import ResidentSplit


class LossCurve(PointLosses):
    """A network, the points of a curve and its data."""

    def __init__(
        self,
        network: nn.Module,
        points: Sequence[Point],
        kind: str,
        splits: Mapping[str, ResidentSplit],
        setting: Setting,
        *,
        loss: Loss = CROSS_ENTROPY,
        statistics_of: ResidentSplit,
    ) -> None:
        """Prepare to evaluate places of the curve.

        Args:
            network: Float32, in evaluation mode, on the CPU; it belongs to this from then on.
            points: Its floating-point tensors at each point that makes the curve.
            kind: One of curve.KINDS.
            splits: Samples by the name of their split, on the setting's device.
            setting: How to evaluate. It holds for the whole process.
            loss: What is made of the network's outputs.
            statistics_of: Samples on which batch-norm's running statistics, where there are any,
                are measured at every place.
        """
        prepare_device(setting, network)
        self._kind, self._n_points = kind, len(points)
        self._network = CombinedNetwork(network, points, device=setting.device)
        norms = [m for m in network.modules() if isinstance(m, BATCH_NORMS)]
        measured = any(m.running_mean is not None for m in norms)
        super().__init__(
            network,
            splits,
            setting,
            dtype=torch.float32,
            loss=loss,
            statistics_of=statistics_of if measured else None,
            preparation=f"{len(norms)} batch-norms kept",
        )

    def _move_to(self, alpha: float, beta: float) -> None:
        """Give the network the weights of a place.

        Args:
            alpha: The place t, from 0 to 1; at both the weights are those of an end, bit for bit.
            beta: The path: curve.CURVE or curve.STRAIGHT_LINE.
        """
        weights = path_weights(self._kind, self._n_points, alpha, int(beta))
        self._network.move_to(weights.tolist())
