"""Check the values of keywords like those of a command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from landscape_mpi.errors import InputError, unknown_name

MOST, LARGEST_SEED = 10**9, 2**63 - 1  # as on a command line


def check_choices(
    caller: str, options: Mapping[str, Any], choices: Mapping[str, Sequence[str]]
) -> None:
    """Check options that accept only certain words.

    Args:
        caller: Name of the function that was called, for messages.
        options: Options by name.
        choices: The words of each option.

    Raises:
        unknown_name: If a value is not one of them.
    """
    for name, words in choices.items():
        if name in options and options[name] not in words:
            raise unknown_name(f"{caller}: {name}", str(options[name]), words)


def check_numbers(
    caller: str,
    options: Mapping[str, Any],
    *,
    whole: Iterable[str],
    above_0: Iterable[str],
    from_0: Iterable[str] = (),
) -> None:
    """Check options that are numbers; None stands for the default.

    Args:
        caller: Name of the function that was called, for messages.
        options: Options by name.
        whole: Names of those that are whole numbers from 1 to MOST.
        above_0: Names of those that are finite numbers above 0.
        from_0: Names of those that are finite numbers of at least 0.

    Raises:
        InputError: If one is not.
    """
    largest = sys.float_info.max
    for names, kind, most, is_0_too, words in (
        (whole, Integral, MOST, False, "a whole number from 1 to 10**9"),
        (above_0, Real, largest, False, "a finite number above 0"),
        (from_0, Real, largest, True, "a finite number of at least 0"),
    ):
        for name in names:
            value = options.get(name)
            is_number = isinstance(value, kind) and not isinstance(value, bool)
            if value is None:
                continue
            if is_number and (0 < value <= most or (value == 0 and is_0_too)):
                continue
            raise InputError(f"{caller}: {name} is {value!r}, but must be {words}.")


def check_flags(caller: str, options: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check options that are True or False.

    Args:
        caller: Name of the function that was called, for messages.
        options: Options by name.
        names: Names of these options.

    Raises:
        InputError: If one is something else.
    """
    for name in names:
        if not isinstance(options.get(name, False), bool):
            raise InputError(f"{caller}: {name} is {options[name]!r}, but must be True or False.")


def check_words(caller: str, options: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check options that are one or several words; None stands for the default.

    Args:
        caller: Name of the function that was called, for messages.
        options: Options by name.
        names: Names of these options.

    Raises:
        InputError: If one is something else.
    """
    for name in names:
        value = options.get(name)
        is_several = isinstance(value, Sequence) and all(isinstance(word, str) for word in value)
        if name in options and not is_several:
            raise InputError(
                f"{caller}: {name} is {value!r}, but must be a word or a list of words. Leave it "
                "out for the default."
            )
    if "splits" in options and not options["splits"]:
        raise InputError(f"{caller}: splits is empty. Name train, test or both.")
