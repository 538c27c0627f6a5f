"""Optional packages, which only some commands need."""

from __future__ import annotations

import importlib
from typing import Any

from landscape_mpi.errors import InputError, not_installed


def import_optional(name: str, *, what: str, instead: str = "") -> Any:
    """Import an optional package and return it.

    Args:
        name: Name that Python imports, one of errors.EXTRAS.
        what: Option or function that needs it, for the message.
        instead: Another way out.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        words = f"{not_installed(name, what=what)} {instead}"
        raise InputError(words.rstrip()) from problem
