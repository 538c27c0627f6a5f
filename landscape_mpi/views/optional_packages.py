"""Optional packages, which only some commands need."""

from __future__ import annotations

import importlib
from typing import Any

from landscape_mpi.errors import InputError


def import_optional(name: str, otherwise: str) -> Any:
    """Import an optional package and return it.

    Args:
        name: Name that Python imports.
        otherwise: Message if it is not installed.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise InputError(otherwise) from problem
