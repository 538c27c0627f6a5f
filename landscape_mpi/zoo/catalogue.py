"""Look up the networks of the zoo by name."""

from __future__ import annotations

from collections.abc import Iterator

from landscape_mpi.errors import unknown_name
from landscape_mpi.registry import NETWORKS, USER_FUNCTION
from landscape_mpi.zoo.family import Family


def families() -> Iterator[Family]:
    """Yield the families of networks in the order of their listing."""
    for _, family in NETWORKS.items():
        yield family


def network_names() -> list[str]:
    """Return the names of the zoo's networks; names that contain numbers with their usual ones."""
    return [name for family in families() for name in family.names]


def network_forms() -> list[str]:
    """Return the forms of names that may contain any number, such as ``lstmUNITS``."""
    return [form for family in families() for form in family.forms]


def find_network(name: str) -> Family:
    """Return the family that has a network of this name.

    Raises:
        unknown_name: If there is none.
    """
    for family in families():
        if family.has(name):
            return family
    raise unknown_name("--model", name, [*network_names(), *network_forms(), USER_FUNCTION])
