"""The loss of a network that guesses: the unit in which pictures of one task can be compared."""

from __future__ import annotations

import math

from landscape_mpi.store.reader import Surface
from landscape_mpi.store.schema import N_CLASSES

NAMES = ("train_loss", "test_loss")


def guessing_loss(surface: Surface, quantity: str) -> float | None:
    """Return the cross-entropy of equal probabilities for all classes, nat: ln C for C classes.

    Args:
        surface: The surface as read.
        quantity: One of its values.

    Returns:
        None if the quantity is not a cross-entropy in nat, which is never negative, or the number
        of classes is unknown.
    """
    n_classes = surface.attributes.get(N_CLASSES)
    if quantity not in NAMES or n_classes is None or surface.units.get(quantity) != "nat":
        return None
    computed = surface.values[quantity][surface.done_of[quantity]]
    if int(n_classes) < 2 or (computed < 0).any():
        return None
    return math.log(int(n_classes))
