"""Oracle: speeds made up for the search, and a real compiler beside the plain network."""

import math
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.cost import SampleCost
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tuning import (
    batch_for_cpu,
    choose_points_at_once,
    fastest_batch,
    is_worth_compiling,
    is_worth_reordering,
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({256: 4.0, 512: 2.0, 1024: 1.0, 2048: 0.99, 4096: 1.5}, 1024),  # as good, and smaller
        ({256: 4.0, 512: 2.0, 1024: 1.0, 2048: 0.5, 4096: 0.25}, 4096),
        ({256: 4.0, 512: 2.0}, 512),  # 1024 does not fit
        ({}, 256),  # nothing does
    ],
)
def test_the_smallest_batch_as_good_as_the_fastest(seconds, expected):
    def measure(batch):
        if batch not in seconds:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return seconds[batch]

    assert fastest_batch(measure, (256, 512, 1024, 2048, 4096)) == expected


@pytest.mark.parametrize(
    ("values", "n_samples", "expected"),
    [
        (188_000, 50_000, 64),  # ResNet-20 on CIFAR-10
        (4_600, 1_797, 128),  # a small ResNet on the digits
        (1_600, 60_000, 512),
        (100, 1_938, 128),
        (100, 10**6, 4096),
        (0, 10**6, 4096),
        (100, 3, 64),
    ],
)
def test_the_batch_of_a_cpu(values, n_samples, expected):
    assert batch_for_cpu(SampleCost(1.0, 2 * values), n_samples) == expected


@pytest.mark.parametrize(
    ("largest_bytes", "expected"),
    [
        (4 * 16 * 32 * 32, 64),  # ResNet-56 on CIFAR-10
        (4 * 64 * 32 * 32, 64),  # VGG-16
        (4 * 128 * 8_000, 16),  # logits of 128 places among 8,000 symbols: 197 MB of them
        (4 * 1024 * 50_257, 1),  # of GPT-2: a sample alone has 206 MB
        (10**12, 1),
    ],
)
def test_the_batch_of_a_cpu_takes_no_more_memory_than_a_thread_has(largest_bytes, expected):
    batch = batch_for_cpu(SampleCost(1.0, 2e5, largest_bytes), 50_000)
    assert batch == expected
    assert batch == 1 or 3 * batch * largest_bytes <= 256 * 2**20


def test_the_batch_of_a_network_that_cannot_be_counted():
    assert batch_for_cpu(None, 50_000) == 8


def plane(network, *, device="cpu", compiled=False):
    images = np.full((4, 1, 1, 2), 3, np.uint8)
    samples = ResidentSplit(
        images, np.zeros(4, np.int64), mean=(0.0, 0.0), std=(1.0, 1.0), device=device
    )
    setting = Setting(device_named(device), "fp32", 4, compiled=compiled)
    no_directions = {"alpha": {}, "beta": {}}
    sample = samples.batch(slice(0, 2)).cpu()
    return LossPlane(network.eval(), no_directions, {"train": samples}, sample, setting)


def linear(weight):
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    nn.init.constant_(network[1].weight, weight)
    nn.init.constant_(network[1].bias, 0.0)
    with torch.no_grad():
        network[1].bias[0] = weight
    return network


def test_a_compiler_that_fails():
    def fail(compiled):
        if compiled:
            raise RuntimeError("InvalidCxxCompiler: no g++\nmore")
        return plane(linear(1.0))

    assert is_worth_compiling(fail, "fp32", n_planes=math.inf) == (
        False,
        "not compiled (InvalidCxxCompiler: no g++)",
    )


def test_too_little_memory_to_compile():
    def fail(compiled):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    assert is_worth_compiling(fail, "fp32", n_planes=math.inf) == (
        False,
        "not compiled, because of lack of memory",
    )


class Timed:
    """A plane whose point takes so long."""

    def __init__(self, seconds):
        self.seconds = seconds

    def evaluate(self, alpha, beta):
        return np.ones(2)

    def shortest_seconds(self, *point):
        return self.seconds


@pytest.mark.parametrize(("n_planes", "tried"), [(10, False), (119, False), (121, True)])
def test_a_compiler_that_would_take_longer_than_it_saves_is_not_tried(n_planes, tried):
    seconds = {False: 1.0, True: 0.5}  # 60 s are half of 120 points
    found = is_worth_compiling(lambda asked: Timed(seconds[asked]), "fp32", n_planes=n_planes)
    assert found == (
        (True, "compiled it is 2.00 times as fast")
        if tried
        else (False, "not compiled, because the run is too short for it")
    )


@pytest.mark.parametrize(("seconds", "taken"), [(0.5, True), (0.99, False), (2.0, False)])
def test_channels_are_last_where_that_is_faster(seconds, taken):
    found, words = is_worth_reordering(lambda is_last: Timed(seconds if is_last else 1.0))
    assert found == taken
    assert words == f"channels last are {1 / seconds:.2f} times as fast as first"


def test_compiled_to_something_else(device):
    worth, words = is_worth_compiling(
        lambda compiled: plane(linear(1.5 if compiled else 1.0), device=device),
        "fp32",
        n_planes=math.inf,
    )
    exact = {w: np.log1p(np.exp(-w)) for w in (1.0, 1.5)}
    difference = (exact[1.0] - exact[1.5]) / exact[1.0]
    assert not worth
    assert words == f"not compiled, because that changes the loss by {difference:.2g}"


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
def test_a_real_compiler():
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    torch.manual_seed(0)
    compiled = plane(network, compiled=True)
    expected = plane(nn.Sequential(*network)).evaluate(0.0, 0.0)
    np.testing.assert_allclose(compiled.evaluate(0.0, 0.0), expected, rtol=1e-6)
    assert compiled.description.endswith(", compiled")
    worth, words = is_worth_compiling(
        lambda asked: compiled if asked else plane(network), "fp32", n_planes=math.inf
    )
    faster = float(words.removeprefix("compiled it is ").removesuffix(" times as fast"))
    assert worth == (faster >= 1.05) or faster == 1.05  # it is rounded in the words


@dataclass
class Stack:
    """A stack of so many points whose point takes so long."""

    seconds: float
    fault: str | None = None

    def find_fault(self, plane):
        return self.fault

    def shortest_seconds(self, *point):
        return self.seconds


OUT_OF_MEMORY, UNKNOWN = torch.OutOfMemoryError("CUDA"), RuntimeError("no batching\nrule")


@pytest.mark.parametrize(
    ("stacks", "most", "expected"),
    [
        ({4: Stack(0.5), 16: Stack(0.2)}, 100, (16, "16 points at a time, 5.00 times as fast")),
        ({4: Stack(0.5), 16: Stack(0.2)}, 15, (4, "4 points at a time, 2.00 times as fast")),
        ({4: Stack(0.5), 16: Stack(0.49)}, 100, (4, "4 points at a time, 2.00 times as fast")),
        ({4: Stack(0.97), 16: Stack(0.1)}, 100, (1, "one point at a time")),
        ({4: Stack(0.5), 16: Stack(0.1, "it differs")}, 100, (4, "4 points at a time, 2.00")),
        ({4: Stack(0.5, "it differs")}, 100, (1, "one point at a time, it differs")),
        ({4: Stack(0.5), 16: OUT_OF_MEMORY}, 100, (4, "4 points at a time, 2.00 times as fast")),
        ({4: UNKNOWN}, 100, (1, "one point at a time, not stacked (no batching rule)")),
        ({}, 3, (1, "one point at a time")),
    ],
)
def test_as_many_points_at_once_as_pay(stacks, most, expected):
    def make_stack(n_points):
        if isinstance(stacks[n_points], Exception):
            raise stacks[n_points]
        return stacks[n_points]

    found, words = choose_points_at_once(lambda: Stack(1.0), make_stack, most=most)
    assert found == expected[0]
    assert words.startswith(expected[1])
