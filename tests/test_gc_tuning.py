"""Oracle: what the interpreter itself counts of its searches for garbage, and has loaded."""

import os
import subprocess
import sys
import textwrap
import weakref

from landscape_mpi import gc_tuning
from landscape_mpi.gc_tuning import ALWAYS, LITTLE, free_unused

BEGIN = """
    import atexit, gc, runpy, sys, weakref
    atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr))  # the last to be called
    def say(): print(gc.get_stats()[2]["collections"], file=sys.stderr)
"""
COMMAND = """
    options = ["--model=small:build", "--data=digits", "--limit=10", "--x=-1:1:3"]
    sys.argv = ["landscape_mpi.surface", *options, "--out=" + sys.argv[1]]
    try:
        runpy.run_module("landscape_mpi.surface", run_name="__main__")
    except SystemExit as end:
        assert end.code == 0
    say()
    print(sorted({"scipy", "sympy"} & sys.modules.keys()), file=sys.stderr)

    class Left:
        pass

    left = Left()
    left.itself = left
    gone = weakref.ref(left)
    del left
    young = [[] for _ in range(30_000)]
    print(gone() is None, file=sys.stderr)
"""
NETWORK = """
    from torch import nn

    def build():
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10))
"""


def told_by(script, folder):
    """Return the lines that a script ends with."""
    (folder / "small.py").write_text(textwrap.dedent(NETWORK))
    words = [sys.executable, "-c", textwrap.dedent(BEGIN + script), str(folder / "line.h5")]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    return done.stderr.splitlines()


def test_a_command_is_not_searched_and_loads_nothing_that_it_does_not_need(tmp_path):
    full, loaded, found, frozen = told_by(COMMAND, tmp_path)
    assert int(full) == 0
    assert loaded == "[]"  # a fifth of the time of a small job
    assert found == "True"
    assert int(frozen) > 100_000


def test_torch_alone_is_searched(tmp_path):
    full, frozen = told_by("    import torch\n    say()", tmp_path)
    assert int(full) > 1
    assert int(frozen) < 1000


class Cycle:
    def __init__(self):
        self.itself = self


def test_what_may_be_large_is_freed_before_the_next(monkeypatch):
    monkeypatch.setattr(gc_tuning, "_waiting", 0)
    freed = []
    for n_bytes in (LITTLE, 1, 1, ALWAYS, 1):
        left = weakref.ref(Cycle())
        free_unused(n_bytes)
        freed.append(left() is None)
    assert freed == [False, False, True, False, True]
