"""Describe the problems and notes that follow from the facts of the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landscape_mpi.jobs.doctor.folder_facts import FolderFacts
from landscape_mpi.jobs.doctor.rank_facts import RankFacts

SMALL_SHARED_MEMORY = 1 << 30  # CIFAR-10 in float32 takes 0.7 GB
SLOW_ROUND_S = 1.0  # 3 % of a round of 30 s


@dataclass(frozen=True)
class Library:
    """The libraries that a run would use."""

    has_threads: bool  # whether any thread may call MPI
    is_parallel: bool  # whether HDF5 is


def find_wrong(ranks: Sequence[RankFacts], folder: FolderFacts | None) -> list[str]:
    """Return the problems that would make a run fail."""
    wrong = []
    first = ranks[0]
    other = next((facts for facts in ranks if facts.versions != first.versions), None)
    if other is not None:
        wrong.append(
            f"Ranks run different software. {first.host}: {first.versions}; {other.host}: "
            f"{other.versions}. Use one environment on all nodes."
        )
    for host, facts in {facts.host: facts for facts in ranks}.items():
        if facts.shared_memory is None:
            wrong.append(
                f"{host} has no /dev/shm, where the ranks of a node share the data. In a "
                f"container, mount it."
            )
    if folder is not None and folder.blind_hosts:
        wrong.append(
            f"{', '.join(folder.blind_hosts)} does not see what rank 0 writes to {folder.path}. "
            f"Name a folder that all nodes share with --folder, and with --out in a run."
        )
    return wrong


def find_notes(
    ranks: Sequence[RankFacts], folder: FolderFacts | None, library: Library
) -> list[str]:
    """Return notes on facts that do not stop a run, but that a user may want to change."""
    notes = []
    for host, facts in {facts.host: facts for facts in ranks}.items():
        free = None if facts.shared_memory is None else facts.shared_memory[1]
        if free is not None and free < SMALL_SHARED_MEMORY:
            notes.append(
                f"{host} has {free / 2**20:.0f} MiB free in /dev/shm, where the ranks of a node "
                f"share the data. A larger data set does not fit: enlarge it (docker and podman: "
                f"--shm-size), or pass --limit to the run."
            )
    if folder is not None and not folder.has_locks:
        notes.append(
            f"{folder.path} has no locks, so nothing keeps two runs from writing the same file. "
            "Start one run per file at a time."
        )
    if folder is not None and (folder.round_seconds or 0.0) > SLOW_ROUND_S:
        notes.append(
            f"A round takes {folder.round_seconds:.1f} s to write in {folder.path}. Pass a larger "
            f"--round-seconds to a run, or name a faster folder."
        )
    if not library.has_threads:
        notes.append(
            "This MPI lets only one thread call it, so a rank that hangs in a call of all ranks "
            "is noticed but not named."
        )
    if not library.is_parallel:
        notes.append(
            "HDF5 is serial, so rank 0 gathers the values and writes them. Results are the same; "
            "for parallel HDF5, which may be faster for grids of a million points: "
            "launch/install_parallel_hdf5.sh."
        )
    return notes
