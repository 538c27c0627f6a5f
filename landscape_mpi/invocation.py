"""The words that started this process, for help and for messages that name a command."""

from __future__ import annotations

AS_MODULE = "python -m landscape_mpi."  # typed before the name of a command, also in docstrings


class _Typed:
    """Hold the words that started this process."""

    before_name = AS_MODULE


def set_words_before_name(words: str) -> None:
    """Say how commands are started in this process, so that help and messages show the same words.

    Args:
        words: Words that are typed before the name of a command, e.g. "landscape-mpi ".
    """
    _Typed.before_name = words


def typed(name: str) -> str:
    """Return the words that start a command, e.g. landscape-mpi plot.

    Args:
        name: Name of the command, e.g. plot, or curve train.
    """
    return f"{_Typed.before_name}{name}"


def as_typed(text: str) -> str:
    """Return a text whose command lines begin as the one that started this process."""
    return text.replace(AS_MODULE, _Typed.before_name)
