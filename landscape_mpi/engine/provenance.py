"""Who made a file, on what, with what: words for it.

Importing this module does not start MPI: one process trains without.
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

NO_USER = "LANDSCAPE_NO_USER"  # set to anything but 0, it keeps the name of the user out of files


_FROM_PYTHON: ContextVar[bool] = ContextVar("from_python", default=False)


@contextmanager
def called_from_python() -> Iterator[None]:
    """Record the user's own program, not a command of ours, as what makes files in the context."""
    token = _FROM_PYTHON.set(True)
    try:
        yield
    finally:
        _FROM_PYTHON.reset(token)


def command_line(module: str) -> str:
    """Return the command that is running, as it can be typed again; empty in a notebook.

    Args:
        module: Our command, as after ``python -m``, unless the user's own program is running.
    """
    if not _FROM_PYTHON.get():
        return shlex.join(["python", "-m", module, *sys.argv[1:]])
    program = getattr(sys.modules["__main__"], "__file__", None)
    return shlex.join(["python", *sys.argv]) if program and sys.argv[:1] == [program] else ""


def made_by(module: str) -> dict[str, str]:
    """Return what every file says of its making: the command, who ran it, commit, versions.

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
    """Return what a file of values says of its making, and of what it is made from.

    Args:
        module: The command that runs, as after ``python -m``.
        inputs: What rank 0 has read.
    """
    return {
        **made_by(module),
        **inputs.sha256,
        **{f"trivial_error_{split}": error for split, error in inputs.trivial_errors.items()},
        **({"finished": list(inputs.finished)} if inputs.finished else {}),
    }


def user_name() -> str:
    """Return who runs this, empty where LANDSCAPE_NO_USER says not to, or nobody knows."""
    if os.environ.get(NO_USER, "0") not in {"", "0"}:
        return ""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a container with a user of no name
        return ""


def versions() -> str:
    """Return the versions that decide a result, in one line."""
    return (
        f"landscape_mpi {_own_version()}, python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}, h5py {h5py.__version__}, "
        f"hdf5 {h5py.version.hdf5_version}{_version_of_mpi()}"
    )


def _version_of_mpi() -> str:
    """Return it where MPI was started, and nothing where it was not."""
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
    """Return the commit of this package's source tree, ``unknown`` where there is none."""
    # Not the package's __file__, which is empty where a folder of its name shadows it.
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
