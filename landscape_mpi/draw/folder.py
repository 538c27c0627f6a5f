"""The folder that pictures go to."""

from __future__ import annotations

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
