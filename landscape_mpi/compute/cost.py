"""Count a point's arithmetic and memory traffic, and measure this machine's rates of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils.flop_counter import flop_registry

from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.operation_watch import OperationWatch
from landscape_mpi.compute.threads import single_core_threads

MEASURE_S = 0.5


@dataclass(frozen=True)
class SampleCost:
    """Hold the cost of one sample, independent of how it is computed."""

    operations: float  # floating-point operations in convolutions and matrix products
    values_moved: float  # activations of the layers with weights, each written once and read once
    largest_bytes: float = 0.0  # size of the largest tensor that an operation makes


@dataclass(frozen=True)
class MachineRates:
    """Hold the measured rates of one rank's share of the machine."""

    operations_per_s: float  # rate of matrix products in the setting's precision
    bytes_per_s: float  # rate of a copy, reads and writes together


def sample_cost(network: nn.Module, inputs: torch.Tensor) -> SampleCost:
    """Count the operations and the memory traffic of a forward pass.

    Args:
        network: Network in evaluation mode, on the CPU.
        inputs: Some samples as the network sees them, [n, ...].
    """
    moved = 0

    def count(layer: nn.Module, arguments: object, output: object) -> None:
        nonlocal moved
        if isinstance(output, torch.Tensor):
            moved += 2 * output.numel()

    layers = [m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad(), _OperationCount() as counted:
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    n = len(inputs)
    return SampleCost(counted.total / n, moved / n, counted.largest_bytes / n)


def sample_cost_if_known(network: nn.Module, inputs: torch.Tensor) -> SampleCost | None:
    """Return the cost of a sample in a forward pass; None if the network cannot be counted.

    Args:
        network: Network in evaluation mode, on the CPU.
        inputs: Some samples as the network sees them, [n, ...].
    """
    try:
        return sample_cost(network, inputs)
    except Exception:
        return None


class _OperationCount(OperationWatch):
    """Add up torch's own formulas for each operation, and the sizes of its results.

    torch.utils.flop_counter.FlopCounterMode also does this, but it imports torch's compiler: this
    takes seconds on every rank and reads a thousand files from the shared file system.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.largest_bytes = 0  # size of a tensor

    def run(self, operation: OpOverload, given: tuple[Any, ...], named: dict[str, Any]) -> object:
        """Run an operation, and count it."""
        found = operation(*given, **named)
        formula = flop_registry.get(getattr(operation, "overloadpacket", None))
        if formula is not None:
            self.total += formula(*given, **named, out_val=found)
        made = found if isinstance(found, tuple | list) else (found,)
        for tensor in made:
            # A view takes no memory, e.g. a large embedding that is also a language model's output
            # layer.
            if isinstance(tensor, torch.Tensor) and not _shares_memory(tensor, given):
                self.largest_bytes = max(self.largest_bytes, tensor.nbytes)
        return found


def _shares_memory(tensor: torch.Tensor, others: tuple[Any, ...]) -> bool:
    place = tensor.untyped_storage().data_ptr()
    tensors = (other for other in others if isinstance(other, torch.Tensor))
    return any(other.untyped_storage().data_ptr() == place for other in tensors)


def measure_machine(
    setting: Setting, *, matrix_size: int | None = None, copy_bytes: int | None = None
) -> MachineRates:
    """Measure matrix products and copies as a rank with this setting would run them.

    Args:
        setting: Device, precision and number of threads.
        matrix_size: Rows of the square matrices; None for a size that fills the device.
        copy_bytes: Size of a copy; None for a size that fills the device.
    """
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    device = setting.device
    size = matrix_size or device.matrix_size
    left = torch.randn(size, size, dtype=torch.float32, device=device.name).to(dtype)
    products = _runs_per_s(lambda: left @ left, setting)
    block = torch.zeros(copy_bytes or device.copy_bytes, dtype=torch.uint8, device=device.name)
    copies = _runs_per_s(lambda: block.clone(), setting)
    return MachineRates(products * 2 * size**3, copies * 2 * block.numel())


def _runs_per_s(work: Callable[[], object], setting: Setting) -> float:
    """Return how often work runs per second, on all threads of the rank together."""

    def repeat(_: int) -> float:
        setting.device.bind()  # a new thread starts on the first GPU
        work()  # the first run also allocates memory
        n_runs, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < MEASURE_S:
            work()
            setting.device.synchronize()
            n_runs += 1
        return n_runs / elapsed

    with single_core_threads(setting.threads) as pool:
        return sum(pool.map(repeat, range(setting.threads)))
