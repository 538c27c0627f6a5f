"""Short names of files for labels: only the parts of each path that distinguish it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import PurePath


def short_names(paths: Iterable[str | PurePath], *, endings: bool = False) -> list[str]:
    """Return a name for each path: its last part, and the earlier parts that distinguish it.

    Args:
        paths: Paths as the user named them; no file needs to exist. Equal paths have equal names.
        endings: Whether endings such as .pt stay. They also stay if nothing else differs.
    """
    whole = [PurePath(os.path.normpath(path)) for path in paths]
    bare = whole if endings else [path.with_name(path.stem) for path in whole]
    of_bare = {name: {w for w, b in zip(whole, bare, strict=True) if b == name} for name in bare}
    shown = [
        name if len(of_bare[name]) == 1 else path for path, name in zip(whole, bare, strict=True)
    ]
    return [_shortest(path, [other for other in shown if other != path]) for path in shown]


def _shortest(path: PurePath, others: Sequence[PurePath]) -> str:
    parts = path.parts
    for n in range(1, len(parts)):
        if all(other.parts[-n:] != parts[-n:] for other in others):
            return "/".join(parts[-n:])
    return str(path)


def joined_name(paths: Sequence[PurePath]) -> str:
    """Return a file-name part that names several files, or the first of many."""
    stems = [name_in_file(name) for name in short_names(paths)]
    return "_and_".join(stems) if len(stems) <= 3 else f"{stems[0]}_and_{len(stems) - 1}_others"


def name_in_file(name: str) -> str:
    """Turn a short name into a part of a file name."""
    return name.replace("/", "_")
