"""Several points of a plane in one pass, their weights stacked, beside one after the other.

Stacking pays where a batch is too small to fill the device. It cannot pay where a larger batch
fills it just as well, which is what this measures: each small network at the batch that `surface`
takes, and at all of its samples at once, beside stacks of points at the better of the two.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from page import table

from landscape_mpi.compute.cost import sample_cost
from landscape_mpi.compute.devices.cuda import CudaDevice
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.stacked_plane import StackedLossPlane, spread
from landscape_mpi.compute.tuning import STACKS, batch_for_cpu
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

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


def measure(small: Small, device: Device) -> dict[str, float]:
    """Return the time of a point relative to that in the usual batch, medians of rounds."""
    torch.manual_seed(0)
    network = build_network(small.model, sample=small.sample).float().eval()
    samples = samples_of(small, device.name)
    sample = samples.batch(slice(0, 2)).cpu()
    moved = {name: p.detach().numpy() for name, p in network.named_parameters() if p.ndim > 1}
    vectors = {
        axis: random_direction(moved, seed=1, axis=axis, normalize="filter")
        for axis in ("alpha", "beta")
    }
    usual = CudaDevice.default_batch
    if device.is_host:
        usual = batch_for_cpu(sample_cost(network, sample), small.n_samples)

    def one_by_one(batch: int) -> Callable[[], int]:
        setting = Setting(device, "fp32", batch)
        plane = LossPlane(copy.deepcopy(network), vectors, {"train": samples}, sample, setting)
        return lambda: plane.evaluate(0.1, 0.1)[:1].size

    def stacked(n_points: int) -> Callable[[], int]:
        setting = Setting(device, "fp32", usual, points=n_points)
        plane = StackedLossPlane(
            copy.deepcopy(network), vectors, {"train": samples}, sample, setting
        )
        return lambda: len(plane.evaluate(spread(n_points)))

    ways = {
        f"batch {usual}": one_by_one(usual),
        f"all {small.n_samples:,} at once": one_by_one(small.n_samples),
    }
    for n_points in STACKS:
        ways[f"{n_points} points stacked, batch {usual}"] = stacked(n_points)
    return _relative(ways)


def samples_of(small: Small, device: str) -> ResidentSplit:
    """Return samples without meaning."""
    draws = np.random.default_rng(0)
    targets = draws.integers(0, small.sample.n_classes, small.n_samples)
    if small.sample.kind == "table":
        inputs = draws.standard_normal((small.n_samples, *small.sample.shape)).astype(np.float32)
        return ResidentSplit(inputs, targets, mean=(), std=(), device=device)
    n_channels, *size = small.sample.shape
    images = draws.integers(0, 256, (small.n_samples, *size, n_channels), np.uint8)
    return ResidentSplit(images, targets, mean=(0.5,), std=(0.25,), device=device)


def _relative(ways: dict[str, Callable[[], int]]) -> dict[str, float]:
    rounds: list[dict[str, float]] = []
    for number in range(N_ROUNDS + 1):
        seconds = {name: _seconds_a_point(way) for name, way in ways.items()}
        usual = next(iter(seconds.values()))
        if number:  # the first round allocates
            rounds.append({name: value / usual for name, value in seconds.items()})
    return {name: statistics.median(values[name] for values in rounds) for name in ways}


def _seconds_a_point(way: Callable[[], int]) -> float:
    began = time.perf_counter()
    n_points = way()
    return (time.perf_counter() - began) / n_points


def describe(device: Device, *, most_samples: int = 10_000) -> list[str]:
    """Measure, and return the section, line by line."""
    cases = [replace(small, n_samples=min(small.n_samples, most_samples)) for small in CASES]
    rows = [
        (small.model, f"{small.n_samples:,} {small.data}", name, f"{value:.2f}")
        for small in cases
        for name, value in measure(small, device).items()
    ]
    return [
        "The time of a point if the weights of several points are stacked (`--points-at-once`), "
        "relative to one point after the other in the usual batch, fp32. The times are medians of "
        f"{N_ROUNDS} rounds; in each round, all take turns.",
        "",
        *table(("network", "samples", "", "time of a point"), rows),
    ]
