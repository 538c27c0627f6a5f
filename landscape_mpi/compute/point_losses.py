"""Compute a network's losses over whole splits, on one device, as its weights move.

The problem determines what a split holds: samples that share one array (ResidentSplit), or batches
of any form (ProblemSplit).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_norm import BatchNormStatistics
from landscape_mpi.compute.compilation import compiled
from landscape_mpi.compute.evaluation import Evaluator, Setting, mean_values
from landscape_mpi.compute.losses import Loss
from landscape_mpi.compute.motion import Moving
from landscape_mpi.compute.moving_network import FreeNetworks
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tensors import tensors_named
from landscape_mpi.compute.thread_watch import ThreadWatch

TIMED_RUNS = 3


Split = TypeVar("Split")


class PointLosses(ABC, Generic[Split]):
    """Hold a network on its device, and its data; a subclass defines how its weights move."""

    description: str  # how the network was prepared, for the log and the file

    @property
    @abstractmethod
    def launching(self) -> str:
        """Return how the batches of a point are started; known after the first point."""

    @abstractmethod
    def compute_losses(self, alpha: float, beta: float) -> None:
        """Fill in every split the losses of a point."""

    @abstractmethod
    def evaluate(self, alpha: float, beta: float) -> np.ndarray:
        """Return the mean values of each split at a point, float64 [n_splits * n_values]."""

    @abstractmethod
    def losses_at(self, alpha: float, beta: float, samples: Split) -> torch.Tensor:
        """Return the loss of every row of a split at a point.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device; they need not belong to the plane's own splits.
        """

    @abstractmethod
    def look_at(
        self, alpha: float, beta: float, samples: Split, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's outputs for some rows at a point, and their losses.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device; they need not be of the plane's own splits.
            rows: Rows of a batch.
        """

    @abstractmethod
    def thread_hazard(self, alpha: float, beta: float, samples: Split) -> str | None:
        """Return why threads would disturb each other; None if a call does nothing of the kind.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device, in one batch.
        """

    @abstractmethod
    def forget(self, samples: Split) -> None:
        """Free the memory kept for samples that will not be evaluated again."""

    @abstractmethod
    def take(self, splits: Mapping[str, Split], statistics_of: Split) -> None:
        """Evaluate other samples from now on.

        Args:
            splits: Samples by the name of their split, on the device.
            statistics_of: Samples on which running statistics are measured, if at all.
        """

    def shortest_seconds(self, alpha: float, beta: float) -> float:
        """Return the shortest time of a point over some runs, s; the first run only prepares."""
        return shortest_seconds_of(lambda: self.evaluate(alpha, beta))


class SampleLosses(PointLosses[ResidentSplit]):
    """Compute the losses of samples that share one array, with a prepared fast network."""

    _network: Moving  # moves the networks; a subclass sets it

    def __init__(
        self,
        networks: Sequence[nn.Module],
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
            networks: One network in evaluation mode on the setting's device, or one for each
                thread.
            splits: Samples by the name of their split, on the setting's device.
            setting: How to evaluate.
            dtype: Type of the network's weights.
            loss: Loss of its outputs.
            statistics_of: Samples on which batch-norm's running statistics are measured at every
                point; None to keep them fixed.
            preparation: How the network was prepared, for the log and the file.
        """
        self.description = preparation + (", compiled" if setting.compiled else "")
        self._splits, self._own = splits, networks[0]
        self._evaluator = Evaluator(_callable(networks, setting), setting, dtype=dtype, loss=loss)
        self._training, self._statistics = statistics_of, None
        if statistics_of is not None:
            self._statistics = BatchNormStatistics(
                networks, batch=setting.batch, threads=setting.n_threads
            )
            self._statistics.try_layers(
                len(statistics_of), partial(self._evaluator.outputs, statistics_of)
            )
            self.description += f", {self._statistics.description}"

    def _move_to(self, alpha: float, beta: float) -> None:
        """Give the network the weights of a point."""
        self._network.move_to(alpha, beta)

    @property
    def launching(self) -> str:
        """Return how the batches of a point are started; known after the first point."""
        return self._evaluator.passes.description

    def compute_losses(self, alpha: float, beta: float) -> None:
        """Fill in the losses of every sample of every split at a point."""
        self._move_to(alpha, beta)
        if self._training is not None and self._statistics is not None:
            run = partial(self._evaluator.outputs, self._training)
            self._statistics.update(len(self._training), run)
        for samples in self._splits.values():
            self._evaluator.compute_losses(samples)

    def evaluate(self, alpha: float, beta: float) -> np.ndarray:
        """Return mean loss and error of each split at a point, float64 [2 * n_splits]."""
        self.compute_losses(alpha, beta)
        return mean_values([samples.kept for samples in self._splits.values()])

    def losses_at(self, alpha: float, beta: float, samples: ResidentSplit) -> torch.Tensor:
        """Return the loss of every sample at a point, with the current running statistics.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device; they need not belong to the plane's own splits.
        """
        self._move_to(alpha, beta)
        self._evaluator.compute_losses(samples)
        return samples.losses

    def forget(self, samples: ResidentSplit) -> None:
        """Free the memory kept for samples that will not be evaluated again."""
        self._evaluator.passes.forget(samples)

    def look_at(
        self, alpha: float, beta: float, samples: ResidentSplit, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's outputs for one batch at a point, and the losses of its samples.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device; they need not be of the plane's own splits.
            rows: Rows of the batch.
        """
        self._move_to(alpha, beta)
        return self._evaluator.outputs_and_losses(samples, rows)

    def thread_hazard(self, alpha: float, beta: float, samples: ResidentSplit) -> str | None:
        """Return why threads would disturb each other; None if a call does nothing of the kind.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device, in one batch.
        """
        self._move_to(alpha, beta)
        weights = tensors_named(self._own, self._network.names).values()
        with ThreadWatch(self._own, weights) as watch:
            self._evaluator.outputs_and_losses(samples, slice(0, len(samples)))
        return watch.reason

    def take(self, splits: Mapping[str, ResidentSplit], statistics_of: ResidentSplit) -> None:
        """Evaluate other samples from now on.

        Args:
            splits: Samples by the name of their split, on the device.
            statistics_of: Samples on which running statistics are measured, if at all.
        """
        self._splits = splits
        self._training = None if self._training is None else statistics_of


def _callable(
    networks: Sequence[nn.Module], setting: Setting
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network that evaluates a batch, or several networks for threads in turn."""
    if len(networks) > 1:
        return FreeNetworks(networks)
    return compiled(networks[0]) if setting.compiled else networks[0]


def shortest_seconds_of(work: Callable[[], object]) -> float:
    """Return the shortest time of some work over some runs, s, after a run that prepares."""
    work()
    seconds = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
