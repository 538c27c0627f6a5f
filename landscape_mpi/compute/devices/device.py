"""Define a rank's device: everything that differs between a processor and kinds of GPUs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import torch

Work = Callable[[], None]


@dataclass(frozen=True)
class Device(ABC):
    """Represent one device, with the index it has for this rank.

    The object belongs to its process. It cannot be sent to another rank, whose device has its own
    index.
    """

    index: int = 0

    kind: ClassVar[str]  # its name in --device, in files and in torch
    is_host: ClassVar[bool] = False  # whether it is the node's processor, which ranks share
    can_record: ClassVar[bool] = False
    backend: ClassVar[str]  # backend of torch.distributed
    mask: ClassVar[str] = ""  # variable by which a launcher shows only some GPUs to a process
    default_batch: ClassVar[int]  # samples in a forward pass, if nothing was measured
    n_batches_timed: ClassVar[int]  # enough to fill the device for at most a few seconds
    matrix_size: ClassVar[int]  # rows of a matrix product that shows the device's speed
    copy_bytes: ClassVar[int]  # size of a copy that shows the memory's speed
    gradient_batch: ClassVar[int]  # samples whose backward pass fills the device, and fits
    vector_chunk: ClassVar[int]  # entries of weight vectors that are converted to float64 at a time

    @property
    def name(self) -> str:
        """Return the device's name in torch, e.g. ``cuda:2``."""
        return f"{self.kind}:{self.index}"

    @property
    def place(self) -> torch.device:
        """Return the torch device that tensors are put on."""
        return torch.device(self.name)

    @classmethod
    @abstractmethod
    def visible(cls) -> list[str]:
        """Return the identities of the devices that this process sees, in order of index."""

    @classmethod
    def current(cls) -> Device | None:
        """Return the current device of this thread; None if the process has not used one."""
        return None

    @classmethod
    def passed_over(cls) -> str | None:
        """Return why torch does not see this machine's GPUs; None if it has none."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return the device's name in words, e.g. ``NVIDIA H200``."""

    def model(self) -> str:
        """Return the properties that must be equal for two devices to give the same bits."""
        return self.describe()

    def driver(self) -> str:
        """Return what drives it, in words; empty for the CPU."""
        return ""

    def n_peers(self) -> int:
        """Return how many of the other devices here lend it their memory."""
        return 0

    @abstractmethod
    def bind(self) -> None:
        """Make this device the current one of this thread."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has finished all work."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Return how much of the device's memory is free."""

    @abstractmethod
    def precisions(self) -> tuple[str, ...]:
        """Return the types of matrix products that the device supports other than fp32."""

    def generators(self) -> list[torch.Generator]:
        """Return the device's own default generators of random numbers."""
        return []

    def cast(self, dtype: torch.dtype, *, enabled: bool) -> AbstractContextManager[Any]:
        """Return a context that computes matrix products in another type."""
        return torch.autocast(self.kind, dtype=dtype, enabled=enabled)

    def record(self, work: Work) -> Work:
        """Record some work; return a function that repeats it with a single launch.

        Raises:
            OutOfMemoryError: If the device's memory does not suffice.
            RuntimeError: If the work cannot be recorded, e.g. since it reads a value.
        """
        raise RuntimeError(f"{self.name} records nothing")

    def __copy__(self) -> Device:
        return self

    def __deepcopy__(self, memo: object) -> Device:
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be sent.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self.name} belongs to this rank; another rank has its own device")
