"""Whether a file can be written where the user asks for it."""

from __future__ import annotations

import os
from pathlib import Path

from landscape_mpi.errors import InputError, MissingInputError


def check_output(path: Path) -> None:
    """Check that a file can be made or changed at path, without touching anything.

    Args:
        path: Value of --out.

    Raises:
        InputError: If path is a directory, or cannot be written.
        MissingInputError: If the directory it is to lie in is not there.
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(f"--out: {path} is a directory. Pass the name of a file in it.")
    if not folder.is_dir():
        raise MissingInputError(
            f"--out: {path}: there is no directory {folder}. Make it (mkdir -p {folder}), or pass "
            f"another --out."
        )
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise InputError(
                f"--out: {path}: this user may not write to {place}. Pass a place that is yours."
            )
