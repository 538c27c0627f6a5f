"""A real SLURM of two nodes.

Oracle: SLURM's own word on what it holds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAB = ROOT / "tests/slurm_lab.sh"
SCRIPTS = [LAB]

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
