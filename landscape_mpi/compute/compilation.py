"""Compile networks by torch.

Torch keeps compiled code in its own cache of the node (TORCHINDUCTOR_CACHE_DIR, by default a folder
of this user under /tmp), where other ranks and later runs find it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def compiled(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a network that is compiled at its first call, once for each batch size.

    Args:
        network: Network on its device, in the type it computes in; its weights may move afterwards.
    """
    # Networks of one class share their compiled versions. Torch keeps eight of these and silently
    # runs the next one uncompiled. So the versions of earlier planes are dropped.
    torch.compiler.reset()
    return torch.compile(network, dynamic=False)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run the user's compiled code uncompiled inside the context, in all threads.

    Under a dispatch mode torch would leave the code uncompiled for ever, and torch cannot
    differentiate compiled functions twice.
    """
    if "torch._dynamo" not in sys.modules:  # nothing is compiled; its import is slow
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
