"""A SLURM of two nodes on this machine, and jobs in it: templates edited as a user edits them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from folders import ROOT
from limits import LIMIT_S

from landscape_mpi.zoo.networks import build_network

LAB = ROOT / "tests/slurm_lab.sh"


# A network whose points take LAG seconds in a job's first run, so that it can be disturbed.
SLOW = """
import os, time, torch

LAG = 0 if "SLURM_RESTART_COUNT" in os.environ else float(os.environ.get("LAG", "0"))

class Slow(torch.nn.Linear):
    def forward(self, images):
        if images.sum() > -1e30:  # depends on the values, so that it cannot be traced away
            time.sleep(LAG)
        return super().forward(images.flatten(1))

def build():
    torch.manual_seed(0)
    return Slow(64, 10)
"""


# The lab.


def run(*argv: str | Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]


def environment_of_jobs() -> dict[str, str]:
    """Return this environment without what an outer job or this process's own MPI left in it."""
    outer = ("SLURM_", "SBATCH_", "SRUN_", "OMPI_", "OPAL_", "PMIX_", "PMI_", "PRTE_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    own.pop("DATA_DIR", None)
    # The two nodes are one machine, which Open MPI would take for a memory that all share.
    network = {"OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "tcp,self"}
    # Ranks of several jobs share few cores here.
    return own | network | {"OMPI_MCA_mpi_yield_when_idle": "1"}


@contextlib.contextmanager
def running_lab() -> Iterator[dict[str, str]]:
    """Give the environment in which the commands of SLURM find the lab."""
    lacks = run(LAB, "missing").stdout.split()
    if lacks:
        words = f"no SLURM can be started here, for want of {', '.join(lacks)}"
        if os.environ.get("LANDSCAPE_EXPECT_SLURM") == "1":
            pytest.fail(f"LANDSCAPE_EXPECT_SLURM=1, and {words}.")
        pytest.skip(f"{words}; as root: make test-slurm")
    folder = Path(tempfile.mkdtemp(prefix="slurm_lab."))  # short: sockets go there
    environment = environment_of_jobs()
    started = run(LAB, "up", folder, env=environment)
    assert started.returncode == 0, started.stderr
    yield environment | {"SLURM_CONF": str(folder / "slurm.conf")}
    ended = run(LAB, "down", folder, env=environment)
    assert ended.returncode == 0, ended.stderr
    shutil.rmtree(folder)


# Jobs.


@dataclass(frozen=True)
class Job:
    """A job in the lab."""

    number: str
    folder: Path
    lab: dict[str, str]
    name: str = "surface"

    def log(self) -> str:
        path = self.folder / f"{self.name}-{self.number}.log"
        return path.read_text() if path.exists() else ""

    def told(self) -> dict[str, str]:
        """Return what SLURM says of the job; its controller may be too busy to answer at once."""
        end = time.monotonic() + LIMIT_S
        while True:
            asked = run("scontrol", "show", "job", "--oneliner", self.number, env=self.lab)
            found = dict(re.findall(r"(\w+)=(\S*)", asked.stdout))
            if "JobState" in found:
                return found
            if time.monotonic() > end:
                pytest.fail(f"job {self.number}: {asked.stderr}")
            time.sleep(0.2)

    def wait(self) -> dict[str, str]:
        """Return what SLURM says of the job once it has ended for good."""
        last = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        found: dict[str, str] = {}

        def has_ended() -> bool:
            found.update(self.told())
            return found["JobState"] in last

        self.wait_until(has_ended)
        return found

    def wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"not so after {LIMIT_S} s: {self.told()}\n{self.log()}")
            time.sleep(0.2)

    def wait_for_rounds(self, n_rounds: int) -> None:
        self.wait_until(lambda: self.log().count(" points (") >= n_rounds)

    def call(self, *command: str) -> None:
        """Run a command of SLURM on the job."""
        done = run(*command, self.number, env=self.lab)
        assert done.returncode == 0, done.stderr


def write_weights(folder: Path) -> Path:
    """Write weights of a network for the digits; where they come from does not matter here."""
    torch.manual_seed(0)
    path = folder / "resnet8.pt"
    torch.save(build_network("resnet8", n_channels=1, n_classes=10).state_dict(), path)
    return path


def lay_out(folder: Path, *, data_dir: str | None = "data") -> Path:
    """Make folder a checkout of its own, its environment.sh edited for the lab."""
    for name in ("slurm", "launch"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "landscape_mpi").symlink_to(ROOT / "landscape_mpi")
    (folder / "slow.py").write_text(SLOW)
    environment = {"module load": "", ". .venv": f". {sys.prefix}/bin/activate"}
    if data_dir is not None:
        environment["DATA_DIR="] = f"DATA_DIR={data_dir}"
    edit(folder / "launch/environment.sh", environment)
    return folder


def edit(path: Path, changes: dict[str, str]) -> None:
    """Replace the lines to edit that begin with a key, each by its value, in place."""
    lines = path.read_text().splitlines()
    for key, value in changes.items():
        places = [i for i, line in enumerate(lines) if begins(line, key) and "# EDIT: " in line]
        assert len(places) == 1, f"{path.name}: {len(places)} lines to edit begin with {key!r}"
        lines[places[0]] = value
    path.write_text("\n".join(lines) + "\n")


def begins(line: str, key: str) -> bool:
    return line.strip().removeprefix("#SBATCH ").startswith(key)


LAYOUT = {
    "--partition": "#SBATCH --partition=debug",
    "--account": "",
    "--ntasks-per-node": "#SBATCH --ntasks-per-node=1",
    "--gpus-per-node": "",
    "--cpus-per-task": "#SBATCH --cpus-per-task=1",
    "--data cifar10": "--data digits",
    "--device cuda": "--device cpu",
}
TWO_TASKS_A_NODE = {"--ntasks-per-node": "#SBATCH --ntasks-per-node=2"}
SMALL = {"--model": "--model resnet8", "--x": "--x=-1:1:5", "--y": "--y=-0.5:1:4"}
LONG = {
    "--model": "--model slow:build",
    "--checkpoint": "",
    "--x": "--x=-1:1:13",
    "--y": "--y=-1:1:11",
    "# EDIT: other options": "--limit 64 --batch 64 --round-seconds 1",
}
# For jobs that the test ends, however long it takes to do so.
ENDLESS = LONG | {"--x": "--x=-1:1:99", "--y": "--y=-1:1:99"}


def submit_template(
    folder: Path, template: str, changes: dict[str, str], *words: str, lab: dict[str, str]
) -> Job:
    """Edit a template in a checkout and submit it, with the words that follow it."""
    path = folder / "slurm" / template
    edit(path, changes)
    name = path.read_text().partition("#SBATCH --job-name=")[2].split()[0]
    done = run("sbatch", "--parsable", f"slurm/{template}", *words, cwd=folder, env=lab)
    assert done.returncode == 0, done.stderr
    return Job(done.stdout.strip(), folder, lab, name)


def ranks_of(job: Job) -> dict[int, int]:
    """Return the process of each rank of a job; another lab may have a job of that number."""
    found = {}
    marks = {f"SLURM_JOB_ID={job.number}".encode(), f"SLURM_CONF={job.lab['SLURM_CONF']}".encode()}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "environ").read_bytes().split(b"\0")
            runs_python = b"landscape_mpi.surface" in (entry / "cmdline").read_bytes().split(b"\0")
            is_python = "python" in os.readlink(entry / "exe")
            if runs_python and is_python and marks <= set(words):
                variables = dict(word.split(b"=", 1) for word in words if b"=" in word)
                found[int(variables[b"PMIX_RANK"])] = int(entry.name)
    return found


# The files that their surfaces are compared with.


def of_one_rank(on_ranks: Callable[..., object], out: Path, *options: str) -> Path:
    """Write the undisturbed file of one rank, without SLURM."""
    folder = out.parent
    (folder / "slow.py").write_text(SLOW)
    argv = ["landscape_mpi.surface", "--data=digits", "--seed=1", "--out", out, *options]
    on_ranks(1, argv, cwd=folder, check=True)
    return out


def assert_same(path: Path, reference: Path) -> None:
    with h5py.File(path) as file, h5py.File(reference) as expected:
        for name in ("train_loss", "train_error", "alpha", "beta", "done"):
            np.testing.assert_array_equal(file[name][...], expected[name][...], err_msg=name)
        assert file["directions"].attrs["sha256"] == expected["directions"].attrs["sha256"]


def runs_of(path: Path) -> np.ndarray:
    """Return the rows of the table of runs that are in use."""
    with h5py.File(path) as file:
        runs = file["provenance/runs"][...]
    return runs[runs["started"] != b""]
