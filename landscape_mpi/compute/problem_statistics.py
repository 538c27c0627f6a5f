"""Measure batch-norm's running statistics again on the training batches of a problem.

The loss is called with the network in training mode, batch after batch. Each batch is normalised by
its own statistics, and their means become the running statistics. A batch may have any form, so all
batches have equal weight, as in torch.optim.swa_utils.update_bn. Everything else that training mode
changes in the network is restored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from landscape_mpi.compute.batch_functions import call
from landscape_mpi.compute.batch_norm import INSTEAD, Advice, BatchNormStatistics
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.random_numbers import Generators, batch_seed
from landscape_mpi.problem import BatchFunction
from landscape_mpi.tensor_names import is_statistic


class ProblemStatistics:
    """Measure the running statistics of a network on batches."""

    def __init__(
        self,
        network: nn.Module,
        loss: BatchFunction,
        batches: ProblemSplit,
        *,
        seed: int,
        device: Device,
        option: str = "Problem",
    ) -> None:
        """Take a network.

        Args:
            network: Network on the device.
            loss: Loss of the problem.
            batches: Batches of the training data.
            seed: Seed of the problem.
            device: Device of the network.
            option: Beginning of messages.
        """
        self._network, self._loss, self._batches, self._seed = network, loss, batches, seed
        self._generators = Generators(device)
        self._advice = Advice(option, INSTEAD)

    def take(self, batches: ProblemSplit) -> None:
        """Measure on other batches from now on."""
        self._batches = batches

    def try_layers(self) -> str:
        """Check on the first batch that every layer can be measured; change nothing.

        Returns:
            Description of the measured layers.

        Raises:
            InputError: If a layer cannot be measured.
        """
        with self._restored(keep_statistics=False), self._listening() as statistics:
            if statistics.n_layers:
                n = len(self._batches)
                statistics.try_layers(n, self._in_training, evaluate=self._in_evaluation)
            return statistics.description

    def measure(self) -> None:
        """Measure the statistics at the current weights.

        Raises:
            InputError: If they cannot be measured.
        """
        with self._restored(keep_statistics=True), self._listening() as statistics:
            if statistics.n_layers:
                statistics.update(len(self._batches), self._in_training)

    @contextmanager
    def _listening(self) -> Iterator[BatchNormStatistics]:
        found = BatchNormStatistics([self._network], batch=1, threads=1, advice=self._advice)
        try:
            yield found
        finally:
            found.release()

    @contextmanager
    def _restored(self, *, keep_statistics: bool) -> Iterator[None]:
        """Restore the network's modes and buffers; those of the statistics only if requested."""
        was = self._network.training
        modes = [(module, module.training) for module in self._network.modules()]
        kept = {
            name: buffer.detach().clone()
            for name, buffer in self._network.named_buffers()
            if not (keep_statistics and is_statistic(name))
        }
        try:
            yield
        finally:
            self._network.train(was)  # switching may merge weights, or undo merging
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for name, buffer in self._network.named_buffers():
                    if name in kept and buffer.shape == kept[name].shape:
                        buffer.copy_(kept[name])

    def _in_training(self, rows: slice) -> torch.Tensor:
        self._network.train()
        return self._call(rows.start)

    def _in_evaluation(self, rows: slice) -> torch.Tensor:
        self._network.eval()
        return self._call(rows.start)

    def _call(self, k: int) -> torch.Tensor:
        number, batch = self._batches.rows[k], self._batches.hold(k).lend(copied=True)
        where = f"batch {number} of data[{self._batches.name!r}] in training mode"
        with self._generators.seeded(batch_seed(self._seed, number)):
            return call(self._loss, self._network, batch, where)
