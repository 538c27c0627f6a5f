"""Check the arguments of a call on every rank, so that no rank waits for one that stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from landscape_mpi.cluster.launcher import started_by_launcher

T = TypeVar("T")


def checked_together(work: Callable[[], T]) -> T:
    """Return the result of a check of arguments. Collective if mpirun has started several ranks.

    If it raises on one rank, it raises on all of them. A process that runs alone does not start
    MPI.

    Args:
        work: Function that checks, and may raise an InputError.
    """
    if not started_by_launcher():
        return work()
    from landscape_mpi.cluster.communicator import agree, start_ranks

    return agree(start_ranks(), work)
