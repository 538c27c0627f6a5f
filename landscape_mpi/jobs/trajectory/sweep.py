"""Sweep over the weights of all checkpoints on ranks, with one slab in memory at a time.

Every rank reads a stretch of the weights, its slab, from all files. A slab is processed in chunks
that do not depend on the ranks, and rank 0 takes the results in the order of the weights. So its
sums have the same bits on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, agree
from landscape_mpi.compute.subspace import chunk_length, differences
from landscape_mpi.jobs.trajectory.trainings import Trainings
from landscape_mpi.zoo.weight_vector import read_stretch

T = TypeVar("T")

SLAB_BYTES = 2**29  # bytes of weights in memory, on each rank


@dataclass(frozen=True)
class Stretch:
    """Hold a chunk of weights of all checkpoints."""

    place: slice  # place in the vector of weights
    vectors: torch.Tensor  # float64 [n_files, n], with the center subtracted


class Sweep:
    """Read the weights of all checkpoints chunk by chunk, any number of times."""

    def __init__(self, ranks: Ranks, trainings: Trainings) -> None:
        """Divide the weights into slabs. Local."""
        self._ranks = ranks
        self._trainings = trainings
        self._n_weights = trainings.layout.n_weights
        n_files = len(trainings.files) + 1  # the files and the center
        self._chunk = chunk_length(n_files, self._n_weights)
        n_chunks = -(-self._n_weights // self._chunk)
        fit = max(1, SLAB_BYTES // (4 * n_files * self._chunk))
        self._slab = self._chunk * min(fit, -(-n_chunks // ranks.size))
        self.n_waves = -(-self._n_weights // (self._slab * ranks.size))
        self._kept: tuple[int, np.ndarray] | None = None  # if a rank has a single slab

    def work_off(
        self, work: Callable[[Stretch], T], take: Callable[[slice, T], None], *, what: str
    ) -> None:
        """Do work on every chunk, and pass the results to rank 0. Collective over the ranks.

        Args:
            work: Function that is called on the rank with the chunk.
            take: Function that is called on rank 0 with the place of the chunk and the result of
                work, in the order of the weights.
            what: Name of the work, for the log.
        """
        for wave in range(self.n_waves):
            own = (wave * self._ranks.size + self._ranks.rank) * self._slab
            done = agree(self._ranks, partial(self._work_on_slab, own, work))
            # Ranks without weights in this wave must still enter.
            for part in self._ranks.comm.gather(done, root=ROOT) or []:
                for place, result in part:
                    take(place, result)
            if self._ranks.is_root and self.n_waves > 1:
                print(f"{what}: part {wave + 1} of {self.n_waves}", flush=True)

    def _work_on_slab(self, start: int, work: Callable[[Stretch], T]) -> list[tuple[slice, T]]:
        if start >= self._n_weights:
            return []
        slab = self._read(start)
        results = []
        for begin in range(0, slab.shape[1], self._chunk):
            chunk = slab[:, begin : begin + self._chunk]
            place = slice(start + begin, start + begin + chunk.shape[1])
            vectors = differences(chunk[:-1], chunk[-1])
            results.append((place, work(Stretch(place, vectors))))
        return results

    def _read(self, start: int) -> np.ndarray:
        """Return the weights of a slab, float32 [n_files + 1, n]; the center's come last."""
        if self._kept is not None and self._kept[0] == start:
            return self._kept[1]
        self._kept = None  # freed before the next one is allocated
        trainings = self._trainings
        n = min(self._slab, self._n_weights - start)
        slab = np.empty((len(trainings.files) + 1, n), np.float32)
        for row, file in zip(slab, (*trainings.files, trainings.center), strict=True):
            read_stretch(
                file, trainings.layout, start, row, trust=trainings.trust, key=trainings.key
            )
        if self.n_waves == 1:
            self._kept = start, slab
        return slab
