"""Run threads through a network layer by layer together, so that shared state shows up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import nn

LONGEST_WAIT_S = 0.5  # wait for threads that make other calls; then the threads no longer wait


@contextlib.contextmanager
def lockstep(n_threads: int) -> Iterator[None]:
    """Let threads wait for one another after each call of a module.

    If a network keeps a tensor in a global or a closure, a thread may read the tensor of another
    thread. In lockstep this happens every time, otherwise only sometimes. Threads wait after the
    module's own hooks, because a hook may be the code that keeps the tensor.

    Args:
        n_threads: Number of threads that each take a batch through the same modules.
    """
    if n_threads < 2:
        yield
        return
    meeting = threading.Barrier(n_threads)

    call = nn.Module.__call__

    def call_and_meet(module: nn.Module, *given: object, **named: object) -> object:
        made = call(module, *given, **named)
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(LONGEST_WAIT_S)
        return made

    nn.Module.__call__ = call_and_meet  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = call  # type: ignore[method-assign]
        meeting.abort()
