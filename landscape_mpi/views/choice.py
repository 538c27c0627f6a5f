"""The choice of the quantities of a surface that are shown."""

from __future__ import annotations

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.schema import ARC_LENGTH, HESSIAN, HESSIAN_VALUES
from landscape_mpi.store.sums import with_sum

ONLY_IF_NAMED = (HESSIAN.keys() - HESSIAN_VALUES) | {ARC_LENGTH}


def choose_quantities(surface: Surface, asked: list[str] | None) -> tuple[Surface, list[str]]:
    """Return the requested quantities, or, if None, all that have a computed point.

    The details of eigenvalues (residuals, products and starts) and the length of a curve are shown
    only if they are named.

    Args:
        surface: The surface as it was read.
        asked: Names, and sums of names.

    Returns:
        The surface, with the sums among its quantities, and the names.

    Raises:
        InputError: If the surface has no such quantity, or none of its points is computed.
    """
    names = asked or [
        name for name in surface.values if surface.done_of[name].any() and name not in ONLY_IF_NAMED
    ]
    for name in names:
        surface = with_sum(surface, name)
        check_quantity(surface, name)
    return surface, names


def check_quantity(surface: Surface, name: str) -> None:
    """Check that a surface has a quantity, and that some of it is computed.

    Raises:
        unknown_name: If the surface has no such quantity.
        InputError: If none of its points is computed.
    """
    if name not in surface.values:
        raise unknown_name(f"{surface.path}: --quantity", name, surface.values)
    if not surface.done_of[name].any():
        raise InputError(
            f"{surface.path}: 0 of {surface.n_points} points of {name} are computed, so there is "
            "nothing to show. Name another quantity, or compute this one first."
        )
