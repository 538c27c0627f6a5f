"""The random numbers of batches: each batch has its own, the same at every point and on any rank.

They come from the generators that everybody draws from without naming one: torch's on the CPU and
on the device, numpy's and Python's.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from landscape_mpi.compute.compilation import uncompiled
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device


def batch_seed(seed: int, batch: int, *, use: str = "") -> int:
    """Return the seed of a batch, from 0 to 2**63 - 1.

    The numbers that a loss draws are those after ``torch.manual_seed(batch_seed(seed, batch))``.

    Args:
        seed: Of the problem.
        batch: Number of the batch in its split.
        use: What is drawn: empty for a loss and metrics. Two uses have other numbers, so that the
            noise in the data is not the noise in the loss.
    """
    words = f"{seed}/{batch}/{use}".encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:8], "big") >> 1


class Generators:
    """The generators that draw without being named, as they are for a device."""

    def __init__(self, device: Device = CPU) -> None:
        self._of_torch = [torch.default_generator, *device.generators()]

    def states(self) -> list[Any]:
        """Return what restore() takes; equal lists are equal states."""
        of_torch = [generator.get_state().numpy().tobytes() for generator in self._of_torch]
        name, keys, *rest = np.random.get_state(legacy=True)
        return [of_torch, (name, np.asarray(keys).tobytes(), *rest), random.getstate()]

    def seed(self, number: int) -> None:
        """Seed all of them; numpy's takes the number below 2**32."""
        for generator in self._of_torch:
            generator.manual_seed(number)
        np.random.seed(number % 2**32)
        random.seed(number)

    def restore(self, states: list[Any]) -> None:
        """Put them back into states that states() has returned."""
        of_torch, (name, keys, *rest), of_python = states
        for generator, state in zip(self._of_torch, of_torch, strict=True):
            generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))
        random.setstate(of_python)

    @contextmanager
    def seeded(self, number: int) -> Iterator[None]:
        """Seed them for a while, and leave them as they were."""
        before = self.states()
        self.seed(number)
        try:
            yield
        finally:
            self.restore(before)


class DrawWatch(TorchDispatchMode):
    """Notes whether torch draws random numbers from a generator that is not named.

    The state of a generator at the end does not always tell: a function may put it back.
    What torch.compile has compiled runs uncompiled here.
    """

    def __init__(self, device: Device = CPU) -> None:
        super().__init__()
        self.drawn = False
        self._generators = Generators(device)
        self._uncompiled = ExitStack()

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._uncompiled.enter_context(uncompiled())
        super().__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        """Watch no more."""
        super().__exit__(*problem)
        self._uncompiled.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do an operation; look at the generators where it may draw (attention seldom does)."""
        given = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **given)
        before = self._generators.states()
        found = func(*args, **given)
        self.drawn |= self._generators.states() != before
        return found
