"""Translate the options of a command line into the keywords of a call in Python."""

from __future__ import annotations

import re
from collections.abc import Collection

# Words after an option that are not its value.
NO_VALUES = r"(?!(?:and|as|for|for\.|if|instead|is|out|or|to|too|which|with)\b)"


def in_keywords(message: str, known: Collection[str]) -> str:
    """Return a message with keywords instead of options.

    >>> in_keywords("a.h5: pass --seed 3, or a new --out, or --fresh.", ["seed", "out", "fresh"])
    'a.h5: pass seed=3, or a new out, or fresh=True.'

    Args:
        message: Message of a command. After its first line comes the user's own traceback.
        known: All keywords; other options are kept, because they belong to commands.
    """
    first, newline, rest = message.partition("\n")
    option = "|".join(sorted((name.replace("_", "-") for name in known), key=len, reverse=True))
    number = r"[-+\w.]+"
    first = re.sub(rf"--([xy])=({number}):({number}):(\d+)", r"\1=(\2, \3, \4)", first)
    first = re.sub(rf"\b([Pp]ass )--({option}) {NO_VALUES}(\w+(?:,\w+)*)", _assigned, first)
    first = first.replace("--fresh", "fresh=True")
    first = re.sub(rf"--({option})(?![\w-])", lambda found: _keyword(found[1]), first)
    return first + newline + rest


def _keyword(option: str) -> str:
    return option.replace("-", "_")


def _assigned(found: re.Match[str]) -> str:
    value = found[3] if found[3].isdecimal() else repr(found[3])
    return f"{found[1]}{_keyword(found[2])}={value}"
