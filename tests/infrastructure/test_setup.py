"""Set-up: the locks, the scripts, the Makefile, and the MPI and HDF5 that came of them.

The oracles are outside the scripts: the installed packages themselves, the ranks' own count,
and for each refusal a folder or PATH in which what it needs is really absent.
"""

from __future__ import annotations

import configparser
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from folders import ROOT, copy_sources
from libraries import HAS_GUDHI
from limits import LIMIT_S
from mpi4py import MPI

from landscape_mpi.errors import EXTRAS

SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
RunOnRanks = Callable[..., subprocess.CompletedProcess[str]]


def run(
    *argv: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.fspath(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def lines_of(lock: str) -> list[str]:
    """Return the packages of a lock, without the processors for which a package has no wheel."""
    text = (ROOT / lock).read_text().splitlines()
    elsewhere = '; platform_machine != "aarch64"'
    return [line.removesuffix(elsewhere) for line in text if line and not line.startswith("#")]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# The locks.


LOCKS = ("requirements.lock", "requirements-mpi.lock", "requirements-vision.lock")


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-docs.lock"])
def test_a_lock_holds_names_and_exact_versions_and_nothing_else(lock: str) -> None:
    assert lines_of(lock)
    assert [x for x in lines_of(lock) if not re.fullmatch(r"[\w.-]+==[0-9][0-9a-z.]*", x)] == []


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ("compute", "report", "animation", "topology", "xarray", "test")),
        ("requirements-docs.lock", ("docs",)),
    ],
)
def test_the_lock_names_all_that_the_package_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options.extras_require"]
    asked = [listed[extra] for extra in extras]
    if "compute" in extras:
        asked.append(config["options"]["install_requires"])
    names = {plain(re.split(r"[<>=\[]", line)[0]) for line in "\n".join(asked).split()}
    locked = {plain(line.split("==")[0]) for line in lines_of(lock)}
    assert names - {"landscape-mpi"} <= locked


def test_messages_know_the_extra_of_every_package_of_the_extras() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = {
        plain(re.split(r"[<>=\[]", line)[0]): extra
        for extra, lines in config["options.extras_require"].items()
        if extra not in {"all", "docs", "test"}
        for line in lines.split()
    }
    installed = importlib.metadata.packages_distributions()
    known = {plain(installed[name][0]): extra for name, extra in EXTRAS.items()}
    assert known == listed


def test_the_packages_of_the_documentation_are_beside_the_others() -> None:
    names = [
        {plain(line.split("==")[0]) for line in lines_of(f"requirements{kind}.lock")}
        for kind in ("", "-docs")
    ]
    assert not names[0] & names[1]


def test_the_lock_brings_no_gpu_libraries_of_its_own() -> None:
    # pip takes those that fit the machine with torch; named here, every laptop would get them.
    assert not [x for x in lines_of("requirements.lock") if re.match("nvidia|cuda|triton", x)]


def test_what_lies_apart_is_for_the_torch_of_the_lock() -> None:
    apart = {
        plain(found.metadata["Name"]): found
        for found in importlib.metadata.distributions(path=[f"{sys.prefix}/vision"])
    }
    if not apart:
        pytest.skip("no .venv/vision: this environment was not made by launch/set_up.sh")
    pins = dict(line.split("==") for line in lines_of("requirements-vision.lock"))
    assert {name: found.version for name, found in apart.items()} == pins
    torch = next(line for line in lines_of("requirements.lock") if line.startswith("torch=="))
    assert re.sub("[ ()]", "", "".join(apart["torchvision"].requires or [])).count(torch) == 1


def test_what_is_installed_is_what_the_lock_says() -> None:
    if not (ROOT / ".venv/set_up.txt").exists() or Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("this environment was not made by launch/set_up.sh")
    differ = {}
    for line in lines_of("requirements.lock"):
        name, version = line.split("==")
        if name == "gudhi" and not HAS_GUDHI:
            continue
        installed = importlib.metadata.version(name).split("+")[0]
        if installed != version:
            differ[name] = (installed, version)
    assert not differ


# MPI and HDF5.


@pytest.mark.parallel([1, 2, 3, 4])
def test_ranks_find_each_other() -> None:
    ranks = MPI.COMM_WORLD.allgather(MPI.COMM_WORLD.rank)
    assert ranks == list(range(MPI.COMM_WORLD.size))


def test_hdf5_is_parallel_where_set_up_built_it_so() -> None:
    if os.environ.get("LANDSCAPE_EXPECT_PARALLEL_HDF5") != "1":
        pytest.skip("LANDSCAPE_EXPECT_PARALLEL_HDF5=1 is not set: parallel HDF5 is not expected")
    assert h5py.get_config().mpi


@pytest.mark.parallel([2, 3])
@pytest.mark.skipif(not h5py.get_config().mpi, reason="HDF5 is serial here")
def test_ranks_write_one_file_together(tmp_path: Path) -> None:
    comm = MPI.COMM_WORLD
    path = comm.bcast(str(tmp_path / "ranks.h5"))
    with h5py.File(path, "w", driver="mpio", comm=comm) as file:
        rows = file.create_dataset("rank", (comm.size,), dtype="i4")
        rows[comm.rank] = comm.rank
    with h5py.File(path, "r") as file:
        assert np.array_equal(file["rank"][:], np.arange(comm.size))


# Running on ranks.


@pytest.mark.parametrize("n", [1, 2, 5])
def test_try_ranks_starts_that_many(n: int, mpiexec: RunOnRanks, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from mpi4py import MPI; world = MPI.COMM_WORLD\n"
        "pathlib.Path(sys.argv[1], str(world.rank)).write_text(str(world.size))"
    )
    mpiexec(n, ["-c", code, tmp_path], check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        str(rank): str(n) for rank in range(n)
    }


@pytest.mark.parallel(2)
def test_a_rank_can_start_ranks_of_its_own(mpiexec: RunOnRanks) -> None:
    code = "import sys; from mpi4py import MPI; sys.exit(MPI.COMM_WORLD.size != 3)"
    mpiexec(3, ["-c", code], check=True)


def test_try_ranks_hands_back_the_status(mpiexec: RunOnRanks) -> None:
    code = "import sys; from mpi4py import MPI; sys.exit(2 * MPI.COMM_WORLD.rank)"
    assert mpiexec(2, ["-c", code]).returncode == 2


def test_ranks_that_hang_are_ended(mpiexec: RunOnRanks) -> None:
    with pytest.raises(pytest.fail.Exception, match="not done after 2 s"):
        mpiexec(2, ["sleep", "60"], timeout=2)


def test_mpiexec_says_what_a_failed_command_said(mpiexec: RunOnRanks) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"status 3: (.|\n)*why it failed"):
        mpiexec(1, ["bash", "-c", "echo why it failed; exit 3"], check=True)


def test_start_mpiexec_gives_a_process_to_signal(
    start_mpiexec: Callable[..., subprocess.Popen[str]],
) -> None:
    code = (
        "import signal, time; from mpi4py import MPI\n"
        "seen = []; signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))\n"
        "MPI.COMM_WORLD.Barrier()\n"
        "if MPI.COMM_WORLD.rank == 0: print('ready', flush=True)\n"
        "while not seen: time.sleep(0.01)"
    )
    process = start_mpiexec(2, ["-c", code])
    assert process.stdout is not None
    assert any("ready" in line for line in process.stdout)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=LIMIT_S) == 0


# The suite itself on ranks.

SHARED = ("conftest.py", "chromium.py", "folders.py", "limits.py", "rank_pool.py")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a folder for a suite of its own with this suite's conftest."""
    for name in SHARED:
        shutil.copy(ROOT / "tests" / name, tmp_path)
    return tmp_path


def test_a_failure_on_one_rank_is_printed_and_fails_the_run(
    suite: Path, mpiexec: RunOnRanks
) -> None:
    (suite / "test_one.py").write_text(
        "import pytest\nfrom mpi4py import MPI\n"
        "@pytest.mark.parallel(2)\n"
        "def test_one(): assert MPI.COMM_WORLD.rank == 0, 'only rank 0 is right'\n"
    )
    done = mpiexec(2, ["-m", "pytest", suite])
    assert done.returncode != 0
    assert "rank 1 of 2: " in done.stderr
    assert "only rank 0 is right" in done.stderr
    assert done.stdout.count("test session starts") == 1


def test_a_rank_that_waits_for_ever_ends_the_run(suite: Path, mpiexec: RunOnRanks) -> None:
    (suite / "test_wait.py").write_text(
        "import time, pytest\nfrom mpi4py import MPI\n"
        "@pytest.mark.parallel(2)\n"
        "def test_wait(): time.sleep(60) if MPI.COMM_WORLD.rank else MPI.COMM_WORLD.recv()\n"
    )
    limit = ["-o", "faulthandler_timeout=2", "-o", "faulthandler_exit_on_timeout=true"]
    done = mpiexec(2, ["-m", "pytest", *limit, suite])
    assert done.returncode != 0
    assert "in test_wait" in done.stderr


def test_a_test_for_ranks_that_never_start_is_refused(suite: Path) -> None:
    (suite / "test_many.py").write_text(
        "import pytest\n@pytest.mark.parallel([2, 64])\ndef test_many(): pass\n"
    )
    done = run(sys.executable, "-m", "pytest", suite)
    assert done.returncode != 0
    assert "test_many[nprocs=64] is for a number of ranks that the Makefile" in done.stderr


# Set-up scripts: what they refuse, and how.


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what set-up reads, without an environment."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "launch", copy / "launch")
    for name in (*LOCKS, "setup.cfg", "setup.py"):
        shutil.copy(ROOT / name, copy)
    return copy


def folder_of_programs(folder: Path, *names: str) -> str:
    """Return a PATH on which only these programs are."""
    folder.mkdir()
    for name in ("bash", "env", "dirname", "sed", "grep", "readlink", "sha256sum", "cat", *names):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


def test_set_up_refuses_an_old_python(checkout: Path) -> None:
    old = checkout / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = run("launch/set_up.sh", env={"PYTHON": str(old)}, cwd=checkout)
    assert done.returncode == 1
    assert "Python 3.11 or later is needed" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "PYTHON=/path/to/python3.11 make setup" in done.stderr
    assert not (checkout / ".venv").exists()


def test_set_up_refuses_an_mpi_from_nowhere(checkout: Path) -> None:
    env = {"LANDSCAPE_MPI_FROM": "conda", "PYTHON": sys.executable}
    done = run("launch/set_up.sh", env=env, cwd=checkout)
    assert done.returncode == 1
    assert "LANDSCAPE_MPI_FROM is conda, but must be system or pypi" in done.stderr


def test_set_up_leaves_a_linked_environment_alone(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (checkout / ".venv").symlink_to(tmp_path / "shared")
    done = run("launch/set_up.sh", cwd=checkout)
    assert done.returncode == 0
    assert "used as it is" in done.stdout
    assert not list((tmp_path / "shared").iterdir())


def mark_as_set_up(checkout: Path) -> None:
    names = (*LOCKS, "setup.cfg", "setup.py")
    scripts = ("launch/set_up.sh", "launch/install_parallel_hdf5.sh")
    inputs = b"".join((checkout / name).read_bytes() for name in names + scripts)
    checksum = hashlib.sha256(f"{checkout}\n".encode() + inputs).hexdigest()
    (checkout / ".venv").mkdir()
    (checkout / ".venv/set_up.txt").write_text(f"inputs={checksum}\nmpi=pypi\nhdf5=serial\n")


def test_set_up_does_nothing_the_second_time(checkout: Path) -> None:
    mark_as_set_up(checkout)
    done = run("launch/set_up.sh", env={"PYTHON": "/nowhere"}, cwd=checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("changed", ["requirements.lock", "setup.cfg", "launch/set_up.sh"])
def test_set_up_begins_anew_after_a_change(checkout: Path, changed: str) -> None:
    mark_as_set_up(checkout)
    with (checkout / changed).open("a") as file:
        file.write("# changed\n")
    done = run("launch/set_up.sh", env={"PYTHON": "/nowhere"}, cwd=checkout)
    assert "Or name one: PYTHON=" in done.stderr
    assert not (checkout / ".venv/set_up.txt").exists()


def test_set_up_begins_anew_for_another_mpi(checkout: Path) -> None:
    mark_as_set_up(checkout)
    env = {"LANDSCAPE_MPI_FROM": "system", "PYTHON": "/nowhere"}
    assert run("launch/set_up.sh", env=env, cwd=checkout).returncode == 1


def test_no_mpi_is_said_with_the_way_out(tmp_path: Path) -> None:
    env = {"PATH": folder_of_programs(tmp_path / "bin")}
    done = run(
        shutil.which("bash") or "bash",
        ROOT / "launch/install_parallel_hdf5.sh",
        "--find",
        sys.executable,
        env=env,
    )
    assert done.returncode == 1
    assert "no mpicc on PATH" in done.stderr
    assert "module load openmpi hdf5" in done.stderr


@pytest.mark.skipif(not shutil.which("mpicc"), reason="no mpicc to look for HDF5 with")
def test_a_folder_without_parallel_hdf5_is_refused(tmp_path: Path) -> None:
    env = {"HDF5_DIR": str(tmp_path)}
    done = run("launch/install_parallel_hdf5.sh", "--find", sys.executable, env=env)
    assert done.returncode == 1
    assert f"HDF5_DIR={tmp_path} has no include/hdf5.h of an HDF5 built for MPI" in done.stderr


@pytest.mark.skipif(not h5py.get_config().mpi, reason="HDF5 is serial here")
def test_the_hdf5_found_is_the_one_h5py_was_built_on() -> None:
    done = run("launch/install_parallel_hdf5.sh", "--find", sys.executable)
    assert f"hdf5-{h5py.version.hdf5_version} in /" in done.stdout, done.stderr
    name, version = MPI.get_vendor()
    assert f"{name.replace(' ', '').lower()}-{'.'.join(map(str, version))}" in done.stdout


@pytest.fixture
def with_mpich(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose mpicc is that of Debian's MPICH, beside Open MPI's h5pcc."""
    compiler = shutil.which("mpicc.mpich")
    if compiler is None or not list(Path("/usr/lib").glob("*/hdf5/mpich")):
        if os.environ.get("LANDSCAPE_EXPECT_MPICH_HDF5") == "1":
            pytest.fail("LANDSCAPE_EXPECT_MPICH_HDF5=1, but mpicc.mpich or its HDF5 is missing")
        pytest.skip("Debian's libhdf5-mpich-dev is not installed")
    (tmp_path / "mpicc").symlink_to(compiler)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def test_the_hdf5_of_another_mpi_is_not_taken(with_mpich: dict[str, str]) -> None:
    done = run("launch/install_parallel_hdf5.sh", "--find", sys.executable, env=with_mpich)
    assert re.fullmatch(r"mpich-\S+ hdf5-\S+ in /usr/lib/[^/]+/hdf5/mpich\n", done.stdout), done
    folder = done.stdout.split()[-1].replace("mpich", "openmpi")
    env = with_mpich | {"HDF5_DIR": folder}
    done = run("launch/install_parallel_hdf5.sh", "--find", sys.executable, env=env)
    assert done.returncode == 1
    assert f"HDF5_DIR={folder} was built for another MPI than " in done.stderr


def test_the_library_of_the_mpi_is_that_of_its_compiler(with_mpich: dict[str, str]) -> None:
    done = run("launch/install_parallel_hdf5.sh", "--mpi-library", env=with_mpich)
    assert re.fullmatch(r"/\S+/libmpich\.so\.\S+\n", done.stdout)


MPI_H = "#define MPI_VERSION 3\nint MPI_Init(int *n, char ***words);\n"
HDF5_H = (
    "#define H5_HAVE_PARALLEL 1\n#define H5_VERS_MAJOR 1\n#define H5_VERS_MINOR 14\n"
    "#define H5_VERS_RELEASE 3\nint H5open(void);\n"
)
MPICC = """#!/bin/sh
exec gcc -I"{folder}" "$@" -L"{folder}" -Wl,-rpath,"{folder}" -lmpi
"""


def build_library(path: Path, code: str, *words: object) -> None:
    """Build a shared library that programs know by the name of its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".c")
    source.write_text(code)
    argv = ["gcc", "-shared", "-fPIC", source, "-o", path, f"-Wl,-soname,{path.name}", *words]
    subprocess.run([str(word) for word in argv], check=True)


def build_mpi(folder: Path, library: str) -> Path:
    """Build an MPI of a few symbols; return the folder of its mpicc."""
    code = "int {0} = 1; int MPI_Init(int *n, char ***words) {{ return 0; }}\n"
    build_library(folder / library, code.format("of_" + folder.name.replace(" ", "_")))
    (folder / "libmpi.so").symlink_to(library)
    (folder / "mpi.h").write_text(MPI_H)
    mpicc = folder / "bin/mpicc"
    mpicc.parent.mkdir()
    mpicc.write_text(MPICC.format(folder=folder))
    mpicc.chmod(0o755)
    return mpicc.parent


def build_hdf5(folder: Path, mpi: Path) -> Path:
    """Build an HDF5 of one function, which needs an MPI."""
    name = "of_" + mpi.name.replace(" ", "_")
    code = f"extern int {name}; int H5open(void) {{ return {name}; }}\n"
    build_library(folder / "lib/libhdf5.so", code, f"-L{mpi}", "-lmpi", f"-Wl,-rpath,{mpi}")
    (folder / "include").mkdir()
    (folder / "include/hdf5.h").write_text(HDF5_H)
    return folder


@pytest.fixture
def an_mpi(tmp_path: Path) -> Path:
    """Return the folder of an MPI, whose name has a space."""
    if not shutil.which("gcc") or not shutil.which("ldd"):
        pytest.skip("gcc and ldd are needed to build libraries and to see what programs load")
    build_mpi(tmp_path / "an mpi", "libmpi.so.12")
    return tmp_path / "an mpi"


def find_with(mpi: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the script with the mpicc of a folder."""
    path = os.pathsep.join([str(mpi / "bin"), os.environ["PATH"]])
    return run("launch/install_parallel_hdf5.sh", *words, env={"PATH": path} | settings)


def test_the_library_of_mpicc_is_found_in_a_folder_with_a_space(an_mpi: Path) -> None:
    done = find_with(an_mpi, "--mpi-library")
    assert done.stdout == f"{(an_mpi / 'libmpi.so.12').resolve()}\n", done.stderr


def test_a_static_mpi_has_no_library_and_leaves_no_file(an_mpi: Path, tmp_path: Path) -> None:
    (an_mpi / "bin/mpicc").write_text("#!/bin/sh\nexit 0\n")  # as the file is empty, ldd fails
    (tmp_path / "empty").mkdir()
    done = find_with(an_mpi, "--mpi-library", TMPDIR=str(tmp_path / "empty"))
    assert done.stdout == ""
    assert not list((tmp_path / "empty").iterdir())


def test_an_hdf5_for_the_mpi_of_mpicc_is_found(an_mpi: Path, tmp_path: Path) -> None:
    own = build_hdf5(tmp_path / "hdf5", an_mpi)
    done = find_with(an_mpi, "--find", sys.executable, HDF5_DIR=str(own))
    assert done.stdout == f"mpi-3 hdf5-1.14.3 in {own}\n", done.stderr


@pytest.mark.parametrize("is_there", [True, False])
def test_an_hdf5_for_another_mpi_is_refused(is_there: bool, an_mpi: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    build_mpi(other, "libmpi.so.40")
    wrong = build_hdf5(tmp_path / "hdf5", other)
    if not is_there:  # as if its module is not loaded
        shutil.rmtree(other)
    done = find_with(an_mpi, "--find", sys.executable, HDF5_DIR=str(wrong))
    assert done.returncode == 1
    assert f"HDF5_DIR={wrong} was built for another MPI than {an_mpi}/bin/mpicc" in done.stderr


def install_mpi(checkout: Path, mpi: str, path: str) -> tuple[str, list[str]]:
    """Run set-up's step for MPI; return what it said and the calls of pip, which cannot build."""
    whole = (checkout / "launch/set_up.sh").read_text()
    parts = checkout / "launch/parts.sh"
    parts.write_text(whole.removesuffix('main "$@"\n'))
    assert len(parts.read_text()) < len(whole)
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/sh\nif [ "$2" != pip ]; then exec "$REAL_PYTHON" "$@"; fi\n'
        'echo "$@" "CFLAGS=$CFLAGS" >> pip\ncase $* in *--no-binary*) exit 1 ;; esac\n'
    )
    python.chmod(0o755)
    env = {"PATH": path, "REAL_PYTHON": sys.executable, "CFLAGS": "-march=native"}
    done = run("bash", "-c", f"mpi={mpi}; . launch/parts.sh; install_mpi", env=env, cwd=checkout)
    assert done.returncode == 0, done.stderr
    return done.stdout, (checkout / "pip").read_text().splitlines()


def test_an_mpi4py_that_does_not_build_is_said_and_the_other_is_tried(
    checkout: Path, an_mpi: Path
) -> None:
    path = os.pathsep.join([str(an_mpi / "bin"), os.environ["PATH"]])
    told, calls = install_mpi(checkout, "system", path)
    assert "--no-binary=mpi4py" in calls[-1]
    assert calls[-1].endswith("CFLAGS=-march=native -O1 -g0 -w")  # the last -O counts
    assert f"mpi4py does not build for {an_mpi}/bin/mpicc" in told


def test_an_mpi4py_for_the_mpi_of_an_earlier_set_up_is_replaced(checkout: Path) -> None:
    _, calls = install_mpi(checkout, "pypi", os.environ["PATH"])
    assert "requirements-mpi.lock" in calls[0]
    assert "--force-reinstall" in calls[-1]
    assert "mpi4py==" in calls[-1]


# The Makefile.


def test_make_alone_lists_the_targets() -> None:
    done = run("make")
    for target in ("setup", "demo", "test", "test-%", "lint", "clean"):
        assert re.search(rf"^  make {target} +\w+", done.stdout, re.MULTILINE), target


def test_make_runs_the_numbers_of_ranks_that_tests_may_ask_for() -> None:
    from conftest import NUMBERS_OF_RANKS

    numbers = " ".join(map(str, NUMBERS_OF_RANKS))
    assert f"launch/run_tests.sh serial fake {numbers}\n" in run("make", "-n", "test").stdout


def run_tests_of(
    folder: Path, files: dict[str, str], part: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a part of the tests in a tree of its own, which has the script and these tests."""
    for name in ("launch/run_tests.sh", "setup.cfg"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "tests" / name).write_text(text)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env["OMP_NUM_THREADS"] = "1"  # as many cores nproc counts, and few processes do here
    argv = [str(folder / "launch/run_tests.sh"), part]
    return subprocess.run(argv, env=env | variables, capture_output=True, text=True, check=False)


def test_the_tests_end_with_what_was_skipped_and_why(tmp_path: Path) -> None:
    two = "import pytest\ndef test_one(): pass\ndef test_other(): pytest.skip('no pvpython')\n"
    done = run_tests_of(tmp_path, {"test_two.py": two}, "serial")
    assert done.returncode == 0, done.stdout + done.stderr
    head, skipped, closing = done.stdout.splitlines()[-3:]
    assert head == "tests in one process"
    assert skipped == "SKIPPED [1] tests/test_two.py:3: no pvpython"
    assert re.search("1 passed, 1 skipped in ", closing)


@pytest.mark.parametrize("expected", ["", "1"])
def test_without_a_compiler_there_are_no_fake_gpus(tmp_path: Path, expected: str) -> None:
    copy_sources(ROOT / "tests/fake_cuda", tmp_path / "tests/fake_cuda")
    files = {name: (ROOT / "tests" / name).read_text() for name in SHARED}
    files["test_device.py"] = "def test_it(device): assert device == 'cpu'\n"
    variables = {"CXX": "no-such-compiler", "LANDSCAPE_EXPECT_FAKE_CUDA": expected}
    done = run_tests_of(tmp_path, files, "fake", **variables)
    words = "the fake GPUs need a C++ compiler, and there is no no-such-compiler"
    if expected:
        assert done.returncode == 1
        assert done.stdout.startswith(f"tests on fake GPUs\n{words}\n")
    else:
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(rf"^SKIPPED \[2\] .*: {re.escape(words)}$", done.stdout, re.MULTILINE)
        assert "== 2 skipped in " in done.stdout


def test_the_demo_goes_from_training_to_pictures() -> None:
    commands = run("make", "-n", "demo").stdout
    examples = [word for word in commands.split() if word.startswith("examples/")]
    text = "".join((ROOT / example).read_text() for example in examples)
    order = [text.index(f"landscape_mpi.{name} ") for name in ("train", "surface", "plot", "vtp")]
    assert order == sorted(order)


def test_lint_reads_every_script_of_a_shell() -> None:
    linted = set(run("make", "-n", "lint", cwd=ROOT).stdout.split())
    scripts = {name for name in tracked() if is_for_a_shell(ROOT / name)}
    assert scripts
    assert scripts <= linted, sorted(scripts - linted)


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("only a clone knows its files")
    return run("git", "ls-files", cwd=ROOT).stdout.splitlines()


def is_for_a_shell(path: Path) -> bool:
    first = path.read_bytes()[:80].partition(b"\n")[0]
    return first.endswith((b"bash", b"/sh", b"env sh")) or b"shellcheck shell=" in first


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_started_unless_it_is_to_be_sourced(script: Path) -> None:
    assert os.access(script, os.X_OK) == script.read_text().startswith("#!")
