"""The processes that train a network together: only this one, or all ranks of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape_mpi.engine.processes import Processes

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def gather_processes(ranks: Ranks | None) -> Processes:
    """Return the processes of these ranks, or only this process without ranks."""
    if ranks is None:
        return Processes()
    from landscape_mpi.engine.rank_processes import RankProcesses  # starts MPI

    return RankProcesses(ranks)
