"""The folder of a result without a file of its own: it is there until the last rank lets go.

Oracle: one rank lets go of its result, or ends, before the other has read the file.
"""

from __future__ import annotations

import os
import sys
import textwrap

import pytest

SCRIPT = """
    import atexit
    import gc
    import sys
    import time
    from pathlib import Path

    import torch
    from mpi4py import MPI

    import landscape_mpi as lm
    from landscape_mpi.jobs.live import computation

    FIRST = int(sys.argv[1])
    read = computation.read_surface


    def read_late(path):
        while not gone.exists():
            time.sleep(0.01)
        return read(path)


    if MPI.COMM_WORLD.rank != FIRST:
        computation.read_surface = read_late
    torch.manual_seed(0)
    data = torch.randn(20, 2), torch.arange(20) % 3
    for how in ("drops", "ends"):
        gone = Path(f"{how}.gone")
        surface = lm.compute_surface(torch.nn.Linear(2, 3), data, x=(-1, 1, 3), progress=False)
        if MPI.COMM_WORLD.rank != FIRST:
            surface.save(f"{how}.h5")
        elif how == "drops":
            del surface
            gc.collect()
            gone.touch()
        else:  # ends: after this script, and before MPI waits for the others
            atexit.register(gone.touch)
"""


@pytest.mark.parametrize("first", [0, 1])
def test_a_rank_reads_after_another_has_let_go(first, tmp_path, mpiexec, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    mpiexec(2, [sys.executable, "script.py", str(first)], check=True, cwd=tmp_path)
    assert (tmp_path / "drops.h5").exists()
    assert (tmp_path / "ends.h5").exists()
    assert [name for name in os.listdir(temporary) if name.startswith("landscape_mpi_")] == []
