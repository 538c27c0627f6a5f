"""Errors a user can mend, and the words they share.

Every message says where, what is there, what was asked, why it matters and the way out.
A command prints it once and ends with status 2, or with 1 where a file that it fills can no
longer be written; any other exception is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

EXIT_UNWRITABLE = 1
EXIT_BAD_INPUT = 2
EXIT_BROKEN_PIPE = 141  # as a program ends that SIGPIPE ends
EXIT_REQUEUE = 75  # EX_TEMPFAIL: stopped by a signal, run the same command again


class InputError(ValueError):
    """Input that the user can mend."""


class MissingInputError(InputError, FileNotFoundError):
    """A file the user named that is not there."""


class UnwritableError(Exception):
    """A file that was being filled and can no longer be written."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: cannot be written ({problem}). The rounds before are in it. Make room, or "
            f"give this user back what it may do there, and run the same command again to go on."
        )


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like name, or None if nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


def unknown_name(where: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is none of the known ones.

    Args:
        where: Option or file that named it, e.g. ``--model``.
        name: What was asked.
        known: The names there are, in the order to list them.
    """
    choices = list(known)
    near = nearest_name(name, choices)
    hint = f" Did you mean {near}?" if near else ""
    return InputError(f"{where}: {name!r} is not known.{hint} Known: {', '.join(choices)}.")
