"""The launcher of this process and its number of processes, read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Variables with the rank of a process: Open MPI, PMIx (also srun), PMI (MPICH, srun, Cray), PALS
# (PBS on Cray), Flux, jsrun (LSF) and MVAPICH. launch/run_rank.sh has the same.
RANKS = (
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "PALS_RANKID",
    "FLUX_TASK_RANK",
    "JSM_NAMESPACE_RANK",
    "MV2_COMM_WORLD_RANK",
    "MVP_COMM_WORLD_RANK",
)
SRUN_TASKS = "SLURM_STEP_NUM_TASKS"  # of a step; a batch script and a shell of salloc have none
# Variables with the number of started processes, and the names of their launchers.
SIZES = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun",
    "PMI_SIZE": "the launcher (PMI_SIZE)",
    "MV2_COMM_WORLD_SIZE": "MVAPICH's mpirun",
    "MVP_COMM_WORLD_SIZE": "MVAPICH's mpirun",
    "PALS_LOCAL_SIZE": "PALS",
    "FLUX_JOB_SIZE": "Flux",
    "JSM_NAMESPACE_SIZE": "jsrun",
    SRUN_TASKS: "srun",
}
# PALS tells the number on this node and the rank: only PMI_SIZE may hold the number of all.
AT_LEAST = "PALS_LOCAL_SIZE"
WAYS_OUT = {
    SRUN_TASKS: "Pass srun the --mpi option that this library needs (srun --mpi=list lists the "
    "choices; Open MPI needs pmix, MPICH needs pmi2), or start mpirun inside the job.",
    "FLUX_JOB_SIZE": "Pass flux run the option -o pmi= that this library needs (Open MPI 5 needs "
    "pmix, MPICH needs simple).",
}
PLACES = (*RANKS, "SLURM_PROCID")


def started_by_launcher() -> bool:
    """Say whether mpirun, mpiexec or srun started this process.

    Commands that also run without MPI need this.
    """
    is_one_of_many = sizes_told(os.environ).get(SRUN_TASKS, 1) > 1
    return is_one_of_many or any(name in os.environ for name in RANKS)


def started_by_srun(environment: Mapping[str, str]) -> bool:
    """Say whether this process is a task of srun itself, without an mpirun in between.

    Args:
        environment: Environment of the process.
    """
    told = sizes_told(environment)
    return told.get(SRUN_TASKS, 1) > 1 and "OMPI_COMM_WORLD_SIZE" not in told


def way_to_more_cores(environment: Mapping[str, str]) -> str:
    """Return how a user gives each rank more cores of its node.

    Args:
        environment: Environment of a rank.
    """
    if started_by_srun(environment):
        return "request more of them with --cpus-per-task"
    return "pass mpirun --bind-to none"


def sizes_told(environment: Mapping[str, str]) -> dict[str, int]:
    """Return the number of processes that each launcher started, by the variable that holds it.

    If one launcher runs inside another, as mpirun in a step of srun, each has its own number.

    Args:
        environment: Environment of the process.
    """
    told = {name: environment[name] for name in SIZES if environment.get(name, "").isdecimal()}
    # A command in a shell (--pty), or in a job submitted from a task, is not a task of that step.
    is_shell = "SLURM_PTY_PORT" in environment
    if is_shell or environment.get("SLURM_NTASKS") != told.get(SRUN_TASKS):
        told.pop(SRUN_TASKS, None)
    sizes = {name: int(number) for name, number in told.items()}
    rank = environment.get("PALS_RANKID", "")
    if AT_LEAST in sizes and rank.isdecimal():
        sizes[AT_LEAST] = max(sizes[AT_LEAST], int(rank) + 1)
    return sizes


def find_fault(environment: Mapping[str, str], *, n_ranks: int, library: str) -> str | None:
    """Return an error message if MPI joined fewer processes than each launcher started, or None.

    Args:
        environment: Environment of the process.
        n_ranks: Processes that MPI joined.
        library: The MPI library in use, with its version.
    """
    told = sizes_told(environment)
    if n_ranks >= min(told.values(), default=1):
        return None
    name = min(told, key=lambda name: told[name])
    joined = "1 of them" if n_ranks == 1 else f"{n_ranks} of them"
    started = f"at least {told[name]}" if name == AT_LEAST else told[name]
    way_out = WAYS_OUT.get(name, "Start the command with the mpiexec of that library.")
    return (
        f"MPI: {SIZES[name]} started {started} processes, but MPI ({library}) joined only "
        f"{joined} into a run. Each process would be rank 0 of its own run and do all the work "
        f"again, because the launcher and the library do not understand each other. {way_out} If "
        f"you mean separate runs of one process, start each with: env -u {name} python ..."
    )


def is_first(environment: Mapping[str, str]) -> bool:
    """Say whether this process is the launcher's first; also true if the launcher does not tell."""
    return all(environment.get(name, "0") == "0" for name in PLACES)
