"""Run the batches of a split one after the other: by threads, or as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol
from weakref import WeakKeyDictionary

import torch

from landscape_mpi.compute.devices.device import Work
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.threads import single_core_threads

MOST_RECORDED = 400  # batches in a graph; launching so many costs little compared with their work
# Reasons by class of network: the memory that a failed recording holds is never returned.
_causes: WeakKeyDictionary[type, str] = WeakKeyDictionary()
EvaluateRows = Callable[[ResidentSplit, slice], None]


class Passes(Protocol):
    """Run all batches of a split."""

    description: str  # for the log

    def run(self, samples: ResidentSplit) -> None:
        """Fill in the losses of the samples."""

    def forget(self, samples: ResidentSplit) -> None:
        """Free the memory kept for samples that will not run again."""


def batches(n_samples: int, batch: int) -> Iterator[slice]:
    """Return the rows of each batch; the last one may be shorter."""
    return (slice(row, min(row + batch, n_samples)) for row in range(0, n_samples, batch))


class ThreadedPasses:
    """Distribute the batches over threads; each thread computes its own batches."""

    def __init__(self, evaluate_rows: EvaluateRows, *, batch: int, threads: int) -> None:
        self.description = "batches distributed over threads" if threads > 1 else "batch by batch"
        self._evaluate_rows = evaluate_rows
        self._batch = batch
        self._pool = single_core_threads(threads)

    def run(self, samples: ResidentSplit) -> None:
        """Fill in the losses of the samples."""
        parts = batches(len(samples), self._batch)
        for _ in self._pool.map(lambda rows: self._evaluate_rows(samples, rows), parts):
            pass

    def forget(self, samples: ResidentSplit) -> None:
        """Do nothing, since nothing is kept."""


class RecordedPasses:
    """Record all batches of a split; each point replays them with a single launch.

    A recording is used only if it gives the bits of the plain passes; otherwise these are used.
    """

    def __init__(
        self,
        evaluate_rows: EvaluateRows,
        *,
        batch: int,
        record: Callable[[Work], Work],
        network: type | None = None,
    ) -> None:
        """Prepare to record.

        Args:
            evaluate_rows: Function that evaluates one batch.
            batch: Number of samples in a batch.
            record: Function that records some work and returns a function to repeat it; see
                Device.record.
            network: Class of the network; a class that could not be recorded is not tried again.
        """
        self.description = "one CUDA graph per split"
        self._evaluate_rows = evaluate_rows
        self._batch = batch
        self._record = record
        self._replays: dict[ResidentSplit, Work] = {}
        self._network = network

    def run(self, samples: ResidentSplit) -> None:
        """Fill in the losses of the samples."""
        if samples not in self._replays:
            self._replays[samples] = self._prepare(samples)
        self._replays[samples]()

    def forget(self, samples: ResidentSplit) -> None:
        """Free the recording of samples."""
        self._replays.pop(samples, None)

    def _prepare(self, samples: ResidentSplit) -> Work:
        n_batches = -(-len(samples) // self._batch)

        def plainly() -> None:
            for rows in batches(len(samples), self._batch):
                self._evaluate_rows(samples, rows)

        if not 0 < n_batches <= MOST_RECORDED:
            self.description = f"no CUDA graph ({n_batches} batches per split)"
            return plainly
        if self._network is not None and self._network in _causes:
            self.description = _causes[self._network]
            return plainly
        plainly()
        expected = samples.losses.clone()
        try:
            replay = self._record(plainly)
            samples.losses.zero_()
            replay()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as problem:  # e.g. the network reads a value from the device
            # Ending a failed recording raises a second error, which does not tell the cause.
            cause = problem.__context__ or problem
            self.description = f"no CUDA graph ({str(cause).splitlines()[0][:100]})"
            if self._network is not None:
                _causes[self._network] = self.description
            return plainly
        if torch.equal(samples.losses.nan_to_num(), expected.nan_to_num()):
            return replay
        self.description = "no CUDA graph (replaying it gives other losses)"
        return plainly
