"""A network's losses over whole splits, on one device, at points of what its weights move on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_norm import BatchNormStatistics
from landscape_mpi.compute.compilation import compiled
from landscape_mpi.compute.evaluation import Evaluator, Setting, mean_values
from landscape_mpi.compute.losses import Loss
from landscape_mpi.compute.samples import ResidentSplit

TIMED_RUNS = 3


class PointLosses(ABC):
    """A network on its device, and its data; where its weights move, a subclass knows."""

    def __init__(
        self,
        network: nn.Module,
        splits: Mapping[str, ResidentSplit],
        setting: Setting,
        *,
        dtype: torch.dtype,
        loss: Loss,
        statistics_of: ResidentSplit | None,
        preparation: str,
    ) -> None:
        """Prepare to evaluate.

        Args:
            network: In evaluation mode on the setting's device.
            splits: Samples by the name of their split, on the setting's device.
            setting: How to evaluate.
            dtype: Type of the network's weights.
            loss: What is made of its outputs.
            statistics_of: Samples on which batch-norm's running statistics are measured at every
                point; None to leave them as they are.
            preparation: What was done to the network, for the log and the file.
        """
        self.description = preparation + (", compiled" if setting.compiled else "")
        self._splits = splits
        network_or_code = compiled(network) if setting.compiled else network
        self._evaluator = Evaluator(network_or_code, setting, dtype=dtype, loss=loss)
        self._training, self._statistics = statistics_of, None
        if statistics_of is not None:
            self._statistics = BatchNormStatistics(
                network, batch=setting.batch, threads=setting.threads
            )
            self.description += f", the statistics of {self._statistics.n_layers} measured anew"

    @abstractmethod
    def _move_to(self, alpha: float, beta: float) -> None:
        """Give the network the weights of a point."""

    @property
    def launching(self) -> str:
        """How the batches of a point are started, known once a point is computed."""
        return self._evaluator.passes.description

    def compute_losses(self, alpha: float, beta: float) -> None:
        """Fill the losses of every sample of every split with those of a point."""
        self._move_to(alpha, beta)
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
        return shortest_seconds_of(lambda: self.evaluate(alpha, beta))

    def check_is_function(self, samples: ResidentSplit) -> float:
        """Check that the losses depend on weights and samples alone.

        Args:
            samples: One batch to try, on the device.

        Returns:
            Mean loss of that batch at (0, 0), with the statistics that are there.

        Raises:
            InputError: If they change from one pass to the next, or with the rest of the batch.
        """
        self._move_to(0.0, 0.0)
        return self._evaluator.check_is_function(samples)


def shortest_seconds_of(work: Callable[[], object]) -> float:
    """Return the shortest time of some work in some runs, s, after one that prepares."""
    work()
    seconds = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
