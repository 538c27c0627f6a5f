"""Compute the loss and the metrics of a problem over a whole split at the current weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_functions import call
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import mean_values
from landscape_mpi.compute.modes import Modes
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.random_numbers import Generators, batch_seed
from landscape_mpi.problem import BatchFunction


def values_over(
    split: ProblemSplit,
    network: nn.Module,
    functions: Sequence[BatchFunction],
    *,
    seed: int,
    device: Device,
) -> np.ndarray:
    """Return the value of each function over a split, float64 [n_functions].

    Batches see the same random numbers as at the points of a plane.

    Args:
        split: The batches, on the device or read on demand.
        network: Network in evaluation mode, on the device.
        functions: The loss, followed by the metrics.
        seed: Seed of the problem.
        device: Device of the network.

    Raises:
        InputError: If a function does not return a valid sum and count.
    """
    modes, generators = Modes(network), Generators(device)
    rows = []
    for k, number in enumerate(split.rows):
        held, pairs = split.hold(k), []
        for function in functions:
            modes.restore()
            with generators.seeded(batch_seed(seed, number)):
                where = f"batch {number} of data[{split.name!r}]"
                pairs.append(call(function, network, held.lend(copied=True), where))
        rows.append(torch.cat([pair.to(device.place) for pair in pairs]))
    values = torch.stack(rows)  # float64 [n_batches, 2 * n_functions]
    split.check_counts(values)
    return mean_values([values.unbind(dim=1)], finishes=[one.finish for one in functions])
