"""torch's default device: the user's choice for the user's code, the CPU for this package.

``torch.set_default_device("cuda")``, or a ``with torch.device("cuda")`` around a call, also moves
the tensors that this package makes, where it expects the CPU.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

_chosen: torch.device | None = None  # by the user, if it is not the CPU


@contextmanager
def on_the_cpu() -> Iterator[None]:
    """Make tensors on the CPU, except in the user's own code; for a call from Python."""
    global _chosen
    before, chosen = _chosen, _default()
    if chosen is None:
        yield
        return
    _chosen = chosen
    try:
        with _torch().device("cpu"):
            yield
    finally:
        _chosen = before


@contextmanager
def given_to_the_user() -> Iterator[None]:
    """Give the user's module its default device while it is imported or builds something.

    It may choose one there. Afterwards tensors are made on the CPU again.
    """
    global _chosen
    if _chosen is not None:
        _torch().set_default_device(_chosen)
    try:
        yield
    finally:
        chosen = _default()
        if chosen is not None:
            _chosen = chosen
            _torch().set_default_device(None)


def of_the_user(
    computing: nn.Module | torch.Tensor | None = None,
) -> AbstractContextManager[object]:
    """Return a context for a call of the user's code, in any thread.

    If the user has chosen no device, the context changes nothing.

    Args:
        computing: Network or tensor of the call: tensors are made on its device. None for a call
            that reads data: tensors are made on the device that the user chose.
    """
    if _chosen is None:
        return contextlib.nullcontext()
    library = _torch()
    tensors = computing.parameters() if isinstance(computing, library.nn.Module) else (computing,)
    device = next((tensor.device for tensor in tensors if tensor is not None), _chosen)
    context: AbstractContextManager[object] = library.device(device)
    return context


def _default() -> torch.device | None:
    """Return the default device of this thread, unless it is the CPU."""
    library = _torch()
    chosen: torch.device | None = None if library is None else library.get_default_device()
    return None if chosen is None or chosen.type == "cpu" else chosen


def _torch() -> Any:
    """Return torch if it was imported: without it, nobody has chosen a device."""
    return sys.modules.get("torch")
