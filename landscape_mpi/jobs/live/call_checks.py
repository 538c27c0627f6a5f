"""Check the keywords of a call in Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from landscape_mpi.device_names import AUTO, check_device
from landscape_mpi.errors import unknown_name


def check_keywords(
    given: Mapping[str, object], known: Collection[str], *, caller: str = "compute_surface"
) -> None:
    """Check that a call has only known keywords and a valid device.

    Args:
        given: Keywords and their values.
        known: All keywords.
        caller: Name of the function that was called, for messages.

    Raises:
        unknown_name: If it has an unknown keyword.
        InputError: If there is no such device.
    """
    for name in given:
        if name not in known:
            raise unknown_name(caller, name, known)
    check_device(str(given.get("device", AUTO)), f"{caller}: device")
