"""An evaluation in a process of its own, so that neither way disturbs the other's allocator.

The parent asks for points one at a time and waits: two workers never compute at once.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable

import torch


class Worker:
    """A process that evaluates points."""

    def __init__(
        self,
        make: Callable[[], Callable[[float, float], float]],
        threads: int,
        *,
        start: str = "fork",
    ) -> None:
        """Start it.

        Args:
            make: Called in the process; returns the function that evaluates a point.
            threads: Cores it may use.
            start: How the process begins; on GPUs ``spawn``, which wants a make that pickles.
        """
        context = multiprocessing.get_context(start)
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, threads, there), daemon=False)
        self._process.start()
        there.close()

    def point(self, alpha: float, beta: float) -> tuple[float, float]:
        """Return the loss of a point, nats, and the time it took, s."""
        self._here.send((alpha, beta))
        return self._here.recv()

    def close(self) -> None:
        self._here.send(None)
        self._process.join()


def _serve(make: Callable, threads: int, there) -> None:
    torch.set_num_threads(threads)
    evaluate = make()
    while (point := there.recv()) is not None:
        began = time.perf_counter()
        loss = float(evaluate(*point))
        there.send((loss, time.perf_counter() - began))
