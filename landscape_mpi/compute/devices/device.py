"""A device that a rank computes on: all that differs between a processor and kinds of GPUs."""

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
    """One device, as this rank counts them.

    It belongs to its process: it cannot be sent to another rank, whose device has another index.
    """

    index: int = 0

    kind: ClassVar[str]  # as --device and the files name it, and torch
    is_host: ClassVar[bool] = False  # the node's own cores and memory, which its ranks share
    can_record: ClassVar[bool] = False
    backend: ClassVar[str]  # of torch.distributed
    mask: ClassVar[str] = ""  # variable by which a launcher shows a process some GPUs alone
    default_batch: ClassVar[int]  # samples of a forward pass, where nothing was measured
    n_batches_timed: ClassVar[int]  # a point of so few takes seconds at most, and fills the device
    matrix_size: ClassVar[int]  # of a product that shows its speed
    copy_bytes: ClassVar[int]  # of a copy that does
    gradient_batch: ClassVar[int]  # samples whose backward pass fills it, and fits
    vector_chunk: ClassVar[int]  # entries of vectors of weights that are in float64 at a time

    @property
    def name(self) -> str:
        """Return the name that torch has for it, e.g. ``cuda:2``."""
        return f"{self.kind}:{self.index}"

    @property
    def place(self) -> torch.device:
        """Return where torch puts tensors."""
        return torch.device(self.name)

    @classmethod
    @abstractmethod
    def visible(cls) -> list[str]:
        """Return the identities of those that this process sees, in the order of their index."""

    @classmethod
    def current(cls) -> Device | None:
        """Return the current one of this thread; None where none was used."""
        return None

    @classmethod
    def passed_over(cls) -> str | None:
        """Return why torch does not see GPUs that this machine has; None if it has none."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return its name in words, e.g. ``NVIDIA H200``."""

    def model(self) -> str:
        """Return what has to be the same for two devices to give the same bits."""
        return self.describe()

    def driver(self) -> str:
        """Return what drives it, in words; empty for the CPU."""
        return ""

    def n_peers(self) -> int:
        """Return how many of the other devices here lend it their memory."""
        return 0

    @abstractmethod
    def bind(self) -> None:
        """Make it the current one of this thread."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until it has done all it was given."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Return how much of its memory is free."""

    @abstractmethod
    def precisions(self) -> tuple[str, ...]:
        """Return the types of matrix products that it has beside fp32."""

    def generators(self) -> list[torch.Generator]:
        """Return the generators of its own that draw random numbers without being named."""
        return []

    def cast(self, dtype: torch.dtype, *, enabled: bool) -> AbstractContextManager[Any]:
        """Return a context in which matrix products are computed in another type."""
        return torch.autocast(self.kind, dtype=dtype, enabled=enabled)

    def record(self, work: Work) -> Work:
        """Record some work, and return what repeats it with a single launch.

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
        raise TypeError(f"{self.name} belongs to this rank, and another rank has its own device")
