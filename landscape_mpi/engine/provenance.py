"""The origin of a file in words: its author, command, machine and versions.

Importing this module does not start MPI, since one process trains without it.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch

from landscape_mpi.cluster.host import host_name

if TYPE_CHECKING:
    from landscape_mpi.engine.inputs import Inputs
    from landscape_mpi.engine.problem_inputs import ProblemInputs

NO_USER = "LANDSCAPE_NO_USER"  # any value except 0 keeps the name of the user out of files


_FROM_PYTHON: ContextVar[bool] = ContextVar("from_python", default=False)


@contextmanager
def called_from_python() -> Iterator[None]:
    """Record the user's own program, not our command, as the maker of files in the context."""
    token = _FROM_PYTHON.set(True)
    try:
        yield
    finally:
        _FROM_PYTHON.reset(token)


def command_line(module: str) -> str:
    """Return the running command so that it can be typed again; empty in a notebook.

    Args:
        module: Our command, as after ``python -m``, unless the user's own program is running.
    """
    if not _FROM_PYTHON.get():
        return shlex.join(["python", "-m", module, *sys.argv[1:]])
    program = getattr(sys.modules["__main__"], "__file__", None)
    return shlex.join(["python", *sys.argv]) if program and sys.argv[:1] == [program] else ""


def made_by(module: str) -> dict[str, str]:
    """Return the origin that every file states: command, user, commit and versions.

    Args:
        module: The command that runs, as after ``python -m``.
    """
    return {
        "command": command_line(module),
        **({"user": user} if (user := user_name()) else {}),
        "host": host_name(),
        "git_commit": git_commit(),
        "versions": versions(),
    }


def of_inputs(module: str, inputs: Inputs | ProblemInputs) -> dict[str, object]:
    """Return the origin of a file of values, with that of its inputs.

    Args:
        module: The command that runs, as after ``python -m``.
        inputs: The inputs that rank 0 has read.
    """
    return {
        **made_by(module),
        **inputs.sha256,
        **{f"trivial_error_{split}": error for split, error in inputs.trivial_errors.items()},
        **({"finished": list(inputs.finished)} if inputs.finished else {}),
    }


def user_name() -> str:
    """Return the user's name; empty if it is unknown, or LANDSCAPE_NO_USER asks for that."""
    if os.environ.get(NO_USER, "0") not in {"", "0"}:
        return ""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a container with a user without a name
        return ""


def versions() -> str:
    """Return the versions that decide a result, in one line."""
    return (
        f"landscape_mpi {_own_version()}, python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}, h5py {h5py.__version__}, "
        f"hdf5 {h5py.version.hdf5_version}{_version_of_mpi()}"
    )


def _version_of_mpi() -> str:
    """Return the version of MPI if MPI was started, otherwise nothing."""
    if "mpi4py.MPI" not in sys.modules:
        return ""
    import mpi4py
    from mpi4py import MPI

    library = MPI.Get_library_version().split(",")[0].splitlines()[0].strip("\x00 ")
    return f", mpi4py {mpi4py.__version__}, {library}"


def _own_version() -> str:
    try:
        return importlib.metadata.version("landscape_mpi")
    except importlib.metadata.PackageNotFoundError:  # run from its folder, not installed
        return "not installed"


def git_commit() -> str:
    """Return the commit of this package's source tree, ``unknown`` if there is none."""
    # The package's __file__ is empty if a folder of the same name shadows it.
    tree = Path(__file__).resolve().parents[2]
    # An installed package may lie in a virtual environment inside somebody else's repository.
    if _git(tree, "rev-parse", "--show-toplevel") != str(tree):
        return "unknown"
    return _git(tree, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(tree: Path, *arguments: str) -> str:
    command = ["git", "-C", str(tree), *arguments]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return asked.stdout.strip()


def now() -> str:
    """Return the time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
