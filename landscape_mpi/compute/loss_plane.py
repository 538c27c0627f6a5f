"""A network's loss over whole splits at the points of a plane, on one device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_norm import BatchNormStatistics
from landscape_mpi.compute.compilation import compiled
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import (
    Evaluator,
    Setting,
    mean_values,
    prepare_device,
)
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.plane import MovedNetwork
from landscape_mpi.compute.preparation import prepare_network
from landscape_mpi.compute.samples import ResidentSplit

TIMED_RUNS = 3


class LossPlane:
    """A prepared network, its directions and its data."""

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
    ) -> None:
        """Prepare to evaluate points.

        Args:
            network: Float32, in evaluation mode, on the CPU; it belongs to the plane from then on.
            directions: By axis, on the network's parameters and buffers.
            splits: Samples by the name of their split, on the setting's device.
            sample: Some samples as the network sees them, on the CPU.
            setting: How to evaluate. It holds for the whole process, until the next plane.
            loss: What is made of the network's outputs.
            statistics_of: Samples on which batch-norm's running statistics are measured at every
                point; None to leave them as they are.
        """
        prepare_device(setting)
        keep_norms = statistics_of is not None
        prepared = prepare_network(
            network, dict(directions), sample, setting, keep_norms=keep_norms
        )
        self.description = prepared.description + (", compiled" if setting.compiled else "")
        self._splits = splits
        self._network = MovedNetwork(
            prepared.network, **prepared.directions, device=setting.device, dtype=prepared.dtype
        )
        network_or_code = compiled(prepared.network) if setting.compiled else prepared.network
        self._evaluator = Evaluator(network_or_code, setting, dtype=prepared.dtype, loss=loss)
        self._training, self._statistics = statistics_of, None
        if statistics_of is not None:
            self._statistics = BatchNormStatistics(
                prepared.network, batch=setting.batch, threads=setting.threads
            )
            self.description += f", the statistics of {self._statistics.n_layers} measured anew"

    @property
    def launching(self) -> str:
        """How the batches of a point are started, known once a point is computed."""
        return self._evaluator.passes.description

    def compute_losses(self, alpha: float, beta: float) -> None:
        """Fill the losses of every sample of every split with those of a point."""
        self._network.move_to(alpha, beta)
        if self._training is not None and self._statistics is not None:
            run = partial(self._evaluator.outputs, self._training)
            self._statistics.update(len(self._training), run)
        for samples in self._splits.values():
            self._evaluator.compute_losses(samples)

    def evaluate(self, alpha: float, beta: float) -> np.ndarray:
        """Return mean loss and error of each split at a point, float64 [2 * n_splits]."""
        self.compute_losses(alpha, beta)
        return mean_values([(s.losses, s.wrong) for s in self._splits.values()])

    def shortest_seconds(self, alpha: float, beta: float) -> float:
        """Return the shortest time of a point in some runs, s, of which the first prepares."""
        self.evaluate(alpha, beta)
        seconds = []
        for _ in range(TIMED_RUNS):
            began = time.perf_counter()
            self.evaluate(alpha, beta)
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    def check_is_function(self, samples: ResidentSplit) -> float:
        """Check that the losses depend on weights and samples alone.

        Args:
            samples: One batch to try, on the device.

        Returns:
            Mean loss of that batch at the center.

        Raises:
            InputError: If they change from one pass to the next, or with the rest of the batch.
        """
        self._network.move_to(0.0, 0.0)
        return self._evaluator.check_is_function(samples)
