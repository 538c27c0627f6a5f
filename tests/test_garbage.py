"""Oracle: what the interpreter itself counts of its searches for garbage."""

import subprocess
import sys

SCRIPT = """
import atexit, gc, weakref
atexit.register(lambda: print(gc.get_freeze_count()))  # the last to be called
from landscape_mpi.garbage import search_seldom
{call}
import torch
print(gc.get_stats()[2]["collections"])

class Left:
    pass

left = Left()
left.itself = left
gone = weakref.ref(left)
del left
young = [[] for _ in range(30_000)]
print(gone() is None)
"""


def counts_of(call):
    """Return full searches in an import, whether a young cycle is found, and what ends frozen."""
    words = [sys.executable, "-c", SCRIPT.format(call=call)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    full, found, frozen = done.stdout.split()
    return int(full), found, int(frozen)


def test_imports_are_not_searched_and_neither_is_the_end():
    full, found, frozen = counts_of("search_seldom()")
    assert full == 0
    assert found == "True"
    assert frozen > 100_000


def test_without_it_they_are():
    full, _, frozen = counts_of("pass")
    assert full > 1
    assert frozen < 1000
