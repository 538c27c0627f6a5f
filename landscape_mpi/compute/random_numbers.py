"""Seed the random numbers of batches: each batch has its own, at every point and on any rank.

They come from the default generators: torch's on the CPU and on the device, numpy's and Python's.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.operation_watch import OperationWatch


def batch_seed(seed: int, batch: int, *, use: str = "") -> int:
    """Return the seed of a batch, from 0 to 2**63 - 1.

    A loss draws the numbers that follow ``torch.manual_seed(batch_seed(seed, batch))``.

    Args:
        seed: Seed of the problem.
        batch: Number of the batch in its split.
        use: Purpose of the numbers; empty for a loss and metrics. Each use has its own numbers, so
            that noise in the data is independent of noise in the loss.
    """
    words = f"{seed}/{batch}/{use}".encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:8], "big") >> 1


class Generators:
    """Hold the default generators of random numbers for a device."""

    def __init__(self, device: Device = CPU) -> None:
        self._of_torch = [torch.default_generator, *device.generators()]

    def states(self) -> list[Any]:
        """Return the states for restore(); equal lists mean equal states."""
        of_torch = [generator.get_state().numpy().tobytes() for generator in self._of_torch]
        name, keys, *rest = np.random.get_state(legacy=True)
        return [of_torch, (name, np.asarray(keys).tobytes(), *rest), random.getstate()]

    def seed(self, number: int) -> None:
        """Seed all generators; numpy's takes the seed modulo 2**32."""
        for generator in self._of_torch:
            generator.manual_seed(number)
        np.random.seed(number % 2**32)
        random.seed(number)

    def restore(self, states: list[Any]) -> None:
        """Restore the states that states() has returned."""
        of_torch, (name, keys, *rest), of_python = states
        for generator, state in zip(self._of_torch, of_torch, strict=True):
            generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))
        random.setstate(of_python)

    @contextmanager
    def seeded(self, number: int) -> Iterator[None]:
        """Seed the generators inside the context, and restore them afterwards."""
        before = self.states()
        self.seed(number)
        try:
            yield
        finally:
            self.restore(before)


class DrawWatch(OperationWatch):
    """Detect whether torch draws random numbers from a default generator.

    The state of a generator at the end does not always tell, because a function may restore it.
    """

    def __init__(self, device: Device = CPU) -> None:
        super().__init__()
        self.drawn = False
        self._generators = Generators(device)

    def run(self, operation: OpOverload, given: tuple[Any, ...], named: dict[str, Any]) -> object:
        """Run an operation; compare the generators if it may draw (attention seldom does)."""
        if torch.Tag.nondeterministic_seeded not in operation.tags:
            return operation(*given, **named)
        before = self._generators.states()
        found = operation(*given, **named)
        self.drawn |= self._generators.states() != before
        return found
