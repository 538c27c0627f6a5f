"""The names that --label gives surfaces."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from landscape_mpi.errors import InputError

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface


def add_label(group: argparse._ActionsContainer) -> None:
    """Add --label."""
    group.add_argument(
        "--label",
        action="append",
        metavar="NAME",
        help="name of a surface in the pictures; pass it once for each file, in their order "
        "(default: network and data, or the file's name)",
    )


def check_labels(options: argparse.Namespace) -> None:
    """Check that --label is given for each file or for none.

    Raises:
        InputError: If it is given for some, or is empty.
    """
    n, labels = len(options.surfaces), options.label or []
    if not all(label.strip() for label in labels):
        raise InputError(
            "--label: a name is empty, so nothing would say which surface it is. Pass a name, or "
            "leave out --label to use network and data."
        )
    if labels and n and len(labels) != n:
        given = "1 name is" if len(labels) == 1 else f"{len(labels)} names are"
        raise InputError(
            f"--label: {given} given for {n} {'file' if n == 1 else 'files'}. Pass --label once "
            f"for each file, in order."
        )


def name_surfaces(surfaces: Sequence[Surface], options: argparse.Namespace) -> list[Surface]:
    """Return the surfaces with the labels of their files from the options."""
    if not options.label:
        return list(surfaces)
    labels = dict(zip(options.surfaces, options.label, strict=True))
    return [replace(surface, label=labels[surface.path]) for surface in surfaces]
