"""Threads that each compute on one core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def single_core_threads(n: int) -> ThreadPoolExecutor:
    """Return n threads whose operations are not split over cores.

    OpenMP keeps its number of threads for each thread by itself: a new one has that of the
    environment, and torch corrects this only at the first operation that is large enough. Kernels
    before that would share their sums out, with other last bits.
    """
    return ThreadPoolExecutor(n, initializer=torch.set_num_threads, initargs=(1,))
