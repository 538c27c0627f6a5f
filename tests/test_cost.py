"""Oracle: multiplications counted by hand for two layers, and plain arithmetic."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.cluster.shards import shard_sizes
from landscape_mpi.compute.cost import measure_machine, sample_cost
from landscape_mpi.compute.evaluation import Setting


def test_a_convolution_and_a_linear_layer():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    )
    cost = sample_cost(network.eval(), torch.zeros(2, 3, 8, 8))
    assert cost.operations == 2 * (4 * 6 * 6 * 3 * 3 * 3 + 144 * 5)
    assert cost.values_moved == 2 * (4 * 6 * 6 + 5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rates_are_those_of_some_machine(precision):
    rates = measure_machine(Setting("cpu", precision, 64))
    assert 1e8 < rates.operations_per_s < 1e15
    assert 1e7 < rates.bytes_per_s < 1e13


def test_a_run_shared_out_in_one_round_takes_its_slowest_share():
    """What the estimate builds on: 3 points of 1 s and one of 3 s, side by side."""
    seconds = np.array([1.0, 3.0])
    sizes = shard_sizes(seconds, n_points=4, round_seconds=4 * seconds.max())
    assert (sizes * seconds).max() == 3
