"""Oracle: what launchers told their processes when they were asked for this table."""

import os
import subprocess
import sys

import pytest
from folders import ROOT
from limits import LIMIT_S

from landscape_mpi.cluster import launcher

# Launchers set variables that begin so: SLURM 22.05, Open MPI 4.1, MPICH 5.0 and others.
OF_LAUNCHERS = ("SLURM_", "OMPI_", "PMIX_", "PMI_", "MV2_", "MVP_", "PALS_", "FLUX_", "JSM_")
TASK = {
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "1",
}
BATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}


@pytest.mark.parametrize(
    ("told", "n_ranks"),
    [
        ({}, 1),  # a workstation
        (BATCH, 1),  # python in a batch script, or in a shell of salloc
        (TASK, 4),
        (TASK | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}, 1),
        (TASK | {"SLURM_PTY_PORT": "41903"}, 1),  # a shell of srun --pty
        (TASK | {"SLURM_NTASKS": "1"}, 1),  # a job submitted from a task
        (TASK, 8),  # a job of several components
        (BATCH | OPEN_MPI, 4),
        (TASK | {"OMPI_COMM_WORLD_SIZE": "2"}, 2),  # mpirun, whose daemons are tasks of a step
        (TASK | {"OMPI_COMM_WORLD_SIZE": "1"}, 1),
        ({"PMI_SIZE": "3", "PMI_RANK": "0"}, 3),
        ({"PMI_SIZE": ""}, 1),
        ({"PALS_RANKID": "0", "PALS_LOCAL_SIZE": "4", "PMI_SIZE": "8"}, 8),  # two nodes of PALS
        ({"PALS_RANKID": "0", "PALS_LOCAL_SIZE": "4"}, 8),
        ({"PALS_RANKID": "7", "PALS_LOCAL_SIZE": "4"}, 8),
        ({"PALS_RANKID": "0", "PALS_LOCAL_SIZE": "1"}, 1),
        ({"FLUX_TASK_RANK": "0", "FLUX_JOB_SIZE": "4"}, 4),
    ],
)
def test_processes_that_mpi_joins(told, n_ranks):
    assert launcher.find_fault(told, n_ranks=n_ranks, library="MPICH 5.0.2") is None


@pytest.mark.parametrize(
    ("told", "n_ranks", "words"),
    [
        (TASK, 1, "MPI: srun started 4 processes, but MPI (MPICH 5.0.2) joined only 1 of them"),
        (TASK, 2, "MPI: srun started 4 processes, but MPI (MPICH 5.0.2) joined only 2 of them"),
        (OPEN_MPI, 1, "MPI: Open MPI's mpirun started 4 processes, but MPI (MPICH 5.0.2) joined"),
        ({"PMI_SIZE": "3"}, 1, "MPI: the launcher (PMI_SIZE) started 3 processes"),
        ({"MV2_COMM_WORLD_SIZE": "3"}, 1, "MPI: MVAPICH's mpirun started 3 processes"),
        ({"MVP_COMM_WORLD_SIZE": "3"}, 1, "MPI: MVAPICH's mpirun started 3 processes"),
        ({"PALS_LOCAL_SIZE": "4"}, 1, "MPI: PALS started at least 4 processes"),
        (  # one rank on each node
            {"PALS_LOCAL_SIZE": "1", "PALS_RANKID": "3"},
            1,
            "MPI: PALS started at least 4 processes",
        ),
        ({"FLUX_JOB_SIZE": "4", "FLUX_TASK_RANK": "3"}, 1, "MPI: Flux started 4 processes"),
    ],
)
def test_processes_that_mpi_does_not_join(told, n_ranks, words):
    fault = launcher.find_fault(told, n_ranks=n_ranks, library="MPICH 5.0.2")
    assert fault.startswith(words)
    by_srun, by_flux = told is TASK, "FLUX_JOB_SIZE" in told
    name = "SLURM_STEP_NUM_TASKS" if by_srun else next(iter(told))
    assert ("Pass srun the --mpi option that this library needs" in fault) == by_srun
    assert ("Pass flux run the option -o pmi= that this library needs" in fault) == by_flux
    words = "Start the command with the mpiexec of that library."
    assert (words in fault) != (by_srun or by_flux)
    assert fault.endswith(f"start each with: env -u {name} python ...")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, False),
        (BATCH, False),
        (TASK, True),
        (TASK | {"PMI_SIZE": "4"}, True),  # srun --mpi=pmi2
        (TASK | {"OMPI_COMM_WORLD_SIZE": "2"}, False),
        (OPEN_MPI, False),
    ],
)
def test_a_task_of_srun_itself(told, expected):
    assert launcher.started_by_srun(told) == expected
    assert ("--cpus-per-task" in launcher.way_to_more_cores(told)) == expected
    assert ("mpirun" in launcher.way_to_more_cores(told)) != expected


@pytest.mark.parametrize("name", [name for name in launcher.PLACES if name != "SLURM_PROCID"])
def test_a_launcher_is_known_by_what_it_tells_its_ranks(name, monkeypatch):
    for set_here in [each for each in os.environ if each.startswith(OF_LAUNCHERS)]:
        monkeypatch.delenv(set_here)
    assert not launcher.started_by_launcher()
    monkeypatch.setenv("SLURM_PROCID", "0")  # a batch script
    assert not launcher.started_by_launcher()
    monkeypatch.setenv(name, "0")
    assert launcher.started_by_launcher()
    monkeypatch.delenv(name)
    for variable, value in TASK.items():
        monkeypatch.setenv(variable, value)
    assert launcher.started_by_launcher()


@pytest.mark.parametrize(
    "words",
    [
        ["surface", "--model=cnn", "--checkpoint=w.pt", "--data=digits", "--x=0", "--out=a.h5"],
        ["train", "--model=resnet20", "--data=digits", "--out=a.pt"],
    ],
)
def test_tasks_of_the_wrong_pmi_all_refuse_and_one_says_why(words, tmp_path):
    """Two processes started without MPI, as ``srun --mpi=none`` starts the tasks of a step."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(OF_LAUNCHERS)}
    task = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", f"landscape_mpi.{words[0]}", *words[1:]],
            env=own | task | {"SLURM_PROCID": str(number)},
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            text=True,
        )
        for number in range(2)
    ]
    told = [task.communicate(timeout=LIMIT_S)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [2, 2]
    assert told[0].startswith("error: MPI: srun started 2 processes, but MPI (Open MPI") or (
        told[0].startswith("error: MPI: srun started 2 processes, but MPI (MPICH")
    )
    assert told[0].count("error: ") == 1
    assert told[1] == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", launcher.PLACES)
def test_scripts_know_the_rank_by_the_same_variables(name, tmp_path):
    own = {key: text for key, text in os.environ.items() if not key.startswith(OF_LAUNCHERS)}
    kept = []
    for rank in ("0", "1"):
        kept.append(tmp_path / rank)
        script = [ROOT / "launch/run_rank.sh", kept[-1], "true"]
        subprocess.run(script, env=own | {name: rank}, check=True)
    assert [path.exists() for path in kept] == [True, False]
