"""Set the fake GPUs of a test's process, and ask them for their state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch  # noqa: F401  the GPUs are there once it is imported

from fake_gpus import installation
from fake_gpus.library import load_library
from fake_gpus.torch_names import UNLIMITED


def contexts() -> list[int]:
    """Return the devices on which this process has a context."""
    return load_library().contexts()


def begin_again() -> None:
    """Let the process have no context and this thread be at device 0, as when it began."""
    load_library().forget_contexts()
    load_library().maybe_exchange_device(0)


@contextmanager
def only_on(index: int) -> Iterator[None]:
    """Let a context on any other device be an error where it is opened."""
    load_library().allow_only(index)
    try:
        yield
    finally:
        load_library().allow_only(-1)


@contextmanager
def like(index: int, **properties: Any) -> Iterator[None]:
    """Let a GPU be another one for a while: name, major, minor, total_memory, uuid and so on."""
    gpus = installation.gpus
    before = gpus.properties(index)
    gpus.change(index, **properties)
    try:
        yield
    finally:
        gpus.change(index, **vars(before))


@contextmanager
def room_for(n_bytes: int, index: int) -> Iterator[None]:
    """Let no more than n_bytes fit on a device beside what it holds now."""
    library = load_library()
    held = library.usage(index)
    library.set_limit(index, held["allocated"] + held["pooled"] + n_bytes)
    try:
        yield
    finally:
        library.set_limit(index, UNLIMITED)


@contextmanager
def captures_break_without_memory() -> Iterator[None]:
    """Let a lack of memory in a capture break it, as some versions of torch do.

    They then raise an AcceleratorError that does not speak of memory
    (https://github.com/pytorch/pytorch/issues/159594).
    """
    load_library().set_capture_breaks_without_memory(True)
    try:
        yield
    finally:
        load_library().set_capture_breaks_without_memory(False)


def is_capturing() -> bool:
    """Return whether a capture has begun and not ended, on any stream."""
    return load_library().is_any_capturing()


def usage(index: int) -> dict[str, int]:
    """Return the bytes of a device: total, allocated, reserved, their peaks, pooled."""
    return load_library().usage(index)


def allocated_everywhere() -> list[int]:
    """Return the bytes that tensors of this process hold on each device."""
    return [usage(index)["allocated"] for index in range(load_library().device_count())]


def counts() -> dict[str, int]:
    """Return how often the process launched, waited for a device, and replayed a graph."""
    return load_library().counts()
