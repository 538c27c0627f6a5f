"""The common parts of all commands: a parser that raises, and an exit with one message."""

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
from landscape_mpi.gc_tuning import search_seldom
from landscape_mpi.invocation import as_typed, typed

T = TypeVar("T")


class CommandParser(argparse.ArgumentParser):
    """Argument parser that raises InputError, so that only one of many ranks prints."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    @classmethod
    def of_command(cls, name: str, text: str | None, **settings: Any) -> CommandParser:
        """Return a parser whose help ends with the examples of the command.

        Args:
            name: Name of the command, e.g. surface, or curve train.
            text: Docstring of the command. Its first indented block begins the examples.
            settings: Further settings of the parser.
        """
        about, _, examples = as_typed(text or "").partition("\n\n  ")
        epilog = f"examples:\n\n  {examples}"
        return cls(prog=typed(name), description=about, epilog=epilog, **settings)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse args; name the nearest known option for an unknown one.

        Raises:
            InputError: If an option is unknown, missing or has a value it cannot take.
        """
        words = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown(words)
        return super().parse_args(words, namespace)

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Report an unknown option first, or the intended one would be reported as missing."""
        for word in words:
            asked = word.split("=")[0]
            if not asked.startswith("--") or asked in self._option_string_actions or asked == "--":
                continue
            near = nearest_name(asked, self._option_string_actions)
            hint = f" Did you mean {near}?" if near else ""
            self.error(f"{asked} is not an option of this command.{hint}")

    def error(self, message: str) -> NoReturn:
        """Raise the parser's message as an InputError.

        Raises:
            InputError: Always.
        """
        if message.endswith("expected one argument"):
            message += ": a value that begins with - needs an equals sign, e.g. --x=-1:1:51"
        end = "" if message.endswith(("?", ".")) else "."
        raise InputError(f"{self.prog}: {message}{end} See {self.prog} --help.")


class SayAndEnd(argparse.Action):
    """Option that prints something and exits, like --help; it needs no other options."""

    def __init__(self, *, say: Callable[[Any], int], **settings: Any) -> None:
        """Prepare the action.

        Args:
            say: Prints the text for the option's value, and returns the exit status.
            settings: Settings of the option.
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
        """Print the text and exit."""
        run_alone(lambda _: self._say(values))


def request_of(kind: type[T], options: argparse.Namespace) -> T:
    """Fill a request and its parts with the options that have the names of their fields.

    Args:
        kind: A dataclass, some of whose fields may be dataclasses.
        options: Parsed options. A field without an option keeps its default.
    """
    types, given = typing.get_type_hints(kind), {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(types[item.name]):
            given[item.name] = request_of(types[item.name], options)
        elif hasattr(options, item.name):
            given[item.name] = getattr(options, item.name)
    return kind(**given)


def run_alone(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a single-process command and exit with its status; bad input gives one line, status 2."""
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
    except BrokenPipeError:  # the reader of the output, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
