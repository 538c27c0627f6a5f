"""Define the processor of a node, whose cores and memory its ranks share."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from landscape_mpi.compute.devices.device import Device


@dataclass(frozen=True)
class CpuDevice(Device):
    """Represent the cores that this process may use."""

    kind: ClassVar[str] = "cpu"
    is_host: ClassVar[bool] = True
    backend: ClassVar[str] = "gloo"
    default_batch: ClassVar[int] = 64
    n_batches_timed: ClassVar[int] = 8
    matrix_size: ClassVar[int] = 1024
    copy_bytes: ClassVar[int] = 64 << 20
    gradient_batch: ClassVar[int] = 250
    vector_chunk: ClassVar[int] = 1 << 16  # 40 samples fill a core's cache

    @property
    def name(self) -> str:
        """Return the device's name in torch."""
        return self.kind

    @classmethod
    def visible(cls) -> list[str]:
        """Return the identity of the only device."""
        return [cls.kind]

    def describe(self) -> str:
        """Return the name of this machine's processor."""
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return names[0] if names else platform.processor() or platform.machine()

    def model(self) -> str:
        """Return its name with the instructions that torch computes with, e.g. ``AVX2``."""
        return f"{self.describe()} ({torch.backends.cpu.get_cpu_capability()})"

    def bind(self) -> None:
        """Do nothing, because the launcher binds processes to cores."""

    def synchronize(self) -> None:
        """Do nothing, because the work is complete when a call returns."""

    def free_bytes(self) -> int:
        """Return how much memory of this machine, or of the job's share of it, is free."""
        words = Path("/proc/meminfo").read_text().split()
        free = 1024 * int(words[words.index("MemAvailable:") + 1])
        limits = [_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current")]
        if None not in limits:  # a container, or a job that uses a share of its node
            free = min(free, max(0, limits[0] - limits[1]))  # type: ignore[operator]
        return free

    def precisions(self) -> tuple[str, ...]:
        """Return the types of matrix products other than fp32."""
        return ("bf16",)


def _number(path: str) -> int | None:
    file = Path(path)
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdecimal() else None


CPU = CpuDevice()
