"""The memory of a process: keep that of activations, and see how much there is.

glibc hands large blocks back to the system when they are freed, so each activation costs page
faults again; threads make it worse, since they wait for one another there. Keeping the blocks
is a setting of the allocator; with one arena for all threads what one has freed serves the next.
"""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import torch

# Parameters of glibc's mallopt, malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGEST_INT = 2**31 - 1


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


def free_bytes(device: str) -> int:
    """Return how much memory of a device, or of this machine, is free."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    words = Path("/proc/meminfo").read_text().split()
    free = 1024 * int(words[words.index("MemAvailable:") + 1])
    limits = [_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current")]
    if None not in limits:  # a container, or a job that asked for a share of its node
        free = min(free, max(0, limits[0] - limits[1]))  # type: ignore[operator]
    return free


def _number(path: str) -> int | None:
    file = Path(path)
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdecimal() else None
