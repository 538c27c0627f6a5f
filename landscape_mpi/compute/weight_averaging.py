"""Average several solutions, and measure the running statistics of the average.

Source: Izmailov et al. 2018, arXiv:1803.05407, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import nn

from landscape_mpi.compute.batch_norm import INSTEAD, Advice, BatchNormStatistics
from landscape_mpi.compute.evaluation import Evaluator, Setting
from landscape_mpi.compute.samples import ResidentSplit

OF_NETWORK = Advice("--model", INSTEAD)


def average_states(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of state dicts, computed in float64; counters come from the last one."""
    last = states[-1]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }


def measure_statistics(network: nn.Module, training: ResidentSplit, setting: Setting) -> int:
    """Measure batch-norm's running statistics again on samples without augmentation.

    Args:
        network: Network of float32, in evaluation mode, on the setting's device; changed in place.
        training: Training samples on that device.
        setting: How to evaluate; see prepare_device.

    Returns:
        Number of layers with running statistics.
    """
    statistics = BatchNormStatistics(
        [network], batch=setting.batch, threads=setting.n_threads, advice=OF_NETWORK
    )
    if statistics.n_layers:
        run = partial(Evaluator(network, setting).outputs, training)
        with torch.no_grad():
            statistics.try_layers(len(training), run)
            statistics.update(len(training), run)
    return statistics.n_layers
