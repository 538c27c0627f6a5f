"""Packages that only some commands need, and that not every installation has."""

from __future__ import annotations

import importlib
from typing import Any

from landscape_mpi.errors import InputError


def import_extra(name: str, otherwise: str) -> Any:
    """Return a package.

    Args:
        name: What Python imports.
        otherwise: What is said where it is not installed.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise InputError(otherwise) from problem
