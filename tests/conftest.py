"""What all tests share: the data folder, ranks to run commands on, and pytest on several ranks."""

from __future__ import annotations

import contextlib
import gc
import http.server
import importlib.metadata
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import pytest
from _pytest.config import create_terminal_writer
from mpi4py import MPI
from rank_pool import N_RANKS, RankPool, RankPoolError, modules_in
from xdist.scheduler import LoadScopeScheduling

from landscape_mpi.garbage import search_seldom

ROOT = Path(__file__).parent.parent
RANK = MPI.COMM_WORLD.rank
SIZE = MPI.COMM_WORLD.size
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
SLURM = ("test_slurm", "test_templates")
# Those that wait much come early, each beside some that compute.
LONGEST = (
    "slurm",
    "test_surface",
    "test_products",
    "test_every_network",
    "test_training",
    "test_report_page",
    "test_hessian",
    "test_evaluation",
    "test_faults",
    "test_benchmarks",
    "test_train",
    "test_watch",
    "test_trajectory_page",
    "test_launch",
    "test_barriers",
    "test_setup",
    "test_bench",
    "test_rank_pool",
    "test_soak",
)
NUMBERS_OF_RANKS = (1, 2, 3, 4)  # those of the Makefile: a test marked for others would never run

# The same examples on every rank: ranks that test different ones wait for each other for ever.
hypothesis.settings.register_profile("ranks", derandomize=True, deadline=None)
hypothesis.settings.load_profile("ranks")

search_seldom()  # as commands do


def pytest_report_header() -> str:
    """Name what the results depend on."""
    vendor, version = MPI.get_vendor()
    kind = "parallel" if h5py.get_config().mpi else "serial"
    return (
        f"{vendor} {'.'.join(map(str, version))}, rank {RANK} of {SIZE}; "
        f"HDF5 {h5py.version.hdf5_version} {kind}; "
        f"torch {importlib.metadata.version('torch')}"
    )


# Which tests run: those for as many ranks as there are now.


class FilesSideBySide(LoadScopeScheduling):
    """The tests of a file in one process, where they share what was run once."""

    def _split_scope(self, nodeid: str) -> str:
        """Return what must run in one process: a file, or those that share one SLURM."""
        return group_of(nodeid.split("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesSideBySide:
    """Share the tests out to the processes of ``pytest -n``."""
    return FilesSideBySide(config, log)


def group_of(path: str) -> str:
    """Return which tests run in the same process as those of a file."""
    name = Path(path).stem
    return "slurm" if name in SLURM else name


def longest_first(item: pytest.Item) -> int:
    """Return the place of a test in the order that keeps several processes busy to the end."""
    group = group_of(str(item.path))
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests for another number of ranks; mpi-pytest has marked each with its own."""
    items.sort(key=longest_first)
    for item in items:
        if not any(item.get_closest_marker(f"parallel[{n}]") for n in NUMBERS_OF_RANKS):
            raise pytest.UsageError(
                f"{item.nodeid} is for a number of ranks that the Makefile never starts. "
                f"Mark it with some of {NUMBERS_OF_RANKS}."
            )
    elsewhere = [item for item in items if not item.get_closest_marker(f"parallel[{SIZE}]")]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item.get_closest_marker(f"parallel[{SIZE}]")]


def pytest_collection_finish() -> None:
    """Take what is imported for good: every plane of a test collects garbage, and looks at it."""
    gc.collect()
    gc.freeze()


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    """Say where the other tests run."""
    ranks = "1 rank" if SIZE == 1 else f"{SIZE} ranks"
    return f"Those for {ranks}; make test runs the tests for {NUMBERS_OF_RANKS} ranks."


# What is printed under several ranks: rank 0's report, and what failed on the others.


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Silence the report of ranks above 0."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if RANK > 0 and reporter is not None:
        reporter._tw = create_terminal_writer(config, io.StringIO())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print a failure on a rank above 0 at once: rank 0 may be waiting for that rank for ever."""
    if RANK > 0 and report.failed:
        words = [f"rank {RANK} of {SIZE}: {report.nodeid} failed", report.longreprtext]
        words += [f"{title}\n{text}" for title, text in report.sections]
        print(*words, sep="\n", file=sys.__stderr__, flush=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Wait for all ranks: mpiexec ends the others with the first that leaves with a failure."""
    MPI.COMM_WORLD.Barrier()


# Fixtures.


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data sets and checkpoints."""
    folder = os.environ.get("LANDSCAPE_DATA")
    if not folder:
        pytest.skip("LANDSCAPE_DATA names no folder of real data sets and checkpoints")
    if not Path(folder).is_dir():
        pytest.fail(f"LANDSCAPE_DATA={folder} is not a folder.")
    return Path(folder)


@pytest.fixture(scope="session")
def lab() -> Iterator[dict[str, str]]:
    """Return the environment in which the commands of SLURM find a SLURM of two nodes."""
    from slurm_jobs import running_lab  # which loads torch

    with running_lab() as environment:
        yield environment


def command_on_ranks(n: int, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the command line that runs argv on n ranks; see the fixture mpiexec."""
    words = [os.fspath(word) for word in argv]
    if words[0].startswith("landscape_mpi."):
        words.insert(0, "-m")
    if words[0].startswith("-") or words[0].endswith(".py"):
        words.insert(0, sys.executable)
    return [str(ROOT / "launch/try_ranks.sh"), str(n), *words]


def environment_of_ranks(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of such a command: this tree first on Python's path, this Python's
    folder first on the shell's."""
    own = dict(os.environ)
    own.pop("TIME_LIMIT_S", None)  # that of the whole suite
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), own.get("PYTHONPATH")]))
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
    return own | dict(extra or {})


@pytest.fixture(scope="session")
def mpiexec() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command on n ranks and waits for it.

    ``mpiexec(2, ["landscape_mpi.surface", "--out", path])`` runs a module of the package;
    what begins with ``-`` or ends in ``.py`` goes to Python, anything else runs as it is.
    A command that is not done after ``timeout`` seconds is ended, and fails the test; with
    ``check``, so does a status other than 0.
    """

    def run(
        n: int,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
        check: bool = False,
        cwd: str | os.PathLike[str] = ROOT,
    ) -> subprocess.CompletedProcess[str]:
        limit = {"TIME_LIMIT_S": str(timeout)}
        begin = time.monotonic()
        done = subprocess.run(
            command_on_ranks(n, argv),
            env=environment_of_ranks(limit | dict(env or {})),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        words = f"{' '.join(done.args)}\n{done.stdout}\n{done.stderr}"
        if done.returncode != 0 and time.monotonic() - begin >= timeout:
            pytest.fail(f"not done after {timeout} s: {words}")
        if check and done.returncode != 0:
            pytest.fail(f"status {done.returncode}: {words}")
        return done

    return run


@pytest.fixture(scope="session")
def rank_pool() -> Iterator[RankPool]:
    """Ranks that stay up, for ``on_ranks``."""
    pool = RankPool(command_on_ranks(N_RANKS, [sys.executable]), environment_of_ranks())
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def on_ranks(rank_pool: RankPool) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function like ``mpiexec`` that has its ranks started already: tenths of a second.

    For modules of the package, on up to 4 ranks. What is about the start or the end of processes,
    or asks ``MPI.COMM_WORLD`` for its size, needs ``mpiexec``.
    """

    def run(
        n: int,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
        check: bool = False,
        cwd: str | os.PathLike[str] = ROOT,
    ) -> subprocess.CompletedProcess[str]:
        words = [os.fspath(word) for word in argv]
        where = os.path.abspath(cwd)
        try:
            told = rank_pool.run(n, words, cwd=where, environment=env or {}, timeout=timeout)
        except RankPoolError as problem:
            pytest.fail(f"{n} ranks, {' '.join(words)}: {problem}")
        if check and told.status != 0:
            pytest.fail(f"status {told.status}: {' '.join(words)}\n{told.stdout}\n{told.stderr}")
        return subprocess.CompletedProcess(words, told.status, told.stdout, told.stderr)

    return run


@pytest.fixture
def alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function like ``mpiexec(1, ...)`` for the surface command, in this process.

    That takes tenths of a second. What may abort MPI needs ``mpiexec``.
    """
    from landscape_mpi import surface
    from landscape_mpi.cluster import guard
    from landscape_mpi.cluster.communicator import start_ranks

    def run(
        argv: Sequence[str | os.PathLike[str]],
        *,
        check: bool = False,
        cwd: str | os.PathLike[str] = ROOT,
    ) -> subprocess.CompletedProcess[str]:
        words = [os.fspath(word) for word in argv[1:]]
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [os.fspath(argv[0]), *words])
        capfd.readouterr()  # what was printed before
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        options, problem = guard.parse_or_problem(surface.parse, words)
        status = guard.run_guarded(surface.main, options, problem, start_ranks())
        for number, handler in before.items():
            signal.signal(number, handler)
        for name in modules_in([str(cwd)]):  # another test may have one of that name
            del sys.modules[name]
        out, err = capfd.readouterr()
        if check and status != 0:
            pytest.fail(f"status {status}: {out}\n{err}")
        return subprocess.CompletedProcess(words, status, out, err)

    return run


@pytest.fixture
def start_mpiexec() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function like ``mpiexec`` that does not wait: for tests that send signals.

    The process is mpiexec itself. What still runs at the end of the test is killed.
    """
    started: list[subprocess.Popen[str]] = []

    def start(
        n: int,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] = ROOT,
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command_on_ranks(n, argv),
            env=environment_of_ranks(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.fixture
def publisher() -> Iterator[Any]:
    """A server that gives each path what the test puts under it, and counts the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        server: Any

        def do_GET(self) -> None:
            self.server.n_requests += 1
            content = self.server.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    server: Any
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.n_requests = {}, 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
