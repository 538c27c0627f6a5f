"""Oracles: multiplications counted by hand for two layers, and torch's own count."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from landscape_mpi.compute.cost import measure_machine, sample_cost
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network


def test_a_convolution_and_a_linear_layer():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    )
    cost = sample_cost(network.eval(), torch.zeros(2, 3, 8, 8))
    assert cost.operations == 2 * (4 * 6 * 6 * 3 * 3 * 3 + 144 * 5)
    assert cost.values_moved == 2 * (4 * 6 * 6 + 5)


@pytest.mark.parametrize(
    ("model", "sample"),
    [
        ("resnet20", Sample("image", (3, 32, 32), 10)),
        ("transformer", Sample("text", (30,), 65)),
        ("lstm120", Sample("text", (30,), 65)),
    ],
)
def test_operations_are_those_that_torch_counts(model, sample):
    network, inputs = build_network(model, sample=sample).eval(), sample.zeros(2)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(inputs)
    assert 2 * sample_cost(network, inputs).operations == counter.get_total_flops() > 0


def test_counting_leaves_the_compiler_alone():
    code = (
        "import sys, torch; from landscape_mpi.compute.cost import sample_cost; "
        "sample_cost(torch.nn.Linear(2, 3).eval(), torch.zeros(4, 2)); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rates_are_those_of_some_machine(precision):
    rates = measure_machine(Setting("cpu", precision, 64))
    assert 1e8 < rates.operations_per_s < 1e15
    assert 1e7 < rates.bytes_per_s < 1e13
