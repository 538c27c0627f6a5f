"""The devices torch sees in this process, as plain words."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from landscape_mpi.errors import InputError


def visible_gpus() -> list[str]:
    """Return the identities of the GPUs this process sees, in the order of their index."""
    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]


def choose_alone(asked: str) -> str:
    """Return the device of a process that has no other ranks beside it.

    Args:
        asked: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: If a GPU is asked for and absent.
    """
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise InputError(
            "--device cuda: no GPU is visible here. Check CUDA_VISIBLE_DEVICES and that torch was "
            "built for GPUs, or pass --device cpu."
        )
    return "cuda:0"


def describe_device(device: str) -> str:
    """Return the name of a device, e.g. ``NVIDIA H200``, or of this machine's processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
