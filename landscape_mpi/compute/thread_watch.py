"""Watch a call for anything that threads would disturb in each other."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, Self

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize, stateless

from landscape_mpi.compute.operation_watch import WriteWatch

WRITES = "a call changes weights, which threads share"
FORWARD = (
    "derivatives in forward mode, as in torch.func.jvp, jacfwd and hessian, have one state for "
    "all threads"
)
REPLACED = "torch.func.functional_call replaces tensors of a module that threads share"
ONE_STATE = "{} has one state for all threads"
CODES = {
    forward_ad.enter_dual_level.__code__: FORWARD,
    torch.func.functional_call.__code__: REPLACED,
    stateless.functional_call.__code__: REPLACED,
    inspect.unwrap(parametrize.cached).__code__: ONE_STATE.format(
        "torch.nn.utils.parametrize.cached"
    ),
    torch.set_default_dtype.__code__: ONE_STATE.format("torch.set_default_dtype"),
}


class ThreadWatch:
    """See writes into weights, and functions of torch whose state all threads of a process share.

    If two threads made such a call at the same time, the values would be wrong at random.
    """

    def __init__(self, own: nn.Module, tensors: Iterable[torch.Tensor]) -> None:
        """Prepare to watch.

        Args:
            own: The evaluated network, of which each thread has a copy.
            tensors: Its weights, which the copies share.
        """
        self._writes = WriteWatch(tensors)
        self._own = set(own.modules())
        self._state: str | None = None

    def __enter__(self) -> Self:
        """Start watching this thread."""
        self._before = sys.getprofile()
        self._writes.__enter__()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *problem: Any) -> None:
        """Stop watching."""
        sys.setprofile(self._before)
        self._writes.__exit__(*problem)

    @property
    def reason(self) -> str | None:
        """Return why threads would disturb each other; None if nothing of the kind was seen."""
        return WRITES if self._writes.written else self._state

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code not in CODES:
            return
        if frame.f_locals.get("module") not in self._own:
            self._state = CODES[frame.f_code]
