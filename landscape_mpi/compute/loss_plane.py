"""Compute a network's loss over whole splits at points of a plane, on one device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting, prepare_device
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.moving_network import MovedNetwork
from landscape_mpi.compute.point_losses import SampleLosses
from landscape_mpi.compute.preparation import Build, prepare_network
from landscape_mpi.compute.samples import ResidentSplit


class LossPlane(SampleLosses):
    """Hold a prepared network, its directions and its data."""

    def __init__(
        self,
        network: nn.Module,
        directions: Mapping[str, Direction],
        splits: Mapping[str, ResidentSplit],
        sample: torch.Tensor,
        setting: Setting,
        *,
        loss: Loss = CROSS_ENTROPY,
        statistics_of: ResidentSplit | None = None,
        build: Build | None = None,
    ) -> None:
        """Prepare to evaluate points.

        Args:
            network: Network with its weights, on the CPU; it belongs to the plane from then on.
            directions: Directions by axis, for the network's parameters and buffers.
            splits: Samples by name of split, on the setting's device.
            sample: Some samples as the network sees them, on the CPU.
            setting: How to evaluate; it applies to the whole process until the next plane.
            loss: Loss of the network's outputs.
            statistics_of: Samples on which batch-norm's running statistics are measured at every
                point; None to keep them fixed.
            build: Function that builds the network again for each further thread; None if threads
                may share one.
        """
        prepare_device(setting, network)
        keep_norms = statistics_of is not None
        prepared = prepare_network(
            network, dict(directions), sample, setting, keep_norms=keep_norms, build=build
        )
        # Before the evaluator looks at the layers: this step puts them on the device.
        self._network = MovedNetwork(
            prepared.networks,
            **prepared.directions,
            device=setting.device.name,
            dtype=prepared.dtype,
            steps=setting.steps,
        )
        super().__init__(
            prepared.networks,
            splits,
            setting,
            dtype=prepared.dtype,
            loss=loss,
            statistics_of=statistics_of,
            preparation=prepared.description,
        )
