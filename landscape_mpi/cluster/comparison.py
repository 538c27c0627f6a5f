"""Compare values that must be equal on all ranks, as words."""

from __future__ import annotations

from collections.abc import Mapping

from landscape_mpi.cluster.communicator import Ranks, SharedInputError

ABSENT = "left out"


def compare_words(ranks: Ranks, where: str, words: Mapping[str, str], way_out: str) -> None:
    """Check that all ranks have the same words under the same names. Collective over the ranks.

    Args:
        ranks: All ranks.
        where: Beginning of the message.
        words: The words of this rank, by name.
        way_out: End of the message.

    Raises:
        SharedInputError: On every rank, if one of them differs from rank 0.
    """
    everyone = ranks.comm.allgather((dict(words), ranks.host))
    first, first_host = everyone[0]
    for rank, (other, host) in enumerate(everyone):
        for name in first | other:
            its, known = other.get(name, ABSENT), first.get(name, ABSENT)
            if its != known:
                raise SharedInputError(
                    f"{where}: {name} is {its} on rank {rank} ({host}), and {known} on rank 0 "
                    f"({first_host}). {way_out}"
                )
