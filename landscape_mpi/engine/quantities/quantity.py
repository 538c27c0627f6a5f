"""A quantity of a point beside its loss and error. Needs no torch: --help reads the words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landscape_mpi.registry import QUANTITIES

if TYPE_CHECKING:
    from landscape_mpi.compute.evaluation import Setting
    from landscape_mpi.compute.moved_loss import MovedLoss

ValueAt = Callable[[float, float], float]  # of alpha and beta


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of every point and split, which --also names.

    ``prepare(loss, setting)`` is called once on each rank for each split, with all of its samples;
    it returns a function that gives the value at a point. The file then has it as ``train_NAME`` or
    ``test_NAME``, written and resumed as the loss is.
    """

    prepare: Callable[[MovedLoss, Setting], ValueAt]
    words: str  # meaning, for --help, the file and the documentation
    units: str | None = None  # None for the units of the loss


def find_quantity(name: str) -> Quantity:
    """Return the quantity that --also names.

    Args:
        name: One of registry.QUANTITIES.
    """
    found: Quantity = QUANTITIES[name]
    return found


def quantities_in_words() -> str:
    """Describe every quantity, for --help."""
    return "; ".join(f"{name}: {find_quantity(name).words}" for name in QUANTITIES)


def list_quantities() -> str:
    """List the quantities, one per line, for --list."""
    return "\n".join(f"{name:24}{find_quantity(name).words}" for name in QUANTITIES)
