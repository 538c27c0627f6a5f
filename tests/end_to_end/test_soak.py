"""Twenty thousand points on two ranks, several rounds a second: nothing grows.

Oracle: what the system counts of each process, its memory and its open files. Each rank asks it in
every round at the same place, since a process beside it could come late.
"""

import h5py

N_POINTS = 141 * 141
TINY = """
import os

import torch
from mpi4py import MPI

from landscape_mpi.cluster.watch import Watch

counts = open(f"counts.{MPI.COMM_WORLD.rank}", "w", buffering=1)
meet = Watch.meet

def private_kib():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

def count_and_meet(watch, purpose):
    print(private_kib(), len(os.listdir("/proc/self/fd")), file=counts)
    meet(watch, purpose)

Watch.meet = count_and_meet

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 64, 10),
    )
"""


def test_memory_and_open_files_stay(tmp_path, mpiexec):
    (tmp_path / "tiny.py").write_text(TINY)
    out = tmp_path / "soak.h5"
    argv = ["landscape_mpi.surface", "--model=tiny:build", "--data=digits", "--limit=10"]
    options = ["--x=-1:1:141", "--y=-1:1:141", "--round-seconds=0.1", f"--out={out}"]
    mpiexec(2, [*argv, *options], cwd=tmp_path, check=True)
    with h5py.File(out) as file:
        assert file["done"][...].sum() == N_POINTS
    for rank in range(2):
        lines = (tmp_path / f"counts.{rank}").read_text().splitlines()
        rounds = [tuple(map(int, line.split())) for line in lines]
        assert len(rounds) > 5
        # The first third allocates what the others use.
        (memory, files), (memory_at_end, files_at_end) = rounds[len(rounds) // 3], rounds[-1]
        print(f"rank {rank}, {len(rounds)} rounds: KiB {memory} to {memory_at_end}")
        assert memory_at_end < memory + 1024
        assert files_at_end <= files
