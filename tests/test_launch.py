"""The scripts that start ranks: which GPU and cores a rank gets, and how many ranks there are.

The oracle for a rank is what its process says of itself: its environment, and what numactl was
called with. No GPU is needed: nvidia-smi and numactl are stand-ins on PATH, and the kernel's
description of the machine is a folder, of two NUMA nodes with a core and two GPUs each. The
launchers, the ranks and the surface are real.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIND = ROOT / "launch/bind_rank.sh"
LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "MPI_", "PRTE_", "SLURM_", "CUDA_", "HYDI_")
OnRanks = Callable[..., subprocess.CompletedProcess[str]]
CORES = sorted(os.sched_getaffinity(0))

# GPU-a and GPU-b at the first NUMA node, GPU-c and GPU-d at the second.
NVIDIA_SMI = """#!/usr/bin/env bash
uuids=(GPU-a GPU-b GPU-c GPU-d)
case "$*" in
    *query-gpu=uuid*) printf '%s\\n' "${uuids[@]:0:$N_GPUS}" ;;
    --id=[0-3]*) id=${1#--id=} && echo "00000000:${id}B:00.0" ;;
    --id=GPU-*) id=${1#--id=GPU-} && echo "00000000:$(tr abcd 0123 <<< "$id")B:00.0" ;;
esac
"""
NUMACTL = """#!/usr/bin/env bash
export BOUND_TO="$1"
shift
exec "$@"
"""
SAY = 'echo "${CUDA_VISIBLE_DEVICES-unset} ${BOUND_TO-unbound}"'


def run(
    *argv: str | Path, env: dict[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    words = [os.fspath(word) for word in argv]
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def without_launcher() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a machine of four GPUs and two NUMA nodes."""
    programs, described = tmp_path / "bin", tmp_path / "sys"
    programs.mkdir()
    write_program(programs / "nvidia-smi", NVIDIA_SMI)
    write_program(programs / "numactl", NUMACTL)
    for node in (0, 1):
        cores = described / f"devices/system/node/node{node}/cpulist"
        cores.parent.mkdir(parents=True)
        cores.write_text(f"{CORES[node % len(CORES)]}\n")
    for gpu in range(4):
        node_of_gpu = described / f"bus/pci/devices/0000:{gpu}b:00.0/numa_node"
        node_of_gpu.parent.mkdir(parents=True)
        node_of_gpu.write_text(f"{gpu // 2}\n")
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    return without_launcher() | {"PATH": path, "SYSFS": str(described), "N_GPUS": "4"}


def bound(machine: dict[str, str], **rank: str) -> str:
    """Return the GPU and the cores of a rank."""
    done = run(BIND, "bash", "-c", SAY, env=machine | rank)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


needs_two_cores = pytest.mark.skipif(
    len(CORES) < 2, reason="one core cannot be shared by two NUMA nodes"
)


def on(node: int) -> str:
    return f"--physcpubind={CORES[node]}"


# One rank.


@needs_two_cores
@pytest.mark.parametrize(
    "name", ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMIX_LOCAL_RANK", "SLURM_LOCALID"]
)
def test_a_rank_takes_the_gpu_of_its_number_and_the_cores_beside_it(
    name: str, machine: dict[str, str]
) -> None:
    assert bound(machine, **{name: "0"}) == f"GPU-a {on(0)}"
    assert bound(machine, **{name: "2"}) == f"GPU-c {on(1)}"


def test_mpirun_in_a_job_of_slurm_goes_before_slurm(machine: dict[str, str]) -> None:
    rank = {"OMPI_COMM_WORLD_LOCAL_RANK": "3", "SLURM_LOCALID": "0"}
    assert bound(machine, **rank).startswith("GPU-d ")


@needs_two_cores
def test_a_rank_takes_one_of_those_that_the_queue_gave(machine: dict[str, str]) -> None:
    gpus = {"CUDA_VISIBLE_DEVICES": "1,3"}
    assert bound(machine, SLURM_LOCALID="1", **gpus) == f"3 {on(1)}"
    done = run(BIND, "env", env=machine | gpus | {"SLURM_LOCALID": "1"})
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID\n" in done.stdout


@needs_two_cores
@pytest.mark.parametrize("gpu", ["2", "GPU-c"])
def test_a_gpu_that_the_launcher_chose_stays(gpu: str, machine: dict[str, str]) -> None:
    given = {"CUDA_VISIBLE_DEVICES": gpu, "SLURM_LOCALID": "1"}
    assert bound(machine, **given) == f"{gpu} {on(1)}"


@pytest.mark.parametrize("hidden", ["", "-1", "-1,0"])
def test_hidden_gpus_stay_hidden(hidden: str, machine: dict[str, str]) -> None:
    given = {"CUDA_VISIBLE_DEVICES": hidden, "SLURM_LOCALID": "0"}
    assert bound(machine, **given) == f"{hidden} unbound".strip()


def test_more_ranks_than_gpus_are_left_to_the_command(machine: dict[str, str]) -> None:
    assert bound(machine, SLURM_LOCALID="4") == "unset unbound"


@needs_two_cores
def test_cores_that_the_launcher_chose_stay(machine: dict[str, str]) -> None:
    one_core = ("taskset", "--cpu-list", str(CORES[0]))
    rank = machine | {"SLURM_LOCALID": "3"}
    done = run(*one_core, BIND, "bash", "-c", SAY, env=rank)
    assert done.stdout == "GPU-d unbound\n"


@needs_two_cores
def test_ranks_without_gpus_are_dealt_out_over_the_numa_nodes(machine: dict[str, str]) -> None:
    names = ("MPI_LOCALRANKID", "MPI_LOCALNRANKS")
    three = [
        bound(machine, N_GPUS="0", **dict(zip(names, (rank, "3"), strict=True))) for rank in "012"
    ]
    assert three == [f"unset {on(0)}", f"unset {on(0)}", f"unset {on(1)}"]
    assert bound(machine, N_GPUS="0", MPI_LOCALRANKID="0", MPI_LOCALNRANKS="1") == "unset unbound"


def test_without_numactl_the_cores_stay(machine: dict[str, str]) -> None:
    if shutil.which("numactl"):
        pytest.skip("numactl is installed here")
    (Path(machine["PATH"].split(os.pathsep)[0]) / "numactl").unlink()
    assert bound(machine, SLURM_LOCALID="1") == "GPU-b unbound"


def test_a_driver_that_fails_is_said_and_is_no_gpu(machine: dict[str, str]) -> None:
    program = Path(machine["PATH"].split(os.pathsep)[0]) / "nvidia-smi"
    write_program(program, "#!/bin/sh\necho 'no driver is loaded'\nexit 9\n")
    done = run(BIND, "bash", "-c", SAY, env=machine | {"SLURM_LOCALID": "0"})
    assert done.stdout == "unset unbound\n"
    assert done.stderr == "bind_rank.sh: nvidia-smi finds no GPU: no driver is loaded\n"


def test_the_status_is_that_of_the_command(machine: dict[str, str]) -> None:
    done = run(BIND, "bash", "-c", "exit 75", env=machine | {"SLURM_LOCALID": "0"})
    assert done.returncode == 75


def test_a_process_that_is_no_rank_is_told_how_to_become_one(machine: dict[str, str]) -> None:
    done = run(BIND, "true", env=machine)
    assert done.returncode == 2
    assert "bind_rank: no launcher has numbered this rank" in done.stderr
    assert "Start it with mpirun, mpiexec or srun." in done.stderr


def test_without_a_command_it_says_how_it_is_called(machine: dict[str, str]) -> None:
    done = run(BIND, env=machine)
    assert done.returncode == 2
    assert "launch/bind_rank.sh COMMAND [ARGUMENT ...]" in done.stderr


# Ranks of a real launcher.


def test_real_ranks_take_a_gpu_each(machine: dict[str, str], mpiexec: OnRanks) -> None:
    environment = {name: machine[name] for name in ("PATH", "SYSFS", "N_GPUS")}
    done = mpiexec(3, [BIND, "bash", "-c", SAY], env=environment, check=True)
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == [
        "GPU-a",
        "GPU-b",
        "GPU-c",
    ]
