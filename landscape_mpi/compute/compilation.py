"""Networks compiled by torch.

What has been compiled is kept in torch's own cache of the node (TORCHINDUCTOR_CACHE_DIR, by
default a folder of this user's under /tmp), where other ranks and later runs find it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def compiled(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a network that is compiled when it is first called, once for each batch size.

    Args:
        network: On its device, in the type it computes in; its weights may move afterwards.
    """
    return torch.compile(network, dynamic=False)
