"""What all commands share: a parser that raises, and an end with one message and a status."""

from __future__ import annotations

import argparse
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


def run_alone(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command of one process and leave with its status; bad input is one line, status 2."""
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
