"""What --list prints, for every command that has it."""

from __future__ import annotations

from landscape_mpi.engine.quantities.quantity import list_quantities


def say_list(what: str) -> int:
    """Print the networks, data sets or quantities there are; return the exit status.

    Args:
        what: ``models``, ``data`` or ``quantities``.
    """
    if what == "quantities":
        print(list_quantities())
        return 0
    from landscape_mpi.zoo.listing import LISTS  # which loads torch

    print(LISTS[what]())
    return 0
