"""Define the GPUs that torch calls ``cuda``: NVIDIA's, and AMD's with ROCm."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import ClassVar

import torch

from landscape_mpi.compute.devices import recording
from landscape_mpi.compute.devices.device import Device, Work

FIRST_WITH_TF32 = (8, 0)  # compute capability; older GPUs accept the flag and ignore it
IS_ROCM = torch.version.hip is not None
# Variables by which launchers hide GPUs; each one counts the GPUs that the one before shows.
AMD_MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
MASKS = (*AMD_MASKS, "CUDA_VISIBLE_DEVICES") if IS_ROCM else ("CUDA_VISIBLE_DEVICES",)
LISTING = ("rocm-smi", "--showid") if IS_ROCM else ("nvidia-smi", "-L")
LISTING_S = 20  # a driver that hangs must not block the job


@dataclass(frozen=True)
class CudaDevice(Device):
    """Represent one GPU of NVIDIA or AMD."""

    kind: ClassVar[str] = "cuda"
    can_record: ClassVar[bool] = True
    backend: ClassVar[str] = "nccl"
    mask: ClassVar[str] = MASKS[0]
    default_batch: ClassVar[int] = 1024
    n_batches_timed: ClassVar[int] = 20
    matrix_size: ClassVar[int] = 8192
    copy_bytes: ClassVar[int] = 1 << 30
    gradient_batch: ClassVar[int] = 1000
    vector_chunk: ClassVar[int] = 1 << 20  # 40 samples take 320 MB

    @classmethod
    def visible(cls) -> list[str]:
        """Return the identities of the GPUs that this process sees, in the order of their index.

        Two slices of one GPU (MIG) may both have its UUID; the launcher's name for a slice tells
        them apart.
        """
        # cuBLAS reads this when it starts; without it, sums may have a different order each time.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        n, shown = torch.cuda.device_count(), _shown()
        names = shown if len(shown) == n else [str(index) for index in range(n)]
        if any(name.startswith("MIG-") for name in names):
            return names
        return [_uuid(index) or names[index] for index in range(n)]

    @classmethod
    def passed_over(cls) -> str | None:
        """Return why torch does not see this machine's GPUs; None if it has none."""
        if torch.cuda.is_available() or _is_hidden():
            return None
        n = _number_of_gpus()
        if n == 0:
            return None
        found, them = ("a GPU", "it") if n == 1 else (f"{n} GPUs", "them")
        return (
            f"{LISTING[0]} finds {found} here, but torch {torch.__version__} cannot use {them}: "
            f"{_fault()}"
        )

    @classmethod
    def current(cls) -> Device | None:
        """Return the current GPU of this thread; None if the process has not used one."""
        if not (torch.cuda.is_available() and torch.cuda.is_initialized()):
            return None
        return cls(torch.cuda.current_device())

    def describe(self) -> str:
        """Return the GPU's name, e.g. ``NVIDIA H200``."""
        return torch.cuda.get_device_name(self.index)

    def model(self) -> str:
        """Return name and memory, which distinguish models and sizes of slices."""
        size = torch.cuda.get_device_properties(self.index).total_memory
        return f"{self.describe()} of {size / 2**30:.0f} GiB"

    def driver(self) -> str:
        """Return the versions of the driver and of torch's libraries, e.g. ``CUDA 12.8``."""
        if IS_ROCM:
            return f"ROCm {torch.version.hip}"
        return f"driver {_version_of_driver()}, CUDA {torch.version.cuda}"

    def n_peers(self) -> int:
        """Return how many of the other GPUs here lend it their memory."""
        others = set(range(torch.cuda.device_count())) - {self.index}
        return sum(torch.cuda.can_device_access_peer(self.index, other) for other in others)

    def bind(self) -> None:
        """Make this GPU the current one of this thread."""
        torch.cuda.set_device(self.index)

    def synchronize(self) -> None:
        """Wait until the GPU has finished all work, given by any thread."""
        torch.cuda.synchronize(self.index)

    def free_bytes(self) -> int:
        """Return how much of the GPU's memory is free."""
        return int(torch.cuda.mem_get_info(self.index)[0])

    def precisions(self) -> tuple[str, ...]:
        """Return the types of matrix products other than fp32."""
        if IS_ROCM or torch.cuda.get_device_capability(self.index) < FIRST_WITH_TF32:
            return ("bf16",)
        return ("tf32", "bf16")

    def generators(self) -> list[torch.Generator]:
        """Return the generator that draws on this GPU."""
        torch.cuda.init()
        return [torch.cuda.default_generators[self.index]]

    def record(self, work: Work) -> Work:
        """Record the kernels of some work as a CUDA graph; return a function that launches them.

        Raises:
            OutOfMemoryError: If the device's memory does not suffice.
            RuntimeError: If the work cannot be recorded, e.g. since it reads a value.
        """
        return recording.record(work, self.index)


def _shown() -> list[str]:
    """Return the names of the GPUs that a launcher shows to this process; none if it shows all."""
    given = [os.environ[name] for name in MASKS if name in os.environ]
    if not given:
        return []
    *outer, last = given
    return ["/".join([*outer, word.strip()]) for word in last.split(",") if word.strip()]


def _is_hidden() -> bool:
    """Return whether GPUs are hidden from this process on purpose."""
    given = [os.environ[name].strip() for name in MASKS if name in os.environ]
    return any(words in {"", "-1"} for words in given)


def _uuid(index: int) -> str:
    return str(getattr(torch.cuda.get_device_properties(index), "uuid", ""))


def _number_of_gpus() -> int:
    """Return how many GPUs the driver's own tool lists; 0 if the tool is absent or fails."""
    lines = _lines_of(LISTING)
    return len({line.split(":")[0] for line in lines if line.startswith("GPU")})


def _version_of_driver() -> str:
    lines = _lines_of(("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"))
    return lines[0] if lines else "unknown"


def _lines_of(command: tuple[str, ...]) -> list[str]:
    """Return what a tool of the driver prints; nothing if the tool is absent or fails."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LISTING_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


def _fault() -> str:
    """Return the reason why CUDA does not start."""
    if not torch.backends.cuda.is_built() and not IS_ROCM:
        return "it is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as problem:
        return str(problem).splitlines()[0].rstrip(".")
    return "it sees none of them"
