"""Evaluate random images with random weights, to measure the speed of a surface."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.compute.cost import measure_machine, sample_cost
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.compute.tuning import batch_for_cpu
from landscape_mpi.engine.forecast import Measured, seconds_per_point
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.networks import build_network, check_network


@dataclass(frozen=True)
class Case:
    """A network and the shape of its images."""

    model: str
    shape: tuple[int, int, int]  # height, width, channels
    n_classes: int

    def build(self) -> nn.Module:
        """Build the network, float32, in evaluation mode, on the CPU.

        Raises:
            InputError: If the network is unknown, or does not take such images.
        """
        torch.manual_seed(0)
        network = build_network(self.model, sample=self._data(2).sample).float().eval()
        check_network(network, name=self.model, data=self._data(2))
        return network

    def _data(self, n_images: int) -> DataSet:
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (n_images, *self.shape), np.uint8)
        split = Split(images, generator.integers(0, self.n_classes, n_images))
        n_channels = self.shape[2]
        return DataSet(
            "made-up images",
            {"train": split},
            mean=(0.5,) * n_channels,
            std=(0.25,) * n_channels,
            n_classes=self.n_classes,
            sha256="",
        )

    def default_batch(self, device: Device, n_images: int) -> int:
        """Return the batch of a run on a device without measuring."""
        cost = sample_cost(
            self.build(), torch.zeros(2, *self._data(2).sample.shape, dtype=torch.float32)
        )
        return batch_for_cpu(cost, n_images) if device.is_host else device.default_batch

    def samples(self, n_images: int, device: Device) -> ResidentSplit:
        """Make images and targets on a device."""
        data = self._data(n_images)
        split = data.splits["train"]
        return ResidentSplit(
            split.inputs, split.targets, mean=data.mean, std=data.std, device=device.name
        )


def measure_in_memory(case: Case, setting: Setting, n_ranks: int) -> Measured:
    """Measure; refuse if the memory does not suffice. See measure.

    Raises:
        InputError: If it does not.
        RuntimeError: If something else fails.
    """
    try:
        return measure(case, setting, n_ranks)
    except (MemoryError, RuntimeError) as problem:
        words = str(problem) or type(problem).__name__
        if isinstance(problem, RuntimeError) and "memory" not in words.lower():
            raise RuntimeError(words) from problem
        raise InputError(
            f"--batch: {setting.batch} samples per pass, of {case.model} and images of "
            f"{'x'.join(map(str, case.shape))}, do not fit into the memory here "
            f"({shorten(words, 200, placeholder=' ...')}). Pass a smaller --batch."
        ) from problem


def measure(case: Case, setting: Setting, n_ranks: int) -> Measured:
    """Evaluate points, and measure the speed of the machine.

    Args:
        case: What to evaluate.
        setting: How to evaluate.
        n_ranks: Number of ranks, assumed to be as fast as this process.
    """
    network = case.build()
    state = tensors_of(network)
    moved = {name: state[name] for name in moved_names(network, ignore=("bias", "bn"))}
    vectors = {
        axis: directions.random_direction(moved, seed=1, axis=axis, normalize="filter")
        for axis in ("alpha", "beta")
    }
    n_images = setting.device.n_batches_timed * setting.batch * setting.threads
    samples = case.samples(n_images, setting.device)
    sample = samples.batch(slice(0, 2)).cpu()
    cost = sample_cost(case.build(), sample)
    plane = LossPlane(network, vectors, {"train": samples}, sample, setting)
    rates = measure_machine(setting)
    seconds = seconds_per_point(lambda point: plane.evaluate(0.01 * point, 0.0), 10)
    sample_seconds = np.full(n_ranks, seconds / len(samples))
    return Measured(setting.precision, sample_seconds, cost, rates)
