"""Group ranks that compute one point together, each on a part of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from mpi4py import MPI

from landscape_mpi.cluster.communicator import Ranks, stop_together
from landscape_mpi.errors import InputError

WORTH_SPLITTING = 1.05  # a run longer than the shortest by this factor is good enough


@dataclass(frozen=True)
class Group:
    """This rank's group among all groups; the first rank of a group leads it."""

    comm: MPI.Intracomm  # the ranks of this group
    index: int  # number of this group
    of_rank: tuple[int, ...]  # group of every rank of the run

    @property
    def n_groups(self) -> int:
        """Return the number of groups."""
        return self.of_rank[-1] + 1

    @property
    def is_leader(self) -> bool:
        """Say whether this rank reports the points of its group."""
        return self.comm.rank == 0

    @property
    def leaders(self) -> list[int]:
        """Return the rank of each group's leader."""
        groups = np.array(self.of_rank)  # rising
        return [0, *(int(rank) for rank in np.flatnonzero(np.diff(groups)) + 1)]

    def free(self) -> None:
        """Free the communicator. Collective over the group."""
        self.comm.Free()

    def part(self, n: int) -> slice:
        """Return this rank's contiguous part of n items, split as evenly as possible."""
        ends = [n * place // self.comm.size for place in range(self.comm.size + 1)]
        return slice(ends[self.comm.rank], ends[self.comm.rank + 1])

    def any(self, value: bool) -> bool:
        """Say whether the flag is true on some rank. Collective over the group."""
        return value if self.comm.size == 1 else self.comm.allreduce(value, op=MPI.LOR)

    def agree(self, work: Callable[[], object]) -> None:
        """Do work on every rank of the group; bad input on one rank stops all of them.

        Collective over the group.

        Args:
            work: Called on every rank; does not communicate.

        Raises:
            SharedInputError: On all ranks, with the message of the first one that met bad input.
        """
        problem = None
        try:
            work()
        except InputError as error:
            problem = str(error)
        told = [problem] if self.comm.size == 1 else self.comm.allgather(problem)
        stop_together(next((text for text in told if text is not None), None))

    def gather(self, part: np.ndarray) -> np.ndarray | None:
        """Join the parts of all ranks in their order. Collective over the group.

        Args:
            part: This rank's part, [n_local]; of the same type on all ranks.

        Returns:
            All parts in the order of the ranks on the leader, None elsewhere.
        """
        sizes = self.comm.gather(len(part), root=0)
        whole = None if sizes is None else np.empty(sum(sizes), part.dtype)
        received = None if whole is None else (whole, sizes)
        self.comm.Gatherv(np.ascontiguousarray(part), received, root=0)
        return whole


def make_groups(ranks: Ranks, ranks_per_point: int) -> Group:
    """Put neighbouring ranks into groups. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        ranks_per_point: Ranks in a group; more if the ranks cannot be divided evenly.
    """
    of_rank = group_of_ranks(ranks.size, ranks_per_point)
    index = of_rank[ranks.rank]
    comm = cast(MPI.Intracomm, ranks.comm.Split(index, key=ranks.rank))
    return Group(comm=comm, index=index, of_rank=tuple(of_rank))


def group_of_ranks(n_ranks: int, ranks_per_point: int) -> list[int]:
    """Return the group of every rank: as many full groups as possible, and no rank left over."""
    n_groups = max(1, n_ranks // ranks_per_point)
    return [rank * n_groups // n_ranks for rank in range(n_ranks)]


def choose_ranks_per_point(
    *, n_points: int, n_ranks: int, n_batches: Sequence[int], of_longest: Sequence[int] = ()
) -> int:
    """Return the group size with which a run is shortest: 1 unless there are few points.

    Args:
        n_points: Number of points left to compute, or of the points of a level.
        n_ranks: Ranks of the run.
        n_batches: Number of batches in each part of a typical point, which a group shares out. A
            part is a split, or a portion of it.
        of_longest: The same numbers for the longest point, because all ranks may have to wait for
            it. Empty if all points cost the same.
    """

    def length(ranks_per_point: int) -> int:
        n_rounds = -(-n_points // (n_ranks // ranks_per_point))
        typical, longest = (
            sum(-(-n // ranks_per_point) for n in parts) for parts in (n_batches, of_longest)
        )
        return n_rounds * typical + max(0, longest - typical)

    sizes = range(1, min(n_ranks, max((*n_batches, *of_longest))) + 1)
    shortest = min(map(length, sizes))
    return next(size for size in sizes if length(size) <= WORTH_SPLITTING * shortest)
