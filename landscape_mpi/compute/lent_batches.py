"""Lend a problem's batches one by one to a training run, which may change them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.random_numbers import Generators, batch_seed


class LentBatches:
    """Give copies of a split's batches on the device."""

    def __init__(self, split: ProblemSplit, *, seed: int, device: Device = CPU) -> None:
        """Take a split.

        Args:
            split: Split whose batches are on the device or read on demand.
            seed: Seed of the problem.
            device: Device of the network.
        """
        self._split, self._seed = split, seed
        self._generators = Generators(device)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._split)

    def __getitem__(self, index: int) -> Any:
        """Return a batch."""
        return self._split.hold(index).lend(copied=True)

    def seeded(self, index: int) -> AbstractContextManager[None]:
        """Seed random numbers as for a batch at a plane's points; restore them afterwards."""
        return self._generators.seeded(batch_seed(self._seed, self._split.rows[index]))
