"""A rank's batches of a split: on the device where they fit, else read again at every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from landscape_mpi.compute.batch_source import BatchSource
from landscape_mpi.compute.batch_tree import aliased, cloned, digest, moved, n_bytes, tensors_in
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.memory import SHARE_OF_FREE
from landscape_mpi.errors import InputError
from landscape_mpi.problem import Problem

EVERY_ROW = slice(None)


def type_of(problem: Problem) -> torch.dtype | None:
    """Return the type that a problem asks for, None where everything stays as it is."""
    return None if problem.dtype is None else getattr(torch, problem.dtype)


@dataclass
class HeldBatch:
    """A batch on the device, and what tells whether it was changed."""

    tree: Any
    tensors: list[torch.Tensor] = field(init=False)
    versions: list[int] = field(init=False)  # torch counts what is done to a tensor in place

    def __post_init__(self) -> None:
        """Note the versions of the tensors."""
        self.tensors = tensors_in(self.tree)
        self.versions = [tensor._version for tensor in self.tensors]

    @property
    def is_changed(self) -> bool:
        """Whether a tensor was changed in place since."""
        return [tensor._version for tensor in self.tensors] != self.versions

    def lend(self, *, copied: bool) -> Any:
        """Return the batch for one call.

        Args:
            copied: In memory of its own; else what is done to its tensors in place is done to
                those that are held. Its containers are its own in any case.
        """
        return cloned(self.tree) if copied else aliased(self.tree)


class ProblemSplit:
    """Batches of one split for a device, and the sums that functions make of them.

    A row is a batch: ``values`` has the sum and the count of each function, float64
    [n_batches, 2 * n_functions].
    """

    def __init__(
        self,
        source: BatchSource,
        rows: slice | Sequence[int] | np.ndarray,
        *,
        n_functions: int,
        device: str,
        dtype: torch.dtype | None = None,
        budget: int | None = None,
    ) -> None:
        """Read batches and put them on a device, as far as they fit.

        Args:
            source: Batches of the whole split.
            rows: Numbers of those that are taken, rising.
            n_functions: Loss and metrics.
            device: Where to put them.
            dtype: Type that floating-point tensors are converted to; None to leave them.
            budget: Memory that batches may take on the device, bytes; the first batch that does
                not fit and all after it are read again at every point. None for no limit.

        Raises:
            InputError: If a batch cannot be read.
        """
        every = range(len(source))
        self.rows = every[rows] if isinstance(rows, slice) else [int(row) for row in rows]
        self.name = source.name
        self.values = torch.full(
            (len(self.rows), 2 * n_functions), torch.nan, dtype=torch.float64, device=device
        )
        self._source, self._device, self._dtype = source, device, dtype
        self._held: dict[int, HeldBatch] = {}
        self._copied: set[int] = set()  # that are changed in place where they are not copied
        self._digests: dict[int, str] = {}  # of those that are read at every point
        self.n_bytes = 0  # on the device
        for k in range(len(self.rows)):
            batch = self._read(k)
            size = n_bytes(batch)
            if budget is not None and self.n_bytes + size > budget:
                self._digests[k] = digest(batch)
                break
            self.n_bytes += size
            self._held[k] = HeldBatch(batch)

    @classmethod
    def of_problem(
        cls,
        problem: Problem,
        source: BatchSource,
        rows: slice | Sequence[int] | np.ndarray = EVERY_ROW,
        *,
        device: Device,
        n_functions: int = 1,
        n_sharing: int | None = None,
    ) -> ProblemSplit:
        """Put batches of a problem on a device, in the type that it asks for.

        Args:
            problem: The problem.
            source: Batches of the whole split.
            rows: Numbers of those that are taken, rising.
            device: Where to put them.
            n_functions: Loss and metrics that are evaluated.
            n_sharing: Processes that share the memory of the node, of which batches take a part as
                far as it is free (a GPU has its own); None for all batches, whatever is free.
        """
        budget = None
        if n_sharing is not None:
            share = n_sharing if device.is_host else 1
            budget = int(SHARE_OF_FREE * device.free_bytes() / share)
        place, dtype = device.name, type_of(problem)
        return cls(source, rows, n_functions=n_functions, device=place, dtype=dtype, budget=budget)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_resident(self) -> bool:
        """Whether all batches are on the device."""
        return len(self._held) == len(self.rows)

    @property
    def is_changed(self) -> bool:
        """Whether a function has changed a batch that it was not given a copy of."""
        return bool(self._copied)

    @property
    def kept(self) -> tuple[torch.Tensor, ...]:
        """Return the sums and the counts of each function in turn, each float64 [n_batches]."""
        return tuple(self.values.unbind(dim=1))

    @property
    def losses(self) -> torch.Tensor:
        """Return the mean loss of each batch, float64 [n_batches]."""
        return self.values[:, 0] / self.values[:, 1]

    def _read(self, k: int) -> Any:
        return moved(self._source.read(self.rows[k]), self._device, self._dtype)

    def hold(self, k: int) -> HeldBatch:
        """Return a batch, which is read if it is not on the device.

        Args:
            k: Its row.

        Raises:
            InputError: If it cannot be read, or is not what it was at the point before.
        """
        return self._held[k] if k in self._held else self._read_again(k)

    def _read_again(self, k: int) -> HeldBatch:
        batch = self._read(k)
        found = digest(batch)
        if self._digests.setdefault(k, found) != found:
            raise self._is_another(k)
        return HeldBatch(batch)

    def _is_another(self, k: int) -> InputError:
        return InputError(
            f"Problem: batch {self.rows[k]} of data[{self.name!r}] has other values when it is "
            f"read again, though the generators of torch, numpy and random are seeded first. Each "
            f"point needs the same data: let it draw from these, or from a generator that is "
            f"seeded in __getitem__."
        )

    def check_read_again(self) -> None:
        """Read all batches that are held once more, and check that they are the same.

        Raises:
            InputError: If one is not.
        """
        for k, held in self._held.items():
            if digest(self._read(k)) != digest(held.tree):
                raise self._is_another(k)

    def is_copied(self, k: int) -> bool:
        """Return whether a batch is given away as a copy only, since it was changed once."""
        return k in self._copied

    def renew(self, k: int) -> HeldBatch:
        """Read a batch again that was changed in place; from now on it is copied.

        Args:
            k: Its row.
        """
        self._copied.add(k)
        held = HeldBatch(self._read(k))
        if k in self._held:
            self._held[k] = held
        return held

    def keep(self, k: int, values: torch.Tensor) -> None:
        """Keep what the functions make of a batch.

        Args:
            k: Its row.
            values: Sum and count of each function in turn, float64 [2 * n_functions].
        """
        self.values[k] = values

    def check_counts(self, values: torch.Tensor) -> None:
        """Check that all counts are numbers of something.

        Args:
            values: Sum and count of each function for each batch, [n_batches, 2 * n_functions].

        Raises:
            InputError: If one is negative or not finite.
        """
        counts = values[:, 1::2]
        wrong = ~(counts.isfinite() & (counts >= 0))
        if bool(wrong.any()):
            k, function = (int(each) for each in wrong.nonzero()[0])
            raise InputError(
                f"Problem: function {function} (0 is the loss) returned a count of "
                f"{float(counts[k, function]):g} for batch {self.rows[k]} of "
                f"data[{self.name!r}]. The second number of a pair says how many samples are in "
                f"the sum, from 0 on."
            )

    def snapshot(self) -> list[str]:
        """Return the digests of the batches on the device."""
        return [digest(held.tree) for held in self._held.values()]

    def is_as(self, before: list[str]) -> bool:
        """Return whether the batches on the device are as they were at a snapshot."""
        return self.snapshot() == before
