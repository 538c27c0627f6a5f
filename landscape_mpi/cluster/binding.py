"""Choose the GPU and the cores of each rank among those that the ranks of a node see."""

from __future__ import annotations

import os
from collections.abc import Sequence

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.errors import InputError


def assign_gpus(seen: Sequence[Sequence[str]], *, host: str, mask: str) -> list[int]:
    """Give each rank of a node its own GPU.

    If all ranks see every GPU, they get them in order; ranks that a launcher has already bound to
    one GPU keep it.

    Args:
        seen: Identities of the GPUs that each rank of the node sees.
        host: Name of the node, for the message.
        mask: Variable that limits the GPUs that a process sees, for the message.

    Returns:
        The index of each rank's GPU among those it sees.

    Raises:
        InputError: If a rank is left without a GPU.
    """
    taken: dict[str, int] = {}
    for rank in range(len(seen)):
        if not _take(rank, seen, taken, set()):
            raise InputError(_too_few(seen, host, mask))
    owned = {rank: gpu for gpu, rank in taken.items()}
    return [list(seen[rank]).index(owned[rank]) for rank in range(len(seen))]


def _take(rank: int, seen: Sequence[Sequence[str]], taken: dict[str, int], tried: set) -> bool:
    """Find a GPU for a rank, moving other ranks if they see several (Kuhn's matching)."""
    free_first = sorted(seen[rank], key=lambda gpu: gpu in taken)
    for gpu in free_first:
        if gpu in tried:
            continue
        tried.add(gpu)
        if gpu not in taken or _take(taken[gpu], seen, taken, tried):
            taken[gpu] = rank
            return True
    return False


def _too_few(seen: Sequence[Sequence[str]], host: str, mask: str) -> str:
    blind = [rank for rank, gpus in enumerate(seen) if not gpus]
    if blind:
        return (
            f"node {host}: {len(blind)} of {len(seen)} ranks see no GPU, the first of them the "
            f"node's rank {blind[0]}. Check {mask} of each rank, or pass --device cpu."
        )
    n_gpus, n_ranks = len(set().union(*seen)), len(seen)
    return (
        f"node {host}: {n_ranks} ranks share {n_gpus} GPU{'s' if n_gpus > 1 else ''}. Two ranks on "
        f"one GPU are slower than one, so each takes its own: start {n_gpus} ranks on a node, or "
        f"ask for {n_ranks} GPUs, or pass --device cpu."
    )


def share_cores(ranks: Ranks) -> int:
    """Return how many threads this rank may run. Collective over the node.

    Ranks that may run on the same cores share them evenly, so a launcher's binding is respected.
    """
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    everyone = ranks.node.allgather(allowed)
    sharing = [rank for rank, cores in enumerate(everyone) if cores == allowed]
    return threads_of(len(allowed), n_sharing=len(sharing), place=sharing.index(ranks.node.rank))


def threads_of(n_cores: int, *, n_sharing: int, place: int) -> int:
    """Return the share of one of n_sharing ranks in n_cores, at least 1."""
    return max(1, n_cores // n_sharing + (place < n_cores % n_sharing))
