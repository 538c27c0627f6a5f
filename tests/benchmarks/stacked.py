"""Several points of a plane in one call, their weights stacked, beside one after the other.

Stacking pays where a batch is too small to fill the device. It cannot pay where a larger batch
fills it just as well, which is what this measures: each small network at the batch that `surface`
takes, and at all of its samples at once, beside stacks of points at the better of the two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from page import table
from torch import nn
from torch.func import functional_call, vmap

from landscape_mpi.compute.cost import sample_cost
from landscape_mpi.compute.evaluation import DEFAULT_BATCH
from landscape_mpi.compute.folding import fold
from landscape_mpi.compute.tuning import batch_for_cpu
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

STACKS = (2, 8)
N_ROUNDS = 7
IMAGE = Sample("image", (1, 28, 28), 10)


@dataclass(frozen=True)
class Small:
    """A small network and the samples of a point."""

    model: str
    data: str  # in words
    sample: Sample
    n_samples: int


CASES = (
    Small("seismic3", "rows of 24 numbers", Sample("table", (24,), 2), 1938),
    Small("feedforward16", "images of 28 x 28", IMAGE, 10_000),
    Small("resnet8", "images of 8 x 8", Sample("image", (1, 8, 8), 10), 1797),
)


def measure(small: Small, device: str) -> dict[str, float]:
    """Return the time of a point relative to that in the usual batch, medians of rounds."""
    torch.manual_seed(0)
    network = build_network(small.model, sample=small.sample).float().eval()
    inputs = torch.randn(small.n_samples, *small.sample.shape)
    cost = sample_cost(network, inputs[:2])
    network = fold(network, {}).network.to(device, memory_format=torch.channels_last)
    inputs = inputs.to(device)
    usual = DEFAULT_BATCH["cuda"]
    if device == "cpu":
        usual = batch_for_cpu(cost, small.n_samples)
    ways = {
        f"batch {usual}": _plainly(network, inputs, usual),
        f"all {small.n_samples:,} at once": _plainly(network, inputs, small.n_samples),
    }
    for n in STACKS:
        ways[f"{n} points stacked, batch {usual}"] = _stacked(network, inputs, n, usual)
    return _relative(ways, device)


def _plainly(network: nn.Module, inputs: torch.Tensor, batch: int) -> Callable[[], int]:
    def one_point() -> int:
        for part in inputs.split(batch):
            network(part)
        return 1

    return one_point


def _stacked(network: nn.Module, inputs: torch.Tensor, n: int, batch: int) -> Callable[[], int]:
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    stacks = {name: torch.stack([tensor.detach()] * n) for name, tensor in tensors.items()}
    call = vmap(lambda state, part: functional_call(network, state, (part,)), in_dims=(0, None))

    def some_points() -> int:
        for part in inputs.split(batch):
            call(stacks, part)
        return n

    return some_points


def _relative(ways: dict[str, Callable[[], int]], device: str) -> dict[str, float]:
    rounds: list[dict[str, float]] = []
    with torch.no_grad():
        for number in range(N_ROUNDS + 1):
            seconds = {name: _seconds_a_point(way, device) for name, way in ways.items()}
            usual = next(iter(seconds.values()))
            if number:  # the first round allocates
                rounds.append({name: value / usual for name, value in seconds.items()})
    return {name: statistics.median(values[name] for values in rounds) for name in ways}


def _seconds_a_point(way: Callable[[], int], device: str) -> float:
    began = time.perf_counter()
    n_points = way()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / n_points


def describe(device: str, *, most_samples: int = 10_000) -> list[str]:
    """Measure, and return the section, line by line."""
    if device == "cpu":
        torch.set_num_threads(1)
    cases = [replace(small, n_samples=min(small.n_samples, most_samples)) for small in CASES]
    rows = [
        (small.model, f"{small.n_samples:,} {small.data}", name, f"{value:.2f}")
        for small in cases
        for name, value in measure(small, device).items()
    ]
    return [
        "The time of a point with the weights of several points stacked (torch.func.vmap over "
        "the folded network), relative to one point after the other in the usual batch; fp32, "
        f"medians of {N_ROUNDS} rounds in which all take turns.",
        "",
        *table(("network", "samples", "", "time of a point"), rows),
    ]
