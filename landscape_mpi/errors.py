"""Errors that a user can fix, and the wording they share.

Every message says where, what is there, what was asked, why it matters and the way out. A command
prints it once and ends with status 2, or with 1 if its file can no longer be written. Any other
exception is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
import signal
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

HERE = str(Path(__file__).parent)
USERS_OWN = "your own code raised"  # for code that no option names
EXIT_UNWRITABLE = 1
EXIT_BAD_INPUT = 2
EXIT_BROKEN_PIPE = 141  # exit status of a program that SIGPIPE ended
EXIT_REQUEUE = 75  # EX_TEMPFAIL: stopped by a signal; run the same command again
# Extras for packages that `pip install landscape_mpi` alone does not install, by the names that
# Python imports; setup.cfg lists the packages.
EXTRAS = {
    "torch": "compute",
    "mpi4py": "compute",
    "safetensors": "compute",
    "sklearn": "compute",
    "pooch": "compute",
    "plotly": "report",
    "imageio_ffmpeg": "animation",
    "gudhi": "topology",
    "xarray": "xarray",
    "h5netcdf": "xarray",
}


class InputError(ValueError):
    """Input that the user can fix."""


class MissingInputError(InputError, FileNotFoundError):
    """A missing file that the user named."""


class UserCodeError(InputError):
    """An exception in the user's own code: in a function named by an option, or in its result."""

    def __init__(self, where: str, problem: BaseException) -> None:
        """Describe the failure in one line, followed by the traceback in the user's code.

        Args:
            where: Option and failed step, e.g. ``--model: nets:build failed``.
            problem: The exception.
        """
        super().__init__(f"{where}: {in_one_line(problem)}\n{user_traceback(problem)}")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C itself, unlike a KeyboardInterrupt that the user's code raises."""


class UnwritableError(Exception):
    """A file that a run fills and can no longer write."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: cannot be written ({problem}). All earlier rounds are saved in it. Free "
            "some disk space, or restore this user's permission to write there, and run the same "
            "command again to continue."
        )


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to a name, or None if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


def unknown_name(where: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the known ones.

    Args:
        where: Option or file that named it, e.g. ``--model``.
        name: The unknown name.
        known: The known names, in the order to list them.
    """
    choices = list(known)
    near = nearest_name(name, choices)
    hint = f" Did you mean {near}?" if near else ""
    return InputError(f"{where}: {name!r} is not known.{hint} Known: {', '.join(choices)}.")


def not_installed(package: str, *, what: str) -> str:
    """Return the message for a missing optional package, which names its extra.

    Args:
        package: Name that Python imports, one of EXTRAS.
        what: Command, option or function that needs it.
    """
    return (
        f"{what} needs {package.replace('_', '-')}, which is not installed here. Install it with "
        f"pip install 'landscape_mpi[{EXTRAS[package]}]'."
    )


@contextmanager
def missing_packages_named(what: str = "this command") -> Iterator[None]:
    """Turn a missing optional package into an InputError that names its extra.

    Args:
        what: Command or function that needs it.

    Raises:
        InputError: If the package belongs to an extra.
        ModuleNotFoundError: If it is any other package.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        package = (problem.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise InputError(not_installed(package, what=what)) from problem


@contextmanager
def users_own(where: str, *, library_too: bool = False) -> Iterator[None]:
    """Turn an exception of the user's code into a UserCodeError; others stay defects.

    Args:
        where: Option and failed step, e.g. ``--model: nets:build raised at alpha = 1``.
        library_too: Whether the user chose everything that is called. If so, an exception that
            passed only through libraries also counts as the user's.

    Raises:
        UserCodeError: If the exception passed through the user's code. An OutOfMemoryError stays
            as it is, since smaller batches may help.
        BaseException: If it did not pass through it, or it is Ctrl-C.
    """
    try:
        yield
    except BaseException as problem:  # user code may also raise SystemExit and KeyboardInterrupt
        is_known = isinstance(problem, (InputError, Interrupted, UnwritableError))
        is_known |= type(problem).__name__ == "OutOfMemoryError"
        frames = traceback.extract_tb(problem.__traceback__)
        if is_known or not (library_too or any(map(_is_users, frames))):
            raise
        raise UserCodeError(where, problem) from problem


def tell_interrupts_apart() -> None:
    """Let Ctrl-C raise Interrupted, if Python handles it; call it in the main thread."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted


def in_one_line(problem: BaseException) -> str:
    """Return an exception's type, its message and its place in the user's own code."""
    text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
    place = _place(problem)
    return f"{type(problem).__name__}: {' '.join(text.split())}" + (f" ({place})" if place else "")


def _place(problem: BaseException) -> str:
    """Return the file and the line of an exception; empty for a line of this package."""
    if isinstance(problem, SyntaxError):
        return f"{problem.filename}:{problem.lineno}"
    frames = traceback.extract_tb(problem.__traceback__)
    if not frames:
        return "line unknown"
    last = _last_of_user(frames)
    return "" if _is_ours(last) else f"{last.filename}:{last.lineno}"


def _last_of_user(frames: traceback.StackSummary) -> traceback.FrameSummary:
    own = [frame for frame in frames if _is_users(frame)]
    return (own or frames)[-1]


def place_in_code(frames: traceback.StackSummary) -> str:
    """Return the place of a stack, in the user's own code if it passes through it.

    Args:
        frames: Frames of the stack, the outermost first.
    """
    last = _last_of_user(frames)
    return f"{last.filename}:{last.lineno} ({last.name})"


def user_traceback(problem: BaseException) -> str:
    """Return an exception's traceback without the frames before the user's code.

    Args:
        problem: The exception, with its causes.
    """
    told: traceback.TracebackException | None
    told = traceback.TracebackException.from_exception(problem)
    text = told
    while told is not None:
        told.stack = traceback.StackSummary.from_list(_from_user_code(told.stack))
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)
    return "".join(text.format()).rstrip()


def _from_user_code(frames: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return the frames from the user's first one on; without one, those below this package's."""
    for i, frame in enumerate(frames):
        if _is_users(frame):
            return frames[i:]
    ours = [i for i, frame in enumerate(frames) if _is_ours(frame)]
    return frames[ours[-1] + 1 :] if ours else list(frames)


def _is_users(frame: traceback.FrameSummary) -> bool:
    return not _is_ours(frame) and not _is_library(frame.filename)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(f"{HERE}/")


def _is_library(filename: str) -> bool:
    if {"site-packages", "dist-packages"} & set(Path(filename).parts):
        return True
    return filename.startswith(("<frozen", sysconfig.get_path("stdlib")))
