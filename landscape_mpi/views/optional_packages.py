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
        InputError: If it is not installed, or its installation is broken.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        is_absent = isinstance(problem, ModuleNotFoundError) and problem.name == name
        words = not_installed(name, what=what) if is_absent else _broken(name, what, problem)
        raise InputError(f"{words} {instead}".rstrip()) from problem


def _broken(name: str, what: str, problem: ImportError) -> str:
    package = name.replace("_", "-")
    return (
        f"{what} needs {package}, which is installed here but cannot be imported "
        f"({type(problem).__name__}: {problem}). Install it again: pip install --force-reinstall "
        f"{package}."
    )
