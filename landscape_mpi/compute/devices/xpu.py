"""Define the GPUs of Intel, which torch calls ``xpu``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

import torch

from landscape_mpi.compute.devices.device import Device


@dataclass(frozen=True)
class XpuDevice(Device):
    """Represent one GPU of Intel, or one tile of it."""

    kind: ClassVar[str] = "xpu"
    backend: ClassVar[str] = "xccl"
    mask: ClassVar[str] = "ZE_AFFINITY_MASK"
    default_batch: ClassVar[int] = 1024
    n_batches_timed: ClassVar[int] = 20
    matrix_size: ClassVar[int] = 8192
    copy_bytes: ClassVar[int] = 1 << 30
    gradient_batch: ClassVar[int] = 1000
    vector_chunk: ClassVar[int] = 1 << 20  # 40 samples take 320 MB

    @classmethod
    def visible(cls) -> list[str]:
        """Return the identities of the GPUs that this process sees, in the order of their index.

        Some versions of torch report no UUID. Then the identity is the GPU's name in the launcher's
        mask, or its index if all processes of a node see the same GPUs.
        """
        n = torch.xpu.device_count() if torch.xpu.is_available() else 0
        shown = [name for name in os.environ.get(cls.mask, "").split(",") if name]
        names = shown if len(shown) == n else [str(index) for index in range(n)]
        return [_uuid(index) or names[index] for index in range(n)]

    @classmethod
    def current(cls) -> Device | None:
        """Return the current GPU of this thread; None if the process has not used one."""
        if not (torch.xpu.is_available() and torch.xpu.is_initialized()):
            return None
        return cls(torch.xpu.current_device())

    def describe(self) -> str:
        """Return the GPU's name, e.g. ``Intel(R) Data Center GPU Max 1550``."""
        return torch.xpu.get_device_name(self.index)

    def model(self) -> str:
        """Return the GPU's name and memory."""
        size = torch.xpu.get_device_properties(self.index).total_memory
        return f"{self.describe()} of {size / 2**30:.0f} GiB"

    def bind(self) -> None:
        """Make this GPU the current one of this thread."""
        torch.xpu.set_device(self.index)

    def synchronize(self) -> None:
        """Wait until the GPU has finished all work."""
        torch.xpu.synchronize(self.index)

    def free_bytes(self) -> int:
        """Return how much of the GPU's memory is free."""
        return int(torch.xpu.mem_get_info(self.index)[0])

    def precisions(self) -> tuple[str, ...]:
        """Return the types of matrix products other than fp32."""
        return ("bf16",)

    def generators(self) -> list[torch.Generator]:
        """Return the generator that draws on this GPU."""
        torch.xpu.init()
        return [torch.xpu.default_generators[self.index]]


def _uuid(index: int) -> str:
    return str(getattr(torch.xpu.get_device_properties(index), "uuid", ""))
