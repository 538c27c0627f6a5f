"""Those who train a network: one process alone, which needs no MPI, or all ranks of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.team import ALONE, Team

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

T = TypeVar("T")


def gather_crew(ranks: Ranks | None) -> Crew:
    """Return the crew of these ranks, or of this process alone where there are none."""
    if ranks is None:
        return Crew()
    from landscape_mpi.job.rank_crew import RankCrew

    return RankCrew(ranks)


class Crew:
    """One process alone: does on its own what ranks do together."""

    size = 1
    is_root = True

    def on_root(self, work: Callable[[], T]) -> T | None:
        """Do work on rank 0 while the others wait; bad input stops all. Collective."""
        return work()

    def agree(self, work: Callable[[], T]) -> T:
        """Do work on every rank; bad input stops all. Collective."""
        return work()

    def share(self, value: T | None) -> T:
        """Return the value of rank 0. Collective."""
        return value  # type: ignore[return-value]

    def share_data(self, data: DataSet | None) -> DataSet:
        """Return the data that rank 0 has read. Collective."""
        return self.share(data)

    def scatter(self, parts: Sequence[T] | None) -> T:
        """Return this rank's of the parts that rank 0 has, one for each. Collective."""
        assert parts is not None
        return parts[0]

    def gather(self, value: T) -> list[T] | None:
        """Return the values of all ranks on rank 0, None elsewhere. Collective."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on any rank. Collective."""
        return flag

    def take_device(self, asked: str, threads: int | None) -> torch.device:
        """Return this rank's device, its threads set. Collective.

        Args:
            asked: ``auto``, ``cpu`` or ``cuda``.
            threads: Of the CPU; None for all cores that are this rank's.

        Raises:
            InputError: If cuda is asked for and torch finds none.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        found = torch.cuda.is_available()
        if asked == "cuda" and not found:
            raise InputError(
                f"--device cuda: torch {torch.__version__} finds no CUDA device here. Run where "
                "there is one, or pass --device cpu."
            )
        return torch.device("cuda" if found and asked != "cpu" else "cpu")

    def form_team(self, device: torch.device) -> Team:
        """Return this process's place among those that share every batch. Collective."""
        return ALONE

    def leave(self) -> None:
        """End what the crew began, when its work is done. Collective."""
