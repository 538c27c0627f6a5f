"""The templates beside surface.sbatch in a real SLURM of two nodes, edited as a user edits them.

Oracles: SLURM's own word on how a job ended (scontrol); the file of one rank that was started
without SLURM and never disturbed, compared bit for bit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from slurm_jobs import (
    LONG,
    ROOT,
    Job,
    assert_same,
    lay_out,
    of_one_rank,
    ranks_of,
    runs_of,
    submit_template,
    write_weights,
)

SLURM = ROOT / "slurm"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


# surface_mpirun.sbatch


def code_of(template: str) -> list[str]:
    """Return the lines of a template that do something."""
    lines = (SLURM / template).read_text().splitlines()
    return [line for line in lines if not line.startswith("#") or line.startswith("#SBATCH")]


def test_the_templates_of_a_surface_differ_in_the_launcher_and_nothing_else() -> None:
    """SLURM keeps a template as it was submitted, but not what it sources: so each is whole."""
    by_srun, by_mpirun = code_of("surface.sbatch"), code_of("surface_mpirun.sbatch")
    differ = [pair for pair in zip(by_srun, by_mpirun, strict=True) if len(set(pair)) > 1]
    assert [[line.split("=")[0] for line in pair] for pair in differ] == [["launcher"] * 2]


@pytest.fixture
def submit_mpirun(
    lab: dict[str, str], checkpoint: Path, tmp_path: Path
) -> Callable[[dict[str, str]], Job]:
    """Return a function that submits surface_mpirun.sbatch, its points slow in the first run."""

    def make(changes: dict[str, str]) -> Job:
        weights = {"--checkpoint": f"--checkpoint {checkpoint}", "--out": "--out surface.h5"}
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        environment = lab | allowed | {"LAG": "0.2"}
        folder = lay_out(tmp_path / "checkout")
        return submit_template(folder, "surface_mpirun.sbatch", weights | changes, lab=environment)

    return make


def test_mpirun_starts_the_ranks_and_a_signal_requeues_them(
    submit_mpirun: Callable[[dict[str, str]], Job], tmp_path: Path, mpiexec: Callable[..., object]
) -> None:
    job = submit_mpirun(LONG)
    job.wait_for_rounds(2)
    job.call("scancel", "--batch", "--signal=USR1")
    plane = ("--model=slow:build", "--limit=64", "--batch=64", "--x=-1:1:13", "--y=-1:1:11")
    reference = of_one_rank(mpiexec, tmp_path / "one.h5", *plane)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    assert (told["NodeList"], told["NumTasks"]) == ("n[1-2]", "4")
    assert_same(job.folder / "surface.h5", reference)
    runs = runs_of(job.folder / "surface.h5")
    assert runs["outcome"].tolist() == [b"stopped by SIGUSR1", b"complete"]
    assert runs["ranks"].tolist() == [4, 4]
    assert runs["points"].sum() == 13 * 11  # none twice


def test_a_rank_of_mpirun_that_dies_ends_the_job(
    submit_mpirun: Callable[[dict[str, str]], Job],
) -> None:
    job = submit_mpirun(LONG)
    job.wait_for_rounds(2)
    os.kill(ranks_of(job)[3], signal.SIGKILL)
    told = job.wait(30)
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "137:0", "0")
    with h5py.File(job.folder / "surface.h5") as file:
        assert 0 < (file["done"][...] == 1).sum() < file["done"].size
