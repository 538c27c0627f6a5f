"""Storages that Python makes without a tensor, e.g. for a copy of a parameter.

Torch's C++ makes them for the devices it was built for, and for no others.
"""

from __future__ import annotations

from typing import Any


def allow_storages(module: Any) -> None:
    """Let torch.UntypedStorage(n, device="cuda") be memory of a fake GPU.

    Args:
        module: torch.storage.
    """
    kind = module.UntypedStorage
    plain = kind.__new__

    def make(cls: Any, *sizes: Any, device: Any = None, **options: Any) -> Any:
        import torch

        if device is None or torch.device(device).type != "cuda":
            return plain(cls, *sizes, **({} if device is None else {"device": device}), **options)
        n_bytes = sizes[0] if sizes else 0
        return torch.empty(n_bytes, dtype=torch.uint8, device=device).untyped_storage()

    kind.__new__ = make
