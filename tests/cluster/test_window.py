"""One copy a node, and one rank that opens files.

Oracle: the kernel. /proc/self/smaps says which memory a mapping is and each process's
proportional share of it; Python's own audit events say which rank opened which file.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from folders import ROOT
from limits import LIMIT_S
from pytest_mpi import parallel_assert

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.cluster.window import NodeArrays
from landscape_mpi.zoo.networks import build_network

N_BYTES = 48 << 20


def mapping_of(array):
    """Return device and inode of the mapping an array lies in, and this process's share, bytes."""
    address = array.__array_interface__["data"][0]
    found, share = None, 0
    with open("/proc/self/smaps") as file:
        for line in file:
            head = line.split()
            if "-" in head[0] and not head[0].endswith(":"):
                start, end = (int(part, 16) for part in head[0].split("-"))
                if found is not None:
                    break
                if start <= address < end:
                    found = (head[3], head[4])
            elif found is not None and head[0] == "Pss:":
                share = int(head[1]) << 10
    return found, share


@pytest.mark.parallel([2, 3, 4])
def test_the_ranks_of_a_node_share_one_copy():
    ranks = start_ranks()
    values = np.arange(N_BYTES // 8, dtype=np.int64)
    arrays = {"large": values, "small": np.array([3.5])} if ranks.is_root else {}
    shared = NodeArrays(ranks, arrays)
    same = bool((shared["large"] == values).all()) and shared["small"][0] == 3.5  # touches all
    ranks.comm.Barrier()
    mapping, share = mapping_of(shared["large"])
    ranks.comm.Barrier()
    mappings = ranks.comm.allgather(mapping)
    shares = ranks.comm.allgather(share)
    shared.free()
    parallel_assert(same)
    parallel_assert(mapping is not None and len(set(mappings)) == 1)
    parallel_assert(0.95 * N_BYTES < sum(shares) < 1.1 * N_BYTES)


LISTENER = """
import os, sys

RANK = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK"))

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and RANK is not None:
        name = os.path.basename(arguments[0])
        if name in {"weights.pt", "images.npz"}:
            with open(os.environ["OPENED"], "a") as log:
                log.write(f"{RANK} {name}\\n")

sys.addaudithook(note)
"""


@pytest.mark.parallel([1])
def test_only_rank_0_opens_checkpoint_and_data(tmp_path, mpiexec):
    (tmp_path / "sitecustomize.py").write_text(LISTENER)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(40) % 10)
    network = build_network("resnet8", n_channels=1, n_classes=10)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    log = tmp_path / "opened.txt"
    mpiexec(
        4,
        [
            *("landscape_mpi.surface", "--model=resnet8", f"--checkpoint={tmp_path}/weights.pt"),
            *(f"--data=npz:{tmp_path}/images.npz", "--x=-1:1:9", f"--out={tmp_path}/out.h5"),
        ],
        check=True,
        cwd=tmp_path,
        env={"OPENED": str(log), "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
    )
    opened = [line.split() for line in log.read_text().splitlines()]
    assert {rank for rank, _ in opened} == {"0"}
    assert {name for _, name in opened} == {"weights.pt", "images.npz"}
    assert len(opened) <= 4  # each is read once, and its SHA-256 taken once


FILL = """
import sys
import numpy as np
from landscape_mpi.cluster.communicator import SharedInputError, start_ranks
from landscape_mpi.cluster.window import NodeArrays

ranks = start_ranks()
try:
    NodeArrays(ranks, {"large": np.ones(int(sys.argv[1]))} if ranks.is_root else None).free()
    print("it fits", flush=True)
except SharedInputError as problem:
    print(problem, flush=True)
"""


@pytest.mark.parametrize("n_free", [10_100, 11_000, 12_288, 14_000, 16_000])
def test_room_for_the_arrays_alone_does_not_suffice(n_free, tmp_path):
    """MPI needs a little more, and says so in words of its own: refused before, or it fits."""
    script = tmp_path / "fill.py"
    script.write_text(FILL)
    own = "mount -t tmpfs -o size=1m tmpfs /dev/shm && "
    own += f"head -c {(1 << 20) - n_free} /dev/zero > /dev/shm/other && "
    own += f"exec {ROOT}/launch/try_ranks.sh 2 {sys.executable} {script} 1250"
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("a /dev/shm of its own takes root")
    network = {"OMPI_MCA_btl": "tcp,self", "OMPI_MCA_pml": "ob1"}  # these need none of it
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", own],
        env=os.environ | network,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    told = re.findall(r"it fits|the ranks of a node share them, but only", done.stdout)
    assert len(told) == 2, done.stdout + done.stderr


@pytest.mark.parametrize(("n_mib", "fits"), [(8, True), (100, False)])
def test_a_node_whose_shared_memory_is_too_small(n_mib, fits, tmp_path):
    """A namespace of mounts of its own has a /dev/shm of 64 MiB, as containers do."""
    script = tmp_path / "fill.py"
    script.write_text(FILL)
    start = f"{ROOT}/launch/try_ranks.sh 2 {sys.executable} {script} {n_mib << 17}"
    words = f"mount -t tmpfs -o size=64m tmpfs /dev/shm && exec {start}"
    command = ["unshare", "--mount", "bash", "-c", words]
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("a /dev/shm of its own takes root")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    told = "it fits"
    if not fits:
        told = r"node \S+: the data and weights take 100\.\d MiB in /dev/shm, where the ranks of a "
        told += r"node share them, but only \d+\.\d MiB are free there\. "
    assert len(re.findall(told, done.stdout)) == 2, done.stdout  # perhaps on one line
