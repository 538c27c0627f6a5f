"""The memory of a process: keep that of activations.

glibc hands large blocks back to the system when they are freed, so each activation costs page
faults again; threads make it worse, since they wait for one another there. Keeping the blocks
is a setting of the allocator; with one arena for all threads what one has freed serves the next.
"""

from __future__ import annotations

import ctypes
import platform

# Parameters of glibc's mallopt, malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGEST_INT = 2**31 - 1
SHARE_OF_FREE = 0.5  # of the memory of a device, for batches that stay there


def keep_freed_memory() -> bool:
    """Tell the allocator to keep what is freed.

    Returns:
        Whether it can be told; elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, LARGEST_INT), (M_ARENA_MAX, 1))
    return all(libc.mallopt(name, value) == 1 for name, value in settings)
