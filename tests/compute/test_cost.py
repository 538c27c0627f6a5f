"""Oracles: multiplications counted by hand for two layers, and torch's own count."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from landscape_mpi.compute import cost
from landscape_mpi.compute.cost import measure_machine, sample_cost, sample_cost_if_known
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.devices.cuda import CudaDevice
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
    assert cost.largest_bytes == 4 * (4 * 6 * 6)


@pytest.mark.parametrize(
    ("model", "sample"),
    [
        ("resnet20", Sample("image", (3, 32, 32), 10)),
        ("transformer", Sample("text", (30,), 65)),
        ("lstm120", Sample("text", (30,), 65)),
    ],
)
def test_operations_are_those_that_torch_counts(model, sample):
    network = build_network(model, sample=sample).eval()
    inputs = torch.zeros(2, *sample.shape, dtype=torch.int64 if sample.kind == "text" else None)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(inputs)
    assert 2 * sample_cost(network, inputs).operations == counter.get_total_flops() > 0


class Language(nn.Module):
    """Symbols to logits, the weights of both ends being one, and outputs in a dictionary."""

    def __init__(self, n_symbols, width):
        super().__init__()
        self.table = nn.Embedding(n_symbols, width)

    def forward(self, symbols):
        inside = self.table(input=symbols)
        scores = torch.bmm(inside, inside.transpose(1, 2)).softmax(-1)
        return {"logits": (scores @ inside @ self.table.weight.T,), "scores": scores}


@pytest.mark.parametrize(
    ("n_symbols", "length", "expected"),
    [(1000, 20, 20 * 1000), (7, 90, 90 * 90)],  # logits, or what each place has for each other
)
def test_the_largest_tensor_is_the_logits_or_the_scores(n_symbols, length, expected):
    """A view of the weights, of 1,000 x 500, takes no memory."""
    network = Language(n_symbols, 500 if n_symbols == 1000 else 3).eval()
    cost = sample_cost(network, torch.zeros(2, length, dtype=torch.int64))
    assert cost.largest_bytes == 4 * expected


def test_a_network_that_cannot_be_counted():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            raise RuntimeError("not under a counter")

    network = Odd()
    assert sample_cost_if_known(network, torch.zeros(2, 2)) is None
    assert not network.linear._forward_hooks


WITHOUT_THE_COMPILER = """
import sys, torch
import landscape_mpi as lm
from landscape_mpi.compute.cost import sample_cost

network, data = torch.nn.Linear(2, 3), (torch.ones(4, 2), torch.arange(4) % 3)
sample_cost(network.eval(), data[0])
assert "torch._dynamo" not in sys.modules
surface = lm.compute_surface(network, data, x=(-1, 1, 3), progress=False)
lm.compute_hessian(surface, progress=False)
assert "torch._dynamo" not in sys.modules
"""


def test_neither_counting_nor_the_python_interface_imports_the_compiler():
    """Importing it takes a second, more than a whole small surface."""
    subprocess.run([sys.executable, "-c", WITHOUT_THE_COMPILER], check=True)


@pytest.fixture
def small_measures(monkeypatch):
    """Measure what a CPU does in a moment also where it plays a GPU."""
    monkeypatch.setattr(CudaDevice, "matrix_size", 256)
    monkeypatch.setattr(CudaDevice, "copy_bytes", 1 << 20)
    monkeypatch.setattr(cost, "MEASURE_S", 0.05)


@pytest.mark.usefixtures("small_measures")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rates_are_those_of_some_machine(precision, device):
    rates = measure_machine(Setting(device_named(device), precision, 64))
    assert 1e8 < rates.operations_per_s < 1e15
    assert 1e7 < rates.bytes_per_s < 1e13
