"""Compile networks by torch.

Torch keeps compiled code in a folder of the node (TORCHINDUCTOR_CACHE_DIR, by default one under
/tmp that only this user can write to), where other ranks and later runs find it. A run loads it as
code, and torch's own default is a name that another user could take first.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from landscape_mpi.errors import InputError

CACHE = "TORCHINDUCTOR_CACHE_DIR"


def compiled(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a network that is compiled at its first call, once for each batch size.

    Args:
        network: Network on its device, in the type it computes in; its weights may move afterwards.
    """
    settle_cache()
    # Networks of one class share their compiled versions. Torch keeps eight of these and silently
    # runs the next one uncompiled. So the versions of earlier planes are dropped.
    torch.compiler.reset()
    return torch.compile(network, dynamic=False)


def settle_cache() -> Path:
    """Choose the folder for compiled code, and check that nobody else can put code into it.

    Raises:
        InputError: If somebody else can.
    """
    folder = Path(
        os.environ.setdefault(CACHE, f"{tempfile.gettempdir()}/landscape_mpi_{os.geteuid()}")
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat() if folder.parent == Path(tempfile.gettempdir()) else folder.stat()
    except OSError as problem:
        raise InputError(
            f"{CACHE}={folder}: cannot be made ({problem.strerror}). Set it to your own folder, "
            "or pass --compile off."
        ) from problem
    is_link = stat.S_ISLNK(found.st_mode)
    whose = None
    if is_link or found.st_uid != os.geteuid():
        whose = "does not belong to this user"
    elif found.st_mode & stat.S_IWOTH:
        whose = "is open to all users"
    elif found.st_mode & stat.S_IWGRP:  # also set by an access list that lets another user write
        whose = "is open to its group"
    if whose is not None:
        raise InputError(
            f"{CACHE}={folder}: {whose}, so other users could make this run load their code. Set "
            "it to a folder that only you can write to (mkdir -m 700, or chmod 700), or pass "
            "--compile off."
        )
    return folder


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
