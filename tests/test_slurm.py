"""The scripts of slurm/ in a real SLURM of two nodes.

Oracle: SLURM's own word on how a job or a step ended.
"""

from __future__ import annotations

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

import pytest

ROOT = Path(__file__).parent.parent
LAB = ROOT / "tests/slurm_lab.sh"
SCRIPTS = [*sorted((ROOT / "slurm").iterdir()), LAB]

# The text of the templates.


def test_the_scripts_are_clean() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    # Together, since they source one another.
    assert run("shellcheck", *SCRIPTS, cwd=ROOT).stdout == ""


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


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, str]]:
    """Return the environment in which the commands of SLURM find the lab."""
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


def test_the_lab_says_how_it_is_called() -> None:
    done = run(LAB, "sideways")
    assert done.returncode == 2
    assert "tests/slurm_lab.sh up FOLDER" in done.stderr


@pytest.mark.parametrize(("expected", "words"), [("0", "1 skipped"), ("1", "1 error")])
def test_without_slurm_the_tests_say_so(expected: str, words: str, tmp_path: Path) -> None:
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            (tmp_path / program.name).unlink(missing_ok=True)
            (tmp_path / program.name).symlink_to(program)
    (tmp_path / "sbatch").unlink(missing_ok=True)
    path = {"PATH": str(tmp_path), "LANDSCAPE_EXPECT_SLURM": expected}
    environment = environment_of_jobs() | path
    names = ["-k", "test_a_folder_holds_one_lab", "-p", "no:cacheprovider"]
    done = run(sys.executable, "-m", "pytest", __file__, *names, cwd=ROOT, env=environment)
    assert words in done.stdout
    assert re.search("no SLURM can be started here, for want of .*sbatch", done.stdout)


def test_a_folder_holds_one_lab(lab: dict[str, str]) -> None:
    folder = Path(lab["SLURM_CONF"]).parent
    done = run(LAB, "up", folder)
    assert done.returncode == 1
    assert f"{folder} holds a lab already" in done.stderr


def test_a_folder_without_a_lab_cannot_be_taken_down(tmp_path: Path) -> None:
    done = run(LAB, "down", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} holds no lab" in done.stderr


# Jobs.


@dataclass(frozen=True)
class Job:
    """A job in the lab."""

    number: str
    folder: Path
    lab: dict[str, str]

    def log(self) -> str:
        path = self.folder / f"surface-{self.number}.log"
        return path.read_text() if path.exists() else ""

    def told(self) -> dict[str, str]:
        """Return what SLURM says of the job."""
        words = run("scontrol", "show", "job", "--oneliner", self.number, env=self.lab).stdout
        return dict(re.findall(r"(\w+)=(\S*)", words))

    def wait(self, timeout: float = 90) -> dict[str, str]:
        """Return what SLURM says of the job once it has ended for good."""
        last = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        self.wait_until(lambda: self.told()["JobState"] in last, timeout)
        return self.told()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"not so after {timeout} s: {self.told()}\n{self.log()}")
            time.sleep(0.2)

    def call(self, *command: str) -> None:
        """Run a command of SLURM on the job."""
        done = run(*command, self.number, env=self.lab)
        assert done.returncode == 0, done.stderr


Submit = Callable[..., Job]

# The ranks of a step, with commands for which a template would be too slow.


@pytest.fixture(scope="module")
def submit_ranks(lab: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """Return a function that submits a job in which run_ranks.sh runs a line of bash."""

    def make(line: str, *options: str) -> Job:
        folder = tmp_path_factory.mktemp("ranks")
        (folder / "slurm").symlink_to(ROOT / "slurm")
        (folder / "tmp").mkdir()
        (folder / "job").write_text(
            f"#!/usr/bin/env bash\nset -eo pipefail\nexport TMPDIR={folder}/tmp MPI_TYPE=none\n"
            f". slurm/run_ranks.sh\nrun_ranks bash -c '{line}'\n"
        )
        words = ["sbatch", "--parsable", "--nodes=2", "--requeue", "--open-mode=append"]
        names = ["--job-name=surface", "--output=%x-%j.log", *options]
        done = run(*words, *names, "job", cwd=folder, env=lab)
        assert done.returncode == 0, done.stderr
        return Job(done.stdout.strip(), folder, lab)

    return make


@pytest.fixture(scope="module")
def overdue(submit_ranks: Submit) -> Job:
    """Submit a job that writes only when SLURM ends it at its time limit, and then is done."""
    write = "trap : TERM; echo began; sleep 200 & wait; sleep 1; exit 75"
    return submit_ranks(f"[ -z $SLURM_RESTART_COUNT ] || exit 0; {write}", "--time=1")


def test_a_signal_that_kills_the_ranks_is_explained_and_not_requeued(submit_ranks: Submit) -> None:
    job = submit_ranks("echo began; exec sleep 60")
    job.wait_until(lambda: job.log().count("began") == 2)
    job.call("scancel", "--batch", "--signal=USR1")
    told = job.wait()
    assert (told["JobState"], told["Restarts"]) == ("FAILED", "0")
    assert "the signal killed the ranks: it came before they listened, or twice" in job.log()
    assert "raise --time or lower the seconds of --signal" in job.log()


def test_a_step_without_the_status_of_rank_0_is_no_success(submit_ranks: Submit) -> None:
    job = submit_ranks("rm -rf $TMPDIR")
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "1:0", "0")
    assert "rank 0 left no status in " in job.log()
    assert "it has to run on the node of this shell" in job.log()


def test_run_ranks_is_for_jobs(lab: dict[str, str]) -> None:
    done = run("bash", "-c", ". slurm/run_ranks.sh", cwd=ROOT, env=lab)
    assert done.returncode != 0
    assert "SLURM_JOB_ID: is set by SLURM: submit the template with sbatch" in done.stderr


# One rank of a step.

# Four tasks that leave with a status, 0.3 s between them.
ONE_BY_ONE = ("bash", "-c", 'sleep 0.$((SLURM_PROCID * 3)); exit "$0"')


def srun(lab: dict[str, str], *command: str | Path) -> subprocess.CompletedProcess[str]:
    step = ["srun", "--nodes=2", "--ntasks=4", "--kill-on-bad-exit=1"]
    return run(*step, *command, env=lab, cwd=ROOT)


@pytest.mark.parametrize("status", ["2", "75"])
def test_ranks_that_leave_in_order_may_take_their_time(
    status: str, lab: dict[str, str], tmp_path: Path
) -> None:
    kept = tmp_path / "status"
    done = srun(lab, "slurm/run_rank.sh", kept, *ONE_BY_ONE, status)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept.read_text() == f"{status}\n"


def test_without_run_rank_srun_takes_them_for_dead(lab: dict[str, str]) -> None:
    """What run_rank.sh is for; where this fails, it may no longer be needed."""
    assert srun(lab, *ONE_BY_ONE, "75").returncode == 143


def test_any_other_status_of_a_rank_is_that_of_the_step(
    lab: dict[str, str], tmp_path: Path
) -> None:
    last = ("bash", "-c", "[ $SLURM_PROCID != 3 ] || exit 9; sleep 20")
    began = time.monotonic()
    done = srun(lab, "slurm/run_rank.sh", tmp_path / "status", *last)
    assert "task 3: Exited with exit code 9" in done.stderr
    assert done.returncode not in (0, 2, 75)
    assert time.monotonic() - began < 15


def test_ranks_that_end_in_order_after_the_time_limit_are_requeued(overdue: Job) -> None:
    told = overdue.wait(150)
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    assert "DUE TO TIME LIMIT" in overdue.log()
