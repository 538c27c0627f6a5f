"""One process that trains a network alone, without MPI; for a run see rank_processes.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import torch

from landscape_mpi.compute.devices.choice import choose_alone
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.process_group import ALONE, ProcessGroup

T = TypeVar("T")


class Processes:
    """One process alone, with the methods of the ranks of a run; a context, left at its end."""

    size = 1
    is_root = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the group, also where bad input ends all of it; after other errors MPI does."""
        if kind is None or issubclass(kind, InputError):
            self.end_process_group()
        if kind is None:
            self.free()

    def on_root(self, work: Callable[[], T]) -> T | None:
        """Do work on rank 0 while the others wait; bad input stops all. Collective."""
        return work()

    def agree(self, work: Callable[[], T]) -> T:
        """Do work on every rank; bad input stops all. Collective."""
        return work()

    def share(self, value: T | None) -> T:
        """Return the value of rank 0. Collective."""
        return value  # type: ignore[return-value]

    def share_data(self, data: DataSet | None) -> DataSet:
        """Return the data that rank 0 has read. Collective."""
        return self.share(data)

    def scatter(self, parts: Sequence[T] | None) -> T:
        """Return this rank's part of those that rank 0 has, one for each rank. Collective."""
        assert parts is not None
        return parts[0]

    def gather(self, value: T) -> list[T] | None:
        """Return the values of all ranks on rank 0, None elsewhere. Collective."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on any rank. Collective."""
        return flag

    def take_device(self, asked: str, threads: int | None) -> Device:
        """Return this rank's device, its threads set. Collective.

        Args:
            asked: ``auto``, or a kind of device.
            threads: Number of CPU threads; None for all cores of this rank.

        Raises:
            InputError: If a GPU is requested and torch finds none.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        return choose_alone(asked)

    def start_process_group(self, device: Device) -> ProcessGroup:
        """Return this process's place among those that share every batch. Collective."""
        return ALONE

    def end_process_group(self) -> None:
        """End torch.distributed in this process, if it has started."""

    def free(self) -> None:
        """Give the node's memory back. Collective."""
