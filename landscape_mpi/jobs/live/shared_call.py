"""A call from Python that every rank makes: with the same arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.cluster.comparison import compare_words


def compare_call(ranks: Ranks, caller: str, given: Mapping[str, Any]) -> None:
    """Check that all ranks make the same call. Collective over the ranks.

    Of networks and state dicts it compares that they are given: rank 0 sends the weights.

    Args:
        ranks: All ranks.
        caller: Name of the function that was called, for messages.
        given: Its arguments by name; those that are problems compare themselves.
    """
    words = {name: _words(value) for name, value in given.items()}
    compare_words(ranks, caller, words, "Every rank makes the same call: pass the same to all.")


def _words(value: Any) -> str:
    if isinstance(value, (bool, int, float, str, np.generic)) or value is None:
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (tuple, list, np.ndarray)):
        return f"({', '.join(_words(item) for item in value)})"
    return f"a {type(value).__name__}"
