"""Make threads that each compute on one core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def single_core_threads(n: int) -> ThreadPoolExecutor:
    """Return n threads whose operations are not split over cores.

    OpenMP stores its number of threads separately for each thread. A new thread takes it from the
    environment, and torch corrects this only at the first large operation. Earlier kernels would
    split their sums, with different last bits.
    """
    return ThreadPoolExecutor(n, initializer=torch.set_num_threads, initargs=(1,))
