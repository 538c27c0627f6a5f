"""Python's garbage collection, made rare: nothing that a command imports ever becomes garbage.

Torch and other imports create half a million objects. Scanning them all, twice during the imports
and twice more at the end of the process, took a fifth of the processor time of a small job on a
rank.
"""

from __future__ import annotations

import atexit
import gc

YOUNG = 20_000  # new objects before the young ones are scanned; Python 3.11's own value is 700
OLDER = (20, 100)  # times that, before older ones are scanned
LITTLE = 64 << 20  # bytes that may wait for a scan
ALWAYS = LITTLE + 1

_waiting = 0  # largest size of unused memory, bytes


def search_seldom() -> None:
    """Make this process scan for garbage less often, and not at all at its end."""
    gc.set_threshold(YOUNG, *OLDER)
    atexit.register(gc.freeze)  # then live objects are not scanned


def free_unused(n_bytes: int) -> None:
    """Free memory that is no longer used, if it may be large.

    Networks that torch has traced form cycles, which only a scan finds.

    Args:
        n_bytes: Memory that is used from now on, until the next call.
    """
    global _waiting
    if _waiting > LITTLE:
        gc.collect()
        _waiting = 0
    _waiting += n_bytes
