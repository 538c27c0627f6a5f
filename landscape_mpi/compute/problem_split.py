"""Hold a rank's batches of a split on the device if they fit; else read them at every point."""

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
    """Return the type that a problem asks for; None to keep all types."""
    return None if problem.dtype is None else getattr(torch, problem.dtype)


@dataclass
class HeldBatch:
    """Hold a batch on the device, and detect whether it was changed."""

    tree: Any
    tensors: list[torch.Tensor] = field(init=False)
    versions: list[int] = field(init=False)  # torch counts the in-place changes of a tensor

    def __post_init__(self) -> None:
        """Store the versions of the tensors."""
        self.tensors = tensors_in(self.tree)
        self.versions = [tensor._version for tensor in self.tensors]

    @property
    def is_changed(self) -> bool:
        """Return whether a tensor was changed in place since then."""
        return [tensor._version for tensor in self.tensors] != self.versions

    def lend(self, *, copied: bool) -> Any:
        """Return the batch for one call.

        Args:
            copied: Whether its tensors are copies; otherwise in-place changes reach the held
                tensors. Its containers are always new.
        """
        return cloned(self.tree) if copied else aliased(self.tree)


class ProblemSplit:
    """Hold batches of one split on a device, and the functions' sums for them.

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
        """Read batches, and put as many on a device as fit.

        Args:
            source: Batches of the whole split.
            rows: Numbers of the batches to take, rising.
            n_functions: Number of functions, the loss and metrics.
            device: Device of the batches.
            dtype: Type that floating-point tensors are converted to; None to keep theirs.
            budget: Memory that batches may take on the device, bytes. The first batch that does not
                fit and all later ones are read again at every point. None for no limit.

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
        self._copied: set[int] = set()  # batches that functions change in place unless copied
        self._digests: dict[int, str] = {}  # digests of batches that are read at every point
        self.n_bytes = 0  # memory of the batches on the device
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
        """Put batches of a problem on a device, in the type that the problem asks for.

        Args:
            problem: The problem.
            source: Batches of the whole split.
            rows: Numbers of the batches to take, rising.
            device: Device of the batches.
            n_functions: Number of evaluated functions, the loss and metrics.
            n_sharing: Number of processes that share the node's memory; batches take a part of the
                free memory (a GPU has its own). None to hold all batches, whatever is free.
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
        """Return whether all batches are on the device."""
        return len(self._held) == len(self.rows)

    @property
    def is_changed(self) -> bool:
        """Return whether a function has changed a batch that was not a copy."""
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
        """Return a batch; read it if it is not on the device.

        Args:
            k: Its row.

        Raises:
            InputError: If it cannot be read, or differs from the previous point's.
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
            "read again, although the generators of torch, numpy and random are seeded first. "
            "Each point needs the same data. Let the data draw from these generators, or from a "
            "generator that is seeded in __getitem__."
        )

    def check_read_again(self) -> None:
        """Read all held batches again, and check that they are the same.

        Raises:
            InputError: If one differs.
        """
        for k, held in self._held.items():
            if digest(self._read(k)) != digest(held.tree):
                raise self._is_another(k)

    def is_copied(self, k: int) -> bool:
        """Return whether a batch is lent only as a copy, because a function once changed it."""
        return k in self._copied

    def renew(self, k: int) -> HeldBatch:
        """Read a batch again that was changed in place; from now on it is lent as a copy.

        Args:
            k: Its row.
        """
        self._copied.add(k)
        held = HeldBatch(self._read(k))
        if k in self._held:
            self._held[k] = held
        return held

    def keep(self, k: int, values: torch.Tensor) -> None:
        """Store the functions' values for a batch.

        Args:
            k: Its row.
            values: Sum and count of each function in turn, float64 [2 * n_functions].
        """
        self.values[k] = values

    def check_counts(self, values: torch.Tensor) -> None:
        """Check that all counts are finite and not negative.

        Args:
            values: Sum and count of each function for each batch, [n_batches, 2 * n_functions].

        Raises:
            InputError: If one is not.
        """
        counts = values[:, 1::2]
        wrong = ~(counts.isfinite() & (counts >= 0))
        if bool(wrong.any()):
            k, function = (int(each) for each in wrong.nonzero()[0])
            raise InputError(
                f"Problem: function {function} (0 is the loss) returned a count of "
                f"{float(counts[k, function]):g} for batch {self.rows[k]} of data[{self.name!r}]. "
                "The second number of a pair is the number of samples in the sum, at least 0."
            )

    def snapshot(self) -> list[str]:
        """Return the digests of the batches on the device."""
        return [digest(held.tree) for held in self._held.values()]

    def is_as(self, before: list[str]) -> bool:
        """Return whether the batches on the device are unchanged since a snapshot."""
        return self.snapshot() == before
