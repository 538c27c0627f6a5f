"""The ranks of a run, and how they agree.

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
    """Bad input of which every rank knows: all of them stop, rank 0 says why."""


@dataclass
class Steps:
    """The steps of this process between two meetings of the ranks, for a thread that looks on."""

    n: int = 0  # meetings that have begun
    is_waiting: bool = False  # whether it is in one


STEPS = Steps()


@dataclass(frozen=True)
class Ranks:
    """This process among all processes of the run."""

    comm: MPI.Intracomm
    node: MPI.Intracomm  # the ranks that share this rank's memory, in the order of comm
    host: str
    set_up_watch: SetUpWatch | None = None  # ends with the first round

    @property
    def rank(self) -> int:
        """Number of this process, 0 is the root."""
        return self.comm.rank

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.comm.size

    @property
    def is_root(self) -> bool:
        """Whether this is rank 0."""
        return self.comm.rank == ROOT


def start_ranks(comm: MPI.Intracomm = MPI.COMM_WORLD) -> Ranks:
    """Find the ranks of this run and those of this node. Collective over comm."""
    node = cast(MPI.Intracomm, comm.Split_type(MPI.COMM_TYPE_SHARED, key=comm.rank))
    return Ranks(comm=comm, node=node, host=host_name())


def describe_world() -> tuple[int, str]:
    """Return how many processes MPI joined, and the library, e.g. ``Open MPI 4.1.4``. Local."""
    vendor, version = MPI.get_vendor()
    return MPI.COMM_WORLD.size, f"{vendor} {'.'.join(map(str, version))}"


def looks_at(request: MPI.Request) -> Iterator[None]:
    """Wait for what MPI is doing, giving the caller a turn after every look at it.

    A blocking call looks without a pause, and keeps a core that others could compute on.
    """
    pause_s = SHORTEST_PAUSE_S
    while not request.Test():
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        yield


def meet(comm: MPI.Comm) -> None:
    """Wait until all ranks are here, leaving the cores to those that compute. Collective."""
    STEPS.n += 1
    STEPS.is_waiting = True
    for _ in looks_at(comm.Ibarrier()):
        pass
    STEPS.is_waiting = False


def is_met_by_all(apart: MPI.Comm, seconds: float) -> bool:
    """Return whether all ranks come here within a time. Collective over those that come.

    Args:
        apart: Communicator on which ranks wait for one another nowhere else.
        seconds: How long to wait for the others.
    """
    end = time.monotonic() + seconds
    return all(time.monotonic() <= end for _ in looks_at(apart.Ibarrier()))


def on_root(ranks: Ranks, work: Callable[[], T]) -> T | None:
    """Do work on rank 0 while the others wait. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        work: Called on rank 0 only.

    Returns:
        What work returned on rank 0, None elsewhere.

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
    """Do work on every rank and go on only if it went well on all. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        work: Called on every rank; may communicate within the node only, and there so that an
            error in it is raised after all communication.

    Returns:
        What work returned on this rank.

    Raises:
        SharedInputError: On every rank, with the words of the first rank that raised an
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
    """Stop if there is a problem, which is the same on all ranks. Local.

    Raises:
        SharedInputError: If there is one.
    """
    if problem is not None:
        raise SharedInputError(problem)
