"""Compute a network's loss over whole splits along paths between points, on one device."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from landscape_mpi.compute.batch_norm import layers_with_statistics
from landscape_mpi.compute.evaluation import Setting, prepare_device
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.motion import Motion
from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.point_losses import SampleLosses
from landscape_mpi.compute.preparation import Build, counted, networks_of_threads
from landscape_mpi.compute.samples import ResidentSplit


class LossPaths(SampleLosses):
    """Hold a network, the points of its paths and its data."""

    def __init__(
        self,
        network: nn.Module,
        motion: Motion,
        splits: Mapping[str, ResidentSplit],
        setting: Setting,
        *,
        loss: Loss = CROSS_ENTROPY,
        statistics_of: ResidentSplit,
        build: Build | None = None,
    ) -> None:
        """Prepare to evaluate places of the paths.

        Args:
            network: Network on the CPU; it belongs to this object from then on.
            motion: The paths, and the network's floating-point tensors at each of their points.
            splits: Samples by name of split, on the setting's device.
            setting: How to evaluate; it applies to the whole process.
            loss: Loss of the network's outputs.
            statistics_of: Samples on which batch-norm's running statistics, if any, are measured at
                every place.
            build: Function that builds the network again for each further thread; None if threads
                may share one.
        """
        prepare_device(setting, network)
        networks = networks_of_threads(network, setting, build)
        self._network = motion.of(networks, device=setting.device.name, steps=setting.steps)
        norms = layers_with_statistics(network)
        super().__init__(
            networks,
            splits,
            setting,
            dtype=type_of(network),
            loss=loss,
            statistics_of=statistics_of if norms else None,
            preparation=f"{counted(len(norms), 'batch-norm')} kept",
        )
