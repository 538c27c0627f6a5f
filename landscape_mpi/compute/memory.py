"""Keep the memory of activations in the process.

glibc returns large blocks to the system when they are freed, so each activation causes page faults
again. Threads make this worse, because they wait for one another there. A setting of the allocator
keeps the blocks; with one arena for all threads, a block that one thread frees serves the next.
"""

from __future__ import annotations

import ctypes
import platform

# Parameters of glibc's mallopt, malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGEST_INT = 2**31 - 1
SHARE_OF_FREE = 0.5  # share of a device's memory for batches that stay there


def keep_freed_memory() -> bool:
    """Tell the allocator to keep freed memory.

    Returns:
        Whether the allocator accepts this; nothing happens without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, LARGEST_INT), (M_ARENA_MAX, 1))
    return all(libc.mallopt(name, value) == 1 for name, value in settings)
