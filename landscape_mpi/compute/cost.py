"""What a point costs in arithmetic and memory traffic, and what this machine can do of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.threads import single_core_threads

MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}
COPY_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}
MEASURE_S = 0.5


@dataclass(frozen=True)
class SampleCost:
    """What one sample costs, however it is computed."""

    operations: float  # floating-point operations of convolutions and matrix products
    values_moved: float  # activations, each written once and read once


@dataclass(frozen=True)
class MachineRates:
    """What one rank's share of the machine does, measured."""

    operations_per_s: float  # of matrix products in the setting's precision
    bytes_per_s: float  # read and written by a copy


def sample_cost(network: nn.Module, inputs: torch.Tensor) -> SampleCost:
    """Count what a forward pass does.

    Args:
        network: In evaluation mode, on the CPU.
        inputs: Some samples as the network sees them, [n, ...].
    """
    moved = 0

    def count(layer: nn.Module, arguments: object, output: object) -> None:
        nonlocal moved
        if isinstance(output, torch.Tensor):
            moved += 2 * output.numel()

    layers = [m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad(), _OperationCount() as counted:
        network(inputs)
    for hook in hooks:
        hook.remove()
    return SampleCost(counted.total / len(inputs), moved / len(inputs))


class _OperationCount(TorchDispatchMode):
    """Adds up what torch's own formulas say of each operation.

    torch.utils.flop_counter.FlopCounterMode does so too, but it imports torch's compiler: seconds
    on every rank, and a thousand files from the file system that all of them share.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0


def _count(
    self: _OperationCount,
    function: Any,
    types: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
) -> Any:
    found = function(*args, **(kwargs or {}))
    formula = flop_registry.get(function.overloadpacket)
    if formula is not None:
        self.total += formula(*args, **(kwargs or {}), out_val=found)
    return found


# Not in the class: what is defined there is wrapped in a call that imports the compiler.
_OperationCount.__torch_dispatch__ = _count  # type: ignore[assignment]


def measure_machine(setting: Setting) -> MachineRates:
    """Measure matrix products and copies as a rank with this setting would run them."""
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    size = MATRIX_SIZE[setting.kind]
    left = torch.randn(size, size, device=setting.device).to(dtype)
    products = _runs_per_s(lambda: left @ left, setting)
    block = torch.zeros(COPY_BYTES[setting.kind], dtype=torch.uint8, device=setting.device)
    copies = _runs_per_s(lambda: block.clone(), setting)
    return MachineRates(products * 2 * size**3, copies * 2 * block.numel())


def _runs_per_s(work: Callable[[], object], setting: Setting) -> float:
    """Return how often work runs per second, on all threads of the rank together."""

    def repeat(_: int) -> float:
        work()  # the first run allocates
        n_runs, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < MEASURE_S:
            work()
            if setting.device.startswith("cuda"):
                torch.cuda.synchronize()
            n_runs += 1
        return n_runs / elapsed

    with single_core_threads(setting.threads) as pool:
        return sum(pool.map(repeat, range(setting.threads)))
