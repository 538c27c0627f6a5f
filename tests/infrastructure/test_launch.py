"""The scripts that start ranks: which GPU and cores a rank gets, and how many ranks there are.

The oracle for a rank is what its process says of itself: its environment, and what numactl was
called with. No GPU is needed: nvidia-smi and numactl are stand-ins on PATH, and the kernel's
description of the machine is a folder, of two NUMA nodes with a core and two GPUs each. The
launchers, the ranks and the surface are real.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from folders import ROOT, copy_sources
from mpi4py import MPI

from landscape_mpi.zoo.networks import build_network

BIND = ROOT / "launch/bind_rank.sh"
LAUNCHERS = (
    "OMPI_",
    "PMIX_",
    "PMI_",
    "MPI_",
    "PRTE_",
    "SLURM_",
    "CUDA_",
    "HYDI_",
    "ROCR_",
    "HIP_",
    "ZE_",
)
OnRanks = Callable[..., subprocess.CompletedProcess[str]]
LOCAL = ROOT / "launch/local.sh"
HOSTFILE = ROOT / "launch/hostfile.example"
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
    "name",
    [
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "MPI_LOCALRANKID",
        "PMIX_LOCAL_RANK",
        "MV2_COMM_WORLD_LOCAL_RANK",
        "MVP_COMM_WORLD_LOCAL_RANK",
        "PALS_LOCAL_RANKID",
        "JSM_NAMESPACE_LOCAL_RANK",
        "FLUX_TASK_LOCAL_ID",
        "SLURM_LOCALID",
    ],
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
@pytest.mark.parametrize("chosen", ["2", "GPU-c"])
def test_a_gpu_that_the_launcher_chose_stays(chosen: str, machine: dict[str, str]) -> None:
    given = {"CUDA_VISIBLE_DEVICES": chosen, "SLURM_LOCALID": "1"}
    assert bound(machine, **given) == f"{chosen} {on(1)}"


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
    assert "Start it with mpirun, mpiexec, srun, jsrun or flux run." in done.stderr


def test_without_a_command_it_says_how_it_is_called(machine: dict[str, str]) -> None:
    done = run(BIND, env=machine)
    assert done.returncode == 2
    assert "launch/bind_rank.sh COMMAND [ARGUMENT ...]" in done.stderr


# GPUs of AMD and Intel.

ROCM_SMI = """#!/usr/bin/env bash
bus() { printf 'GPU[%s]\t\t: PCI Bus: 0000:%sB:00.0\n' "$1" "$1"; }
echo "============ ROCm System Management Interface ============"
case "$*" in
    "--showbus") for id in 0 1 2 3; do bus "$id"; done ;;
    --device*--showbus) bus "$2" ;;
esac
"""
MASKS = "${CUDA_VISIBLE_DEVICES-} ${ROCR_VISIBLE_DEVICES-} ${HIP_VISIBLE_DEVICES-}"
SAY_MASKS = f'echo "{MASKS} ${{ZE_AFFINITY_MASK-}} ${{BOUND_TO-unbound}}"'


@pytest.fixture
def amd(machine: dict[str, str]) -> dict[str, str]:
    """Return the environment of such a machine with GPUs of AMD."""
    programs = Path(machine["PATH"].split(os.pathsep)[0])
    (programs / "nvidia-smi").unlink()
    write_program(programs / "rocm-smi", ROCM_SMI)
    return machine


def masks_of(machine: dict[str, str], **rank: str) -> list[str]:
    """Return the variables of a rank that show GPUs, and its cores."""
    done = run(BIND, "bash", "-c", SAY_MASKS, env=machine | rank)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.removesuffix("\n").split(" ")


@needs_two_cores
def test_a_rank_takes_a_gpu_of_amd_and_the_cores_beside_it(amd: dict[str, str]) -> None:
    assert masks_of(amd, SLURM_LOCALID="0") == ["", "0", "", "", on(0)]
    assert masks_of(amd, SLURM_LOCALID="3") == ["", "3", "", "", on(1)]


@needs_two_cores
def test_a_rank_takes_one_of_those_of_amd_that_the_queue_gave(amd: dict[str, str]) -> None:
    given = {"ROCR_VISIBLE_DEVICES": "1,2"}
    assert masks_of(amd, SLURM_LOCALID="1", **given) == ["", "2", "", "", on(1)]
    assert masks_of(amd, SLURM_LOCALID="5", **given)[:4] == ["", "1,2", "", ""]
    both = given | {"HIP_VISIBLE_DEVICES": "0,1"}  # counted among those two
    assert masks_of(amd, SLURM_LOCALID="1", **both)[:4] == ["", "1,2", "1", ""]


def test_a_rank_takes_a_tile_of_intel(amd: dict[str, str]) -> None:
    given = {"ZE_AFFINITY_MASK": "0.0,0.1,1.0,1.1"}
    assert masks_of(amd, SLURM_LOCALID="2", **given)[:4] == ["", "", "", "1.0"]


def test_a_driver_of_amd_that_fails_is_said(amd: dict[str, str]) -> None:
    program = Path(amd["PATH"].split(os.pathsep)[0]) / "rocm-smi"
    write_program(program, "#!/bin/sh\necho 'ERROR: no driver'\nexit 2\n")
    done = run(BIND, "bash", "-c", SAY, env=amd | {"SLURM_LOCALID": "0"})
    assert done.stderr == "bind_rank.sh: rocm-smi finds no GPU: ERROR: no driver\n"


# Ranks of a real launcher.


def test_real_ranks_take_a_gpu_each(machine: dict[str, str], mpiexec: OnRanks) -> None:
    environment = {name: machine[name] for name in ("PATH", "SYSFS", "N_GPUS")}
    done = mpiexec(3, [BIND, "bash", "-c", SAY], env=environment, check=True)
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == [
        "GPU-a",
        "GPU-b",
        "GPU-c",
    ]


# A workstation.


@pytest.fixture
def workstation(machine: dict[str, str]) -> dict[str, str]:
    """Return the environment of such a machine on which this Python's folder comes first.

    The settings of MPI are those of the other tests: as root, and more ranks than cores.
    """
    words = run(ROOT / "launch/try_ranks.sh", "1", "env", env=machine).stdout.splitlines()
    allowed = ("OMPI_ALLOW", "OMPI_MCA_rmaps_base_oversub", "OMPI_MCA_btl_vader", "PRTE_MCA_rmaps")
    mpi = dict(word.split("=", 1) for word in words if word.startswith(allowed))
    path = [*machine["PATH"].split(os.pathsep)[:1], str(Path(sys.executable).parent)]
    path += machine["PATH"].split(os.pathsep)[1:]
    return machine | mpi | {"PATH": os.pathsep.join(path), "PYTHONPATH": str(ROOT)}


def test_local_computes_a_surface_on_every_core(
    workstation: dict[str, str], tmp_path: Path, alone: OnRanks
) -> None:
    torch.manual_seed(0)
    network = build_network("resnet8", n_channels=1, n_classes=10)
    torch.save(network.state_dict(), tmp_path / "net.pt")
    model = ["--model=resnet8", f"--checkpoint={tmp_path}/net.pt"]
    surface = [*model, "--data=digits", "--limit=100", "--x=-1:1:3", "--y=-1:1:2"]
    done = run(
        LOCAL, "surface", *surface, "--out=here.h5", env=workstation | {"N_GPUS": "0"}, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    told = re.search(r"^local: starts (\d+) ranks?, one on each core$", done.stderr, re.M)
    n_ranks = int(told[1])
    assert 1 <= n_ranks <= len(CORES)
    assert f"{n_ranks} rank" in done.stdout
    alone(["landscape_mpi.surface", *surface, f"--out={tmp_path}/one.h5"], check=True)
    with h5py.File(tmp_path / "here.h5") as file, h5py.File(tmp_path / "one.h5") as expected:
        np.testing.assert_array_equal(file["train_loss"][...], expected["train_loss"][...])
        assert len(np.unique(file["rank"])) == n_ranks


REFUSED = ("surface", "--model=resnet8", "--data=digits", "--x=0", "--limit=0", "--out=s.h5")


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({}, (), "4 ranks, one on each GPU"),
        ({"CUDA_VISIBLE_DEVICES": "0,2,3"}, (), "3 ranks, one on each GPU"),
        ({"RANKS": "2"}, (), "2 ranks, as RANKS requests"),
        ({}, ("--device=cpu",), ", one on each core"),
        ({}, ("--device", "cpu"), ", one on each core"),
    ],
)
def test_local_counts_ranks(
    settings: dict[str, str], options: tuple[str, ...], words: str, workstation: dict[str, str]
) -> None:
    done = run(LOCAL, *REFUSED, *options, env=workstation | settings)
    assert words in done.stderr
    assert done.stderr.count("error: ") == 1  # the ranks are one run
    assert "argument --limit" in done.stderr
    assert done.returncode == 2


def test_local_refuses_what_does_not_run_on_ranks(workstation: dict[str, str]) -> None:
    done = run(LOCAL, "plot", "surface.h5", env=workstation)
    assert done.returncode == 2
    words = (
        "local: plot is not a command that runs on ranks; these are: curve doctor ensemble hessian"
    )
    assert words in done.stderr


@pytest.mark.parametrize("ranks", ["0", "two"])
def test_local_refuses_ranks_that_are_no_number(ranks: str, workstation: dict[str, str]) -> None:
    done = run(LOCAL, *REFUSED, env=workstation | {"RANKS": ranks})
    assert done.returncode == 2
    assert f"local: RANKS={ranks} is not a number of ranks" in done.stderr


def test_local_without_a_python_says_what_to_do(
    workstation: dict[str, str], tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "launch", checkout / "launch")
    copy_sources(ROOT / "landscape_mpi", checkout / "landscape_mpi")
    programs = tmp_path / "system"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "grep", "sed", "paste"):
        (programs / name).symlink_to(str(shutil.which(name)))
    done = run(checkout / "launch/local.sh", *REFUSED, env=workstation | {"PATH": str(programs)})
    assert done.returncode == 2
    assert "local: no Python here has landscape_mpi and mpi4py. Run make setup" in done.stderr


def test_local_without_a_command_says_how_it_is_called(workstation: dict[str, str]) -> None:
    done = run(LOCAL, env=workstation)
    assert done.returncode == 2
    assert "launch/local.sh surface --model resnet20" in done.stderr


# Several machines.


def words_before_the_python(launcher: str) -> list[str]:
    """Return the example's line for a launcher, up to where the command begins."""
    comment = HOSTFILE.read_text().replace("\\\n#", "")
    line = next(line for line in comment.splitlines() if line.startswith(f"#   {launcher} "))
    before, command = line.split(".venv/bin/python")
    assert command == " -m landscape_mpi.surface ..."
    return before.removeprefix("#").split()


def test_the_hostfile_works_as_its_lines_say(workstation: dict[str, str], tmp_path: Path) -> None:
    """On this machine under two of its names, which need no ssh."""
    launcher = "mpirun" if MPI.get_vendor()[0] == "Open MPI" else "mpiexec"
    words = words_before_the_python(launcher)
    hosts = HOSTFILE.read_text().replace("node1", "localhost").replace("node2", "127.0.0.1")
    (tmp_path / "hosts").write_text(hosts)
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    # The lines of the file are what allows this many ranks.
    own = {name: value for name, value in workstation.items() if "oversubscribe" not in name}
    done = run(*words, "bash", "-c", SAY, env=own | {"N_GPUS": "0"}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
