"""What all commands share: a parser that raises, and an end with one message and a status."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from landscape_mpi.errors import (
    EXIT_BAD_INPUT,
    EXIT_BROKEN_PIPE,
    USERS_OWN,
    InputError,
    missing_packages_named,
    nearest_name,
    tell_interrupts_apart,
    users_own,
)
from landscape_mpi.garbage import search_seldom

T = TypeVar("T")


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
        words = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown(words)
        return super().parse_args(words, namespace)

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Name an unknown option first: the one it was meant to be would be called missing."""
        for word in words:
            asked = word.split("=")[0]
            if not asked.startswith("--") or asked in self._option_string_actions or asked == "--":
                continue
            near = nearest_name(asked, self._option_string_actions)
            hint = f" Did you mean {near}?" if near else ""
            self.error(f"{asked} is not an option of this command.{hint}")

    def error(self, message: str) -> NoReturn:
        """Raise the parser's complaint as an InputError.

        Raises:
            InputError: Always.
        """
        if message.endswith("expected one argument"):
            message += ": a value that begins with - needs an equals sign, e.g. --x=-1:1:51"
        end = "" if message.endswith(("?", ".")) else "."
        raise InputError(f"{self.prog}: {message}{end} See {self.prog} --help.")


class SayAndEnd(argparse.Action):
    """Says something and ends there, as --help does: other options are not needed."""

    def __init__(self, *, say: Callable[[Any], int], **settings: Any) -> None:
        """Prepare the action.

        Args:
            say: Prints what the option's value asks for, and returns the exit status.
            settings: Of the option.
        """
        super().__init__(**settings)
        self._say = say

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Say it."""
        run_alone(lambda _: self._say(values))


def request_of(kind: type[T], options: argparse.Namespace) -> T:
    """Return a request with the options of its fields' names, and so in each of its parts.

    Args:
        kind: A dataclass, some of whose fields may be dataclasses.
        options: As parsed. A field that the command has no option for keeps its default.
    """
    types, given = typing.get_type_hints(kind), {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(types[item.name]):
            given[item.name] = request_of(types[item.name], options)
        elif hasattr(options, item.name):
            given[item.name] = getattr(options, item.name)
    return kind(**given)


def run_alone(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command of one process and leave with its status; bad input is one line, status 2."""
    search_seldom()
    tell_interrupts_apart()
    try:
        with users_own(USERS_OWN), missing_packages_named():
            status = main(sys.argv[1:])
        sys.stdout.flush()
        sys.exit(status)
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except BrokenPipeError:  # what reads it, as head does, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
