"""What plot --list prints."""

from __future__ import annotations

from landscape_mpi.registry import PICTURES


def say_kinds(_: str) -> int:
    """Print what each kind of picture shows, one a line; return the exit status."""
    from landscape_mpi.views.picture_kind import find_kind  # which loads matplotlib

    for name in PICTURES:
        print(f"{name:12}{find_kind(name).words}")
    return 0
