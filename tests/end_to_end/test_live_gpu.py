"""Surfaces from Python in a process that uses GPUs.

Oracle: the same call for a network on the CPU; what torch.cuda says of the process before it.
"""

import pytest
import torch
from torch import nn

import landscape_mpi as lm

PLANE = {"x": (-1, 1, 2), "y": (-0.5, 0.5, 2), "progress": False}


def a_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def squares(network, batch):
    return network(batch).square().sum(1)


def problem_of(network, place="cpu"):
    draws = torch.Generator().manual_seed(1)
    batches = [torch.randn(5, 6, generator=draws).to(place) for _ in range(3)]
    return lm.Problem(network, batches, squares)


def losses_of(problem, device):
    return lm.compute_surface(problem, device=device, **PLANE).values["train_loss"]


@pytest.fixture(scope="module")
def expected():
    return losses_of(problem_of(a_network()), "cpu")


@pytest.fixture
def current(gpu):
    """A GPU that is the current one."""
    torch.cuda.set_device(gpu)
    return gpu


def test_a_network_of_the_cpu_on_the_current_gpu(current, expected):
    network = a_network()
    assert losses_of(problem_of(network), "cuda") == pytest.approx(expected, rel=1e-5)
    assert next(network.parameters()).device.type == "cpu"
    assert torch.cuda.current_device() == int(current[5:])


def test_batches_on_the_gpu(current, expected):
    problem = problem_of(a_network(), current)
    assert losses_of(problem, "cuda") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("asked", ["auto", "cuda", "cpu"])
def test_a_network_on_the_gpu(current, expected, asked):
    network = a_network().to(current)
    assert losses_of(problem_of(network), asked) == pytest.approx(expected, rel=1e-5)
    assert str(next(network.parameters()).device) == current


@pytest.mark.fake_gpus
def test_a_computation_on_the_cpu_opens_no_context(gpu, expected):
    from fake_gpus import control

    torch.cuda.init()
    assert (losses_of(problem_of(a_network()), "cpu") == expected).all()
    assert control.contexts() == []
