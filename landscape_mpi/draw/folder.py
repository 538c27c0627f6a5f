"""Make the folder of the pictures, and check their names in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from landscape_mpi.errors import InputError


def make_folder(out_dir: Path | None) -> None:
    """Make the folder for the pictures, if one was named.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        if out_dir is not None:
            out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(
            f"--out-dir {out_dir}: cannot be made ({problem.strerror}). Name a folder you may "
            "write to."
        ) from problem


def check_distinct(pictures: Iterable[Path]) -> None:
    """Refuse two pictures with the same name.

    Raises:
        InputError: If the second would overwrite the first.
    """
    seen = set()
    for picture in pictures:
        if picture in seen:
            raise InputError(
                f"{picture}: two of the files have the same name and would write this picture. "
                "Plot them one by one, each with its own --out-dir."
            )
        seen.add(picture)
