"""Oracle: what the interpreter itself counts of its searches for garbage."""

import subprocess
import sys

SCRIPT = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))  # the last to be called
from landscape_mpi.garbage import search_seldom
{call}
import torch
print(gc.get_stats()[2]["collections"])
cycle = []
cycle.append(cycle)
young = [[] for _ in range(30_000)]
print(gc.get_stats()[0]["collections"] > 0)
"""


def counts_of(call):
    """Return full searches while torch is imported, whether young ones go on, frozen at the end."""
    words = [sys.executable, "-c", SCRIPT.format(call=call)]
    full, young, frozen = subprocess.run(
        words, check=True, capture_output=True, text=True
    ).stdout.split()
    return int(full), young, int(frozen)


def test_imports_are_not_searched_and_neither_is_the_end():
    full, young, frozen = counts_of("search_seldom()")
    assert full == 0
    assert young == "True"  # so that what the command itself leaves is found
    assert frozen > 100_000


def test_without_it_they_are():
    full, _, frozen = counts_of("pass")
    assert full > 1
    assert frozen < 1000
