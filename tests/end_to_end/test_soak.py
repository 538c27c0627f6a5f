"""Twenty thousand points on two ranks, several rounds a second: nothing grows.

Oracle: what the system counts of each process, its memory and its open files.
"""

import contextlib
import os

import h5py
from limits import LIMIT_S
from test_surface import processes_running

N_POINTS = 141 * 141
TINY = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 64, 10),
    )
"""


def private_kib(pid):
    """Return the memory that a process has for itself, KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def n_open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_memory_and_open_files_stay(tmp_path, start_mpiexec):
    (tmp_path / "tiny.py").write_text(TINY)
    out = tmp_path / "soak.h5"
    argv = ["landscape_mpi.surface", "--model=tiny:build", "--data=digits", "--limit=10"]
    options = ["--x=-1:1:141", "--y=-1:1:141", "--round-seconds=0.1", f"--out={out}"]
    job = start_mpiexec(2, [*argv, *options], cwd=tmp_path)
    rounds = []  # memory of each rank
    pids: list[int] = []
    for line in job.stdout:
        if " points (" in line and int(line.split("/")[0]) < 0.9 * N_POINTS:
            pids = pids or sorted(processes_running(out))
            with contextlib.suppress(OSError):  # a line read late: its ranks may have ended
                rounds.append([(private_kib(pid), n_open_files(pid)) for pid in pids])
    assert job.wait(timeout=LIMIT_S) == 0
    with h5py.File(out) as file:
        assert file["done"][...].sum() == N_POINTS
    assert len(rounds) > 5
    assert len(pids) == 2
    # The first third allocates what the others use.
    before = rounds[len(rounds) // 3]
    pairs = zip(before, rounds[-1], strict=True)
    growth = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairs]
    print(f"{len(rounds)} rounds; KiB and open files of each rank since a third: {growth}")
    for (memory, files), (memory_at_end, files_at_end) in zip(before, rounds[-1], strict=True):
        assert memory_at_end < memory + 1024
        assert files_at_end <= files
