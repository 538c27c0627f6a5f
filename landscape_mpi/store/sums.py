"""Sums of quantities of a surface by name, as ``train_loss+weight_decay_term``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.store.reader import Surface


def with_sum(surface: Surface, name: str) -> Surface:
    """Return a surface with a sum among its quantities; unchanged if the name is not a sum.

    Args:
        surface: Surface with the terms.
        name: Names of quantities with + between them, with or without spaces.

    Raises:
        InputError: If a term is missing, or the terms have different units.
    """
    if name in surface.values or "+" not in name:
        return surface
    terms = [term.strip() for term in name.split("+")]
    _check_known(surface, name, terms)
    units = [surface.units[term] for term in terms]
    if len(set(units)) > 1:
        raise InputError(
            f"{surface.path}: --quantity {name}: the terms have the units {' and '.join(units)}, "
            "but only quantities of the same unit can be added. Draw them separately: --quantity "
            "NAME,NAME."
        )
    total = np.sum([surface.values[term] for term in terms], axis=0)
    done = np.all([surface.done_of[term] for term in terms], axis=0)
    long_name = " + ".join(surface.long_names[term] for term in terms)
    return replace(
        surface,
        values=surface.values | {name: total},
        done_of=surface.done_of | {name: done},
        units=surface.units | {name: units[0]},
        long_names=surface.long_names | {name: long_name},
    )


def _check_known(surface: Surface, name: str, terms: list[str]) -> None:
    for term in terms:
        if term not in surface.values:
            raise unknown_name(f"{surface.path}: --quantity {name}", term, surface.values)
