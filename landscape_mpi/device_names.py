"""The device names that --device and device= accept, and the reasons why others are refused.

A single process may name one GPU, such as ``cuda:1``; each rank takes the GPU of its local rank.
"""

from __future__ import annotations

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.registry import DEVICES

AUTO = "auto"  # GPUs if there are any, otherwise the CPU
DEVICE_NAMES = (AUTO, *DEVICES)
GPUS = tuple(name for name in DEVICES if name != "cpu")
GPU_WORDS = {"gpu", "nvidia", "amd", "rocm", "hip", "intel"}


def check_device(name: str, option: str) -> str:
    """Check a word for a device, and return it.

    Args:
        name: The given word.
        option: The option with this value, for the message.

    Raises:
        InputError: If it cannot be used here.
        unknown_name: If there is no such word.
    """
    if name in DEVICE_NAMES:
        return name
    kind, index = kind_and_index(name)
    if index is not None and kind in GPUS:
        return name
    if kind == "mps":
        raise InputError(
            f"{option}: {name} (Apple's GPUs) has no float64, which is needed to add up losses. "
            "Pass cpu."
        )
    if kind in GPU_WORDS:
        raise InputError(
            f"{option}: {name} could mean several kinds of GPU. Pass {AUTO}, which takes GPUs if "
            "there are any, cuda for those of NVIDIA and AMD, or xpu for those of Intel."
        )
    raise unknown_name(option, name, DEVICE_NAMES)


def kind_and_index(name: str) -> tuple[str, int | None]:
    """Return the kind of a device, and its index if the name has one."""
    kind, _, index = name.partition(":")
    return kind, int(index) if index.isascii() and index.isdecimal() else None
