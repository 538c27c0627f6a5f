"""The ranks of a run, and their agreement on errors.

Importing this module starts MPI.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from mpi4py import MPI

from landscape_mpi.cluster.host import host_name
from landscape_mpi.errors import USERS_OWN, InputError, users_own

if TYPE_CHECKING:
    from landscape_mpi.cluster.set_up_watch import SetUpWatch

T = TypeVar("T")

ROOT = 0
SHORTEST_PAUSE_S = 50e-6
# With 1,024 ranks a barrier takes 10 such pauses at worst: 0.07 % of a round of 30 s.
LONGEST_PAUSE_S = 2e-3


class SharedInputError(InputError):
    """Bad input that every rank knows: all of them stop, and rank 0 prints the reason."""


@dataclass
class Steps:
    """The steps of this process between two meetings of the ranks, for a watching thread."""

    n: int = 0  # number of meetings that have begun
    is_waiting: bool = False  # whether this process is in a meeting


STEPS = Steps()


@dataclass(frozen=True)
class Ranks:
    """This process among all processes of the run."""

    comm: MPI.Intracomm
    node: MPI.Intracomm  # the ranks that share this rank's memory, in the order of comm
    host: str
    set_up_watch: SetUpWatch | None = None  # the watch of the set-up; ends with the first round

    @property
    def rank(self) -> int:
        """Return the number of this process; 0 is the root."""
        return self.comm.rank

    @property
    def size(self) -> int:
        """Return the number of processes."""
        return self.comm.size

    @property
    def is_root(self) -> bool:
        """Say whether this is rank 0."""
        return self.comm.rank == ROOT


def start_ranks(comm: MPI.Intracomm = MPI.COMM_WORLD) -> Ranks:
    """Find the ranks of this run and those of this node. Collective over comm."""
    node = cast(MPI.Intracomm, comm.Split_type(MPI.COMM_TYPE_SHARED, key=comm.rank))
    return Ranks(comm=comm, node=node, host=host_name())


def describe_world() -> tuple[int, str]:
    """Return the number of processes that MPI joined, and its library with version. Local."""
    vendor, version = MPI.get_vendor()
    return MPI.COMM_WORLD.size, f"{vendor} {'.'.join(map(str, version))}"


def looks_at(request: MPI.Request) -> Iterator[None]:
    """Wait for an MPI operation, and yield to the caller after every look at it.

    A blocking call polls without a pause, and occupies a core that others could use.
    """
    pause_s = SHORTEST_PAUSE_S
    while not request.Test():
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        yield


def meet(comm: MPI.Comm) -> None:
    """Wait until all ranks are here, without occupying a core. Collective."""
    STEPS.n += 1
    STEPS.is_waiting = True
    for _ in looks_at(comm.Ibarrier()):
        pass
    STEPS.is_waiting = False


def is_met_by_all(apart: MPI.Comm, seconds: float) -> bool:
    """Say whether all ranks come here within a time. Collective over those that come.

    Args:
        apart: Communicator that is used for no other wait.
        seconds: Longest wait for the others.
    """
    end = time.monotonic() + seconds
    return all(time.monotonic() <= end for _ in looks_at(apart.Ibarrier()))


def on_root(ranks: Ranks, work: Callable[[], T]) -> T | None:
    """Do work on rank 0 while the others wait. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        work: Called on rank 0 only.

    Returns:
        The result of work on rank 0, None elsewhere.

    Raises:
        SharedInputError: On every rank, if work raised an InputError.
    """
    result, problem = None, None
    if ranks.is_root:
        try:
            with users_own(USERS_OWN):
                result = work()
        except InputError as error:
            problem = str(error)
    meet(ranks.comm)
    stop_together(ranks.comm.bcast(problem, root=ROOT))
    return result


def agree(ranks: Ranks, work: Callable[[], T]) -> T:
    """Do work on every rank, and continue only if all succeed. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        work: Called on every rank; may communicate only within the node, and must finish that
            before it raises an error.

    Returns:
        The result of work on this rank.

    Raises:
        SharedInputError: On every rank, with the message of the first rank that raised an
            InputError.
    """
    result, problem = None, None
    try:
        with users_own(USERS_OWN):
            result = work()
    except InputError as error:
        problem = str(error)
    meet(ranks.comm)
    problems = [text for text in ranks.comm.allgather(problem) if text is not None]
    stop_together(problems[0] if problems else None)
    return result  # type: ignore[return-value]


def stop_together(problem: str | None) -> None:
    """Stop if there is a problem, which must be the same on all ranks. Local.

    Raises:
        SharedInputError: If there is one.
    """
    if problem is not None:
        raise SharedInputError(problem)
