"""Threads that compute on one core each.

Oracle: what OpenMP says of the thread, asked of the library that torch has loaded.
"""

import ctypes
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from limits import LIMIT_S

from landscape_mpi.compute.threads import single_core_threads


@pytest.fixture
def openmp():
    """The OpenMP that came with torch: other packages may have loaded theirs."""
    torch.set_num_threads(1)
    found = re.search(r"\S*/torch/lib/lib[gi]?omp\S*", Path("/proc/self/maps").read_text())
    if found is None:
        pytest.skip("torch has no OpenMP of its own here")
    return ctypes.CDLL(found[0])


def test_a_thread_has_one_core_before_it_has_computed_anything(openmp):
    with ThreadPoolExecutor(1) as pool:
        if pool.submit(openmp.omp_get_max_threads).result() == 1:
            pytest.skip("one core, or OMP_NUM_THREADS=1: any thread has one")
    with single_core_threads(3) as pool:
        together = threading.Barrier(3)  # or one thread would answer for all

        def ask(_):
            together.wait(timeout=LIMIT_S)
            return openmp.omp_get_max_threads()

        assert list(pool.map(ask, range(3))) == [1, 1, 1]
