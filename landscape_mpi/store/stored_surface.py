"""The plane and the attributes of a surface file, for commands that add to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.curve import CURVE
from landscape_mpi.store.lines import SOLUTIONS
from landscape_mpi.store.resume import attribute_text, open_surface


@dataclass(frozen=True)
class StoredSurface:
    """The plane and the attributes of a surface file."""

    path: Path
    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    attributes: Mapping[str, Mapping[str, Any]]  # of the groups "/", "directions", "provenance"
    has_vectors: bool  # whether it holds its directions

    def text(self, group: str, name: str) -> str:
        """Return an attribute in its form on the command line, ``none`` if there is none."""
        return attribute_text(self.attributes[group].get(name))


def read_stored_surface(path: Path) -> StoredSurface:
    """Read the plane and the attributes of a surface file.

    Raises:
        InputError: If it holds a curve, or lines between solutions.
        MissingInputError: If it is missing.
    """
    if not path.exists():
        raise MissingInputError(
            f"{path}: does not exist. Name a surface file that landscape_mpi.surface wrote."
        )
    with open_surface(path) as file:
        if CURVE in file.attrs or SOLUTIONS in file.attrs:
            along = "along a curve" if CURVE in file.attrs else "between solutions"
            raise InputError(
                f"{path}: holds the losses {along}, but this command needs the surface around one "
                "solution. Name a file that landscape_mpi.surface wrote."
            )
        groups = ("/", "directions", "provenance")
        return StoredSurface(
            path=path,
            alpha=file["alpha"][...],
            beta=file["beta"][...],
            attributes={group: dict(file[group].attrs) for group in groups},
            has_vectors="alpha" in file["directions"],
        )
