"""What all commands share: a parser that raises, and an end with one message and a status."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from landscape_mpi.errors import EXIT_BAD_INPUT, InputError, nearest_name


class CommandParser(argparse.ArgumentParser):
    """Argument parser whose errors are InputErrors: on many ranks one of them prints."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse args; an unknown option is answered with the nearest known one.

        Raises:
            InputError: If an option is unknown, missing or has a value it cannot take.
        """
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            asked = unknown[0].split("=")[0]
            near = nearest_name(asked, self._option_string_actions)
            hint = f" Did you mean {near}?" if near else ""
            self.error(f"{asked} is not an option of this command.{hint}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raise the parser's complaint as an InputError.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{self.prog}: {message} See {self.prog} --help.")


def positive_int(text: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1.")
    return int(text)


def seed_number(text: str) -> int:
    """Return a whole number of at least 0.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0.")
    return int(text)


def positive_seconds(text: str) -> float:
    """Return a duration above 0, s.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0.")
    return seconds


def float_list(text: str) -> tuple[float, ...]:
    """Return numbers written with commas between them.

    Raises:
        ArgumentTypeError: If one of them is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as problem:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers such as 0.485,0.456,0.406."
        ) from problem


def choices_of(*known: str, none: str | None = None) -> Callable[[str], tuple[str, ...]]:
    """Return a type for names with commas between them, each of the known ones.

    Args:
        known: The names, in the order in which they are returned.
        none: A word that stands for no name.
    """

    def parse(text: str) -> tuple[str, ...]:
        names = [] if text == none else text.split(",")
        for name in names:
            if name not in known:
                near = nearest_name(name, known)
                hint = f" Did you mean {near}?" if near else ""
                listed = ", ".join((*known, none) if none else known)
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {listed}.{hint}")
        return tuple(name for name in known if name in names)

    return parse


def run_alone(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command of one process and leave with its status; bad input is one line, status 2."""
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
