"""Print the list of plot --list."""

from __future__ import annotations

from landscape_mpi.registry import PICTURES


def say_kinds(_: str) -> int:
    """Print a line about each kind of picture; return the exit status."""
    from landscape_mpi.views.picture_kind import find_kind  # loads matplotlib

    for name in PICTURES:
        print(f"{name:12}{find_kind(name).words}")
    return 0
