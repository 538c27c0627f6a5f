"""Batch-norm whose running statistics are measured anew at every point, on the training set.

The statistics of a checkpoint belong to its weights. Far from them the network normalises by
numbers that are not those of its activations, and the loss rises for that reason alone. Papers on
mode connectivity therefore measure them anew. Each batch is normalised by its own statistics, and
their means over all batches become the running statistics: batches know nothing of each other, so
threads can share them out, and the sums, made in the order of the data, are the same for any
number of threads.

Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2; Garipov et al. 2018, arXiv:1802.10026.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from landscape_mpi.compute.folding import BATCH_NORMS
from landscape_mpi.compute.passes import batches
from landscape_mpi.compute.threads import single_core_threads

Statistics = dict[str, tuple[torch.Tensor, torch.Tensor]]  # of a layer: mean and variance, float64


class BatchNormStatistics:
    """The running statistics of a network's batch-norm layers, and how they are measured."""

    def __init__(self, network: nn.Module, *, batch: int, threads: int) -> None:
        """Take the layers of a network.

        Args:
            network: In evaluation mode; its batch-norm layers must be called as modules.
            batch: Samples of a pass, at least 2 of which are needed for a variance.
            threads: Passes at a time.
        """
        self._network = network
        self._layers: dict[str, Any] = {
            name: module
            for name, module in network.named_modules()
            if isinstance(module, BATCH_NORMS) and module.running_mean is not None
        }
        self._batch = batch
        self._pool = single_core_threads(threads)
        self._of_this_thread = threading.local()
        for name, layer in self._layers.items():
            layer.register_forward_pre_hook(self._measure(name))

    @property
    def n_layers(self) -> int:
        """Number of layers with running statistics."""
        return len(self._layers)

    def _measure(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def hook(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found: Statistics | None = getattr(self._of_this_thread, "found", None)
            if found is None:  # an ordinary pass
                return
            values = inputs[0].double()
            others = [axis for axis in range(values.dim()) if axis != 1]
            variance, mean = torch.var_mean(values, dim=others, correction=1)
            found[name] = mean, variance

        return hook

    def update(self, n_samples: int, run: Callable[[slice], object]) -> None:
        """Measure the statistics at the present weights and put them into the layers.

        Args:
            n_samples: Samples of the training set.
            run: Passes a batch, given by its rows, through the network.
        """
        parts = list(batches(n_samples, self._batch))
        if len(parts) > 1 and n_samples % self._batch == 1:
            parts.pop()  # one sample alone has no variance
        self._normalise_by_batch(True)
        try:
            measured = list(self._pool.map(lambda rows: self._statistics_of(rows, run), parts))
        finally:
            self._normalise_by_batch(False)
        n_measured = sum(rows.stop - rows.start for rows in parts)
        for name, layer in self._layers.items():
            if any(name not in found for found in measured):
                continue  # a layer that is not reached keeps what it has
            for place, buffer in enumerate((layer.running_mean, layer.running_var)):
                total = sum(
                    found[name][place] * (rows.stop - rows.start)
                    for found, rows in zip(measured, parts, strict=True)
                )
                buffer.copy_(total / n_measured)

    def _statistics_of(self, rows: slice, run: Callable[[slice], object]) -> Statistics:
        found: Statistics = {}
        self._of_this_thread.found = found
        try:
            run(rows)
        finally:
            self._of_this_thread.found = None
        return found

    def _normalise_by_batch(self, wanted: bool) -> None:
        for layer in self._layers.values():
            layer.training = wanted
            layer.track_running_stats = not wanted  # so that a pass leaves the statistics alone
