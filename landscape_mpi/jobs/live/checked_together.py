"""Arguments of a call that every rank checks, so that none is left waiting for one that stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from landscape_mpi.cluster.launcher import started_by_launcher

T = TypeVar("T")


def checked_together(work: Callable[[], T]) -> T:
    """Return what a check of arguments gives. Collective, where mpirun has started several ranks.

    If it raises on one rank, it raises on all of them. A process that runs alone starts no MPI.

    Args:
        work: Checks, and raises an InputError.
    """
    if not started_by_launcher():
        return work()
    from landscape_mpi.cluster.communicator import agree, start_ranks

    return agree(start_ranks(), work)
