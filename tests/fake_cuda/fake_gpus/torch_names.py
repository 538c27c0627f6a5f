"""The names that torch._C has only where torch was built for CUDA.

torch.cuda itself is Python code that stands on them, so that all of it is torch's own.
"""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

from fake_gpus.visible import VisibleGpus

UNLIMITED = 2**63 - 1  # bytes
FIRST_HANDLE = 0x1000  # of streams, which CUDA knows by an address


def add_names(torch_c: Any, library: ModuleType, gpus: VisibleGpus) -> None:
    """Add the names to torch._C.

    Args:
        torch_c: The module, before torch.cuda is imported.
        library: The compiled part.
        gpus: That this process sees.
    """
    groups = (_devices(library, gpus), _streams(torch_c, library), _memory(library))
    for group in (*groups, _graphs(library), _start(library, gpus)):
        for name, value in group.items():
            setattr(torch_c, name, value)
    torch_c._has_cuda = True


def _devices(library: ModuleType, gpus: VisibleGpus) -> dict[str, Any]:
    return {
        "_CudaDeviceProperties": type(gpus).kind_of_properties,
        "_cuda_getDevice": library.current_device,
        "_cuda_setDevice": library.set_device,
        "_cuda_exchangeDevice": library.exchange_device,
        "_cuda_maybeExchangeDevice": library.maybe_exchange_device,
        "_cuda_synchronize": library.synchronize,
        "_cuda_canDeviceAccessPeer": lambda device, peer: False,
        "_cuda_getArchFlags": lambda: None,
    }


def _streams(torch_c: Any, library: ModuleType) -> dict[str, Any]:
    class CudaStreamBase(torch_c.Stream):
        priority = 0

        def __new__(
            cls,
            priority: int = 0,
            stream_id: int = 0,
            device_index: int = 0,
            device_type: int = 0,
            stream_ptr: int = 0,
        ) -> Any:
            if device_type:
                return super().__new__(cls, stream_id, device_index, device_type)
            return super().__new__(cls, device=f"cuda:{library.current_device()}")

        @property
        def cuda_stream(self) -> int:
            return _handle(self.stream_id)

        @staticmethod
        def priority_range() -> tuple[int, int]:
            return 0, -5

    class CudaEventBase(torch_c.Event):
        def __new__(cls, external: bool = False, **options: bool) -> Any:
            return super().__new__(cls, device="cuda", **options)

        @property
        def cuda_event(self) -> int:
            return id(self)

        def record(self, stream: Any) -> None:
            self._recorded_s = time.perf_counter()
            super().record(stream)

        def elapsed_time(self, end: Any) -> float:
            return 1000 * (end._recorded_s - self._recorded_s)

    def handle_of_current(device: int) -> int:
        return _handle(library.current_stream(device)[0])

    return {
        "_cuda_getCurrentRawStream": handle_of_current,
        "_CudaStreamBase": CudaStreamBase,
        "_CudaEventBase": CudaEventBase,
        "_cuda_getCurrentStream": library.current_stream,
        "_cuda_getDefaultStream": library.default_stream,
        "_cuda_setStream": lambda stream_id, device_index, device_type: library.set_stream(
            stream_id, device_index, device_type
        ),
        "_cuda_isCurrentStreamCapturing": library.is_current_stream_capturing,
    }


def _handle(stream_id: int) -> int:
    return FIRST_HANDLE + stream_id if stream_id else 0


def _memory(library: ModuleType) -> dict[str, Any]:
    def memory_stats(device: int) -> dict[str, Any]:
        usage = library.usage(device)
        return {
            f"{kind}_bytes": {"all": {"current": usage[kind], "peak": usage[f"peak_{kind}"]}}
            for kind in ("allocated", "reserved")
        } | {"num_alloc": usage["n_allocations"], "num_ooms": usage["n_shortages"]}

    def mem_get_info(device: int) -> tuple[int, int]:
        library.open_context(device)
        usage = library.usage(device)
        fits = min(usage["total"], usage["limit"])
        return max(0, fits - usage["reserved"]), usage["total"]

    def set_memory_fraction(fraction: float, device: int) -> None:
        total = library.usage(device)["total"]
        library.set_limit(device, int(fraction * total) if fraction < 1 else UNLIMITED)

    return {
        "_cuda_setMemoryFraction": set_memory_fraction,
        "_cudart": SimpleNamespace(
            cudaMemGetInfo=mem_get_info,
            cudaError=SimpleNamespace(success=0),
            cudaGetErrorString=lambda error: f"error {error}",
        ),
        "_cuda_memoryStats": memory_stats,
        "_cuda_resetPeakMemoryStats": library.reset_peaks,
        "_cuda_resetAccumulatedMemoryStats": lambda device: None,
        "_cuda_emptyCache": library.empty_caches,
        "_host_emptyCache": lambda: None,
        "_cuda_ipc_collect": lambda: None,
    }


def _graphs(library: ModuleType) -> dict[str, Any]:
    return {"_CUDAGraph": library.Graph, "_graph_pool_handle": library.new_pool_id}


def _start(library: ModuleType, gpus: VisibleGpus) -> dict[str, Any]:
    """Return how CUDA is counted and started, which a process can do only before it forks."""
    state = {"counted": False, "forked": False}
    os.register_at_fork(after_in_child=lambda: state.update(forked=state["counted"]))

    def device_count() -> int:
        state["counted"] = True
        return library.device_count()

    def init() -> None:
        if device_count() == 0:
            raise RuntimeError("No CUDA GPUs are available")
        cuda = sys.modules["torch.cuda"]
        n = library.device_count()
        cuda.default_generators = tuple(map(library.default_generator, range(n)))  # type: ignore[attr-defined]
        cuda._get_device_properties = gpus.properties  # type: ignore[attr-defined]

    return {
        "_cuda_getDeviceCount": device_count,
        "_cuda_init": init,
        "_cuda_isInBadFork": lambda: state["forked"],
    }
