"""Make this process compute the same bits every time, in the requested types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

# Switches of cuDNN. Its benchmark mode times kernels, so the choice is not repeatable.
CUDNN = {"benchmark": False, "deterministic": True}
# Operations that may compute float32 in lower precision. Newer versions of torch have a switch for
# each, and the older switches do not undo a user's setting of the newer ones.
PLACES = (
    "",
    "cuda.matmul",
    "cudnn",
    "cudnn.conv",
    "cudnn.rnn",
    "mkldnn",
    "mkldnn.matmul",
    "mkldnn.conv",
    "mkldnn.rnn",
)
NEW_SWITCH = "fp32_precision"


def compute_repeatably(*, tf32: bool = False) -> None:
    """Choose the same kernels every time, and compute float32 in full precision.

    Args:
        tf32: Whether GPUs may compute products of float32 in TF32.
    """
    for name, value in CUDNN.items():
        setattr(torch.backends.cudnn, name, value)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for place, module in _places():
        is_of_gpus = place.startswith("cud")
        setattr(module, NEW_SWITCH, "tf32" if tf32 and is_of_gpus else "ieee")


@contextmanager
def switches_restored() -> Iterator[None]:
    """Restore at the end the switches that compute_repeatably() changes."""
    new = [(module, getattr(module, NEW_SWITCH)) for _, module in _places()]
    old = [(put, value) for put, value in _older_switches() if value is not None]
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in CUDNN}
    deterministic = _deterministic()
    try:
        yield
    finally:
        if _deterministic() != deterministic:  # setting them imports the compiler, 1 s
            torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        for name, chosen in cudnn.items():
            setattr(torch.backends.cudnn, name, chosen)
        for put, value in old:
            put(value)
        for module, word in new:  # last, because the older switches set these as well
            setattr(module, NEW_SWITCH, word)


def _deterministic() -> tuple[bool, bool]:
    """Return whether torch asks for deterministic algorithms, and whether it only warns."""
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _older_switches() -> list[tuple[Callable[[Any], None], Any]]:
    """Return the setter of each older switch and its value; None if torch cannot tell it."""
    cudnn = torch.backends.cudnn
    return [
        (torch.set_float32_matmul_precision, _told(torch.get_float32_matmul_precision)),
        (partial(setattr, cudnn, "allow_tf32"), _told(lambda: cudnn.allow_tf32)),
    ]


def _told(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RuntimeError:  # a newer switch has a value that the older one cannot express
        return None


def _places() -> list[tuple[str, Any]]:
    """Return torch's modules with a newer switch; none before torch 2.9."""
    found = []
    for place in PLACES:
        module: Any = torch.backends
        for part in place.split(".") if place else ():
            module = getattr(module, part, None)
        if module is not None and hasattr(module, NEW_SWITCH):
            found.append((place, module))
    return found
