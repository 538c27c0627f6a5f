"""What --list prints, for every command that has it."""

from __future__ import annotations


def say_list(what: str) -> int:
    """Print the networks or the data sets there are; return the exit status.

    Args:
        what: ``models`` or ``data``.
    """
    from landscape_mpi.zoo.listing import LISTS  # which loads torch

    print(LISTS[what]())
    return 0
