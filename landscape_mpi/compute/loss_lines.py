"""A network's loss over whole splits along straight lines between several solutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from landscape_mpi.compute.curve import Point
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_curve import LossCurve
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.samples import ResidentSplit


class LossLines(LossCurve):
    """A network, the ends of the lines and its data."""

    def __init__(
        self,
        network: nn.Module,
        points: Sequence[Point],
        lines: Sequence[tuple[int, int]],
        splits: Mapping[str, ResidentSplit],
        setting: Setting,
        *,
        loss: Loss = CROSS_ENTROPY,
        statistics_of: ResidentSplit,
    ) -> None:
        """Prepare to evaluate places of the lines.

        Args:
            network: Float32, in evaluation mode, on the CPU; it belongs to this from then on.
            points: Its floating-point tensors at each end.
            lines: Of each line the numbers of the points at t = 0 and at t = 1.
            splits: Samples by the name of their split, on the setting's device.
            setting: How to evaluate. It holds for the whole process.
            loss: What is made of the network's outputs.
            statistics_of: Samples on which batch-norm's running statistics, where there are any,
                are measured at every place.
        """
        super().__init__(
            network, points, "polygon", splits, setting, loss=loss, statistics_of=statistics_of
        )
        self._lines = lines

    def _move_to(self, alpha: float, beta: float) -> None:
        """Give the network the weights of a place.

        Args:
            alpha: The place t, from 0 to 1; at both the weights are those of an end, bit for bit.
            beta: Number of the line.
        """
        start, end = self._lines[int(beta)]
        weights = [0.0] * self._n_points
        weights[start], weights[end] = 1 - alpha, alpha
        self._network.move_to(weights)
