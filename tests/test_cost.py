"""Oracle: multiplications counted by hand for two layers."""

import pytest
import torch
from torch import nn

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
