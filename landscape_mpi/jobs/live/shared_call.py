"""Check that all ranks make a call from Python with the same arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.cluster.comparison import compare_words


def compare_call(ranks: Ranks, caller: str, given: Mapping[str, Any]) -> None:
    """Check that all ranks make the same call. Collective over the ranks.

    For networks and state dicts, only their presence is compared: rank 0 sends the weights.

    Args:
        ranks: All ranks.
        caller: Name of the function that was called, for messages.
        given: Its arguments by name; problems compare themselves.
    """
    words = {name: _words(value) for name, value in given.items()}
    compare_words(
        ranks, caller, words, "Every rank must make the same call. Pass the same arguments on all."
    )


def _words(value: Any) -> str:
    if isinstance(value, (bool, int, float, str, np.generic)) or value is None:
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (tuple, list, np.ndarray)):
        return f"({', '.join(_words(item) for item in value)})"
    return f"a {type(value).__name__}"
