"""The list that --list prints, for every command that has it."""

from __future__ import annotations

from landscape_mpi.engine.quantities.quantity import list_quantities


def say_list(what: str) -> int:
    """Print the known networks, data sets or quantities; return the exit status.

    Args:
        what: ``models``, ``data`` or ``quantities``.
    """
    if what == "quantities":
        print(list_quantities())
        return 0
    from landscape_mpi.zoo.listing import LISTS  # loads torch

    print(LISTS[what]())
    return 0
