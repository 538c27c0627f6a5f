"""Oracles: the system's own tables of memory, cores and mounts, and faults that are there."""

import errno
import fcntl
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from one_process import run_alone

from landscape_mpi.jobs.doctor.findings import Library, find_notes, find_wrong
from landscape_mpi.jobs.doctor.folder_facts import FolderFacts, file_system_of
from landscape_mpi.jobs.doctor.rank_facts import RankFacts

DOCTOR = ["landscape_mpi.doctor", "--device=cpu"]
GOOD = Library(has_threads=True, is_parallel=True)
RANK = RankFacts(
    host="n1",
    versions="torch 2",
    device="AMD EPYC",
    driver="",
    n_cores=2,
    n_threads=2,
    memory=(1 << 36, 1 << 35),
    shared_memory=(1 << 35, 1 << 34),
)
FOLDER = FolderFacts(Path("/scratch"), "lustre", 1 << 40, True, (), 0.01)


def lines_of(text):
    """Return what is said, by title."""
    return {line[:12].strip(): line[12:] for line in text.splitlines()}


def test_what_ranks_find(mpiexec, tmp_path):
    done = mpiexec(3, [*DOCTOR, "--folder", tmp_path], check=True)
    said = lines_of(done.stdout)
    assert "3 ranks on 1 node; " in said["MPI"]
    assert " started 3; any thread may call it" in said["MPI"]
    (node,) = (words for title, words in said.items() if title.startswith("node "))
    kib = int(re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())[1])
    assert node.startswith(f"3 ranks, {os.cpu_count()} cores, memory of {kib / 2**20:.1f} GiB (")
    assert f"may run on {len(os.sched_getaffinity(0))} core" in said["ranks 0-2"]
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
    ).stdout
    name = said["folder"].split(": ")[1].split(",")[0]
    assert name[:3] == kind[:3] or "overlay" in name  # stat says ext2/ext3 of ext4
    assert re.search(
        r", locks work; a round of 10 points .* takes \d+\.\d{3} s to gather", said["folder"]
    )
    assert said["a run here"].startswith("3 ranks on 3 x ")
    assert said["verdict"] == "nothing is wrong"
    assert not list(tmp_path.iterdir())


def run_python(code, *words, env=None):
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


RUN = "import runpy; runpy.run_module('landscape_mpi.doctor', run_name='__main__')"


def test_a_folder_that_is_not_there(tmp_path):
    where = tmp_path / "absent"
    done = run_alone([*DOCTOR, "--folder", where])
    assert done.status == 2
    assert f"wrong       --folder: {where}: there is no directory {where}. Make it" in done.words
    assert "a run here" not in done.words


@pytest.mark.parametrize("error", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks(error, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(getattr(errno, error), "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    done = run_alone([*DOCTOR, "--folder", tmp_path])
    assert done.status == 0, done.words
    assert ", no locks; a round of " in lines_of(done.words)["folder"]
    assert (
        f"{tmp_path} has no locks, so nothing keeps two runs from writing the same file."
        in done.words
    )


def test_tasks_of_the_wrong_pmi(tmp_path):
    """Two processes started without MPI, as ``srun --mpi=none`` starts the tasks of a step."""
    told = []
    for number in range(2):
        task = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_PROCID": str(number)}
        told.append(run_python(RUN, "--device=cpu", "--folder", tmp_path, env=task))
    assert [done.returncode for done in told] == [2, 0]
    assert "srun started 2; " in lines_of(told[0].stdout)["MPI"]
    assert lines_of(told[0].stdout)["wrong"].startswith("MPI: srun started 2 processes, but MPI (")
    assert told[1].stdout == ""


def test_no_mpi(tmp_path):
    done = run_python("import sys; sys.modules['mpi4py'] = None\n" + RUN, "--folder", tmp_path)
    assert done.returncode == 2
    assert re.search(r"^versions +landscape_mpi .*torch 2", done.stdout)
    assert "wrong: MPI cannot be started here: import of mpi4py halted" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("ranks", "folder", "words"),
    [
        (
            [RANK, replace(RANK, host="n2", versions="torch 1")],
            FOLDER,
            "Ranks run different software. n1: torch 2; n2: torch 1. Use one environment",
        ),
        ([replace(RANK, shared_memory=None)], FOLDER, "n1 has no /dev/shm, where the ranks of"),
        (
            [RANK, replace(RANK, host="n2")],
            replace(FOLDER, blind_hosts=("n2",)),
            "n2 does not see what rank 0 writes to /scratch. Name a folder that all nodes share",
        ),
    ],
)
def test_what_a_run_would_fail_for(ranks, folder, words):
    assert find_wrong([RANK], FOLDER) == []
    (found,) = find_wrong(ranks, folder)
    assert found.startswith(words)


@pytest.mark.parametrize(
    ("rank", "folder", "library", "words"),
    [
        (
            replace(RANK, shared_memory=(64 << 20, 63 << 20)),
            FOLDER,
            GOOD,
            "n1 has 63 MiB free in /dev/shm, where the ranks of a node share the data.",
        ),
        (RANK, replace(FOLDER, has_locks=False), GOOD, "/scratch has no locks, so nothing keeps"),
        (
            RANK,
            replace(FOLDER, round_seconds=2.5),
            GOOD,
            "A round takes 2.5 s to write in /scratch. Pass a larger --round-seconds",
        ),
        (RANK, FOLDER, replace(GOOD, has_threads=False), "This MPI lets only one thread call it"),
        (RANK, FOLDER, replace(GOOD, is_parallel=False), "HDF5 is serial, so rank 0 gathers"),
    ],
)
def test_what_a_user_may_want_to_change(rank, folder, library, words):
    assert find_notes([RANK, RANK], FOLDER, GOOD) == []
    (found,) = find_notes([rank, rank], folder, library)  # once for a node
    assert found.startswith(words)


def test_the_file_system_is_that_of_the_deepest_mount():
    mounts = "\n".join(
        [
            "disk / ext4 rw 0 0",
            "home /scratch nfs4 rw 0 0",
            "fast /scratch/my\\040data lustre rw 0 0",
            "old /old xfs rw 0 0",
            "new /old tmpfs rw 0 0",
        ]
    )
    for folder, kind in {
        "/home/me": "ext4",
        "/scratch/me": "nfs4",
        "/scratch/my data/me": "lustre",
        "/scratchy": "ext4",
        "/old": "tmpfs",
    }.items():
        assert file_system_of(Path(folder), mounts) == kind
