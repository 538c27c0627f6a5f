"""Python's search for garbage: seldom, since nothing that a command imports becomes garbage.

Torch and its company are half a million objects. Looking through them all, twice while they are
imported and twice more when the process ends, was a fifth of what a small job costs a rank.
"""

from __future__ import annotations

import atexit
import gc

YOUNG = 20_000  # objects made before the young ones are looked through; Python 3.11 has 700
OLDER = (20, 100)  # times that, before older ones are
LITTLE = 64 << 20  # bytes that may wait to be found
ALWAYS = LITTLE + 1

_waiting = 0  # bytes, at most, of what is no longer used


def search_seldom() -> None:
    """Let this process look for garbage less often, and not at all when it ends."""
    gc.set_threshold(YOUNG, *OLDER)
    atexit.register(gc.freeze)  # what is alive is out of sight then


def make_room(n_bytes: int) -> None:
    """Free what was used before, where it may be much.

    Networks that torch has traced are cycles, which are found by a search and by nothing else.

    Args:
        n_bytes: What is used from now on, until the next call.
    """
    global _waiting
    if _waiting > LITTLE:
        gc.collect()
        _waiting = 0
    _waiting += n_bytes
