"""Networks compiled by torch.

What has been compiled is kept in torch's own cache of the node (TORCHINDUCTOR_CACHE_DIR, by
default a folder of this user's under /tmp), where other ranks and later runs find it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def compiled(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a network that is compiled when it is first called, once for each batch size.

    Args:
        network: On its device, in the type it computes in; its weights may move afterwards.
    """
    # Networks of one class share their compiled versions, of which torch keeps eight; the next is
    # run uncompiled without an error. So those of the planes before are forgotten.
    torch.compiler.reset()
    return torch.compile(network, dynamic=False)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what the user has compiled as it is written, for a while and in all threads.

    Under a dispatch mode torch would leave it uncompiled for ever, and it differentiates compiled
    functions once only.
    """
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled, and its import takes long
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
