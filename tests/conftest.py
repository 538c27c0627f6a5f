"""Shared by all tests: the data folder, ranks that run commands, and pytest on several ranks."""

from __future__ import annotations

import contextlib
import functools
import gc
import http.server
import importlib.metadata
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import numpy as np
import pytest
from _pytest.config import create_terminal_writer
from chromium import Chromium, find_chromium
from folders import ROOT
from limits import LIMIT_S
from mpi4py import MPI
from rank_pool import N_RANKS, RankPool, RankPoolError, modules_in
from xdist.scheduler import LoadScopeScheduling

from landscape_mpi.gc_tuning import search_seldom

RANK = MPI.COMM_WORLD.rank
SIZE = MPI.COMM_WORLD.size
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
SLURM = ("test_slurm", "test_templates", "test_fake_slurm")
# Tests that wait much come early, each beside some that compute.
LONGEST = (
    "slurm",
    "test_surface",
    "test_products",
    "test_cases",
    "test_problems",
    "test_every_network",
    "test_training",
    "report",
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
NUMBERS_OF_RANKS = (1, 2, 3, 4)  # as in the Makefile: a test marked for others would never run

# The same examples on every rank: ranks that test different ones wait for each other for ever.
hypothesis.settings.register_profile(
    "ranks",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # by the clock
)
hypothesis.settings.load_profile("ranks")

FAKE_GPUS = os.environ.get("FAKE_GPUS")  # under torch in this process; see tests/fake_cuda
NO_FAKE_GPUS = os.environ.get("NO_FAKE_GPUS")  # why they could not be built
PASSED = pytest.StashKey[bool]()  # the test itself, whatever its fixtures say

search_seldom()  # as commands do

# torch.compile costs half as much for small networks without its precompiled headers, without
# vector instructions and without processes to compile in.
os.environ.setdefault("TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS", "0")
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "0")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


def pytest_report_header() -> str:
    """Name what the results depend on."""
    vendor, version = MPI.get_vendor()
    kind = "parallel" if h5py.get_config().mpi else "serial"
    return (
        f"{vendor} {'.'.join(map(str, version))}, rank {RANK} of {SIZE}; "
        f"{f'{FAKE_GPUS} fake GPUs; ' if FAKE_GPUS else ''}"
        f"HDF5 {h5py.version.hdf5_version} {kind}; "
        f"torch {importlib.metadata.version('torch')}"
    )


# The choice of tests: those for as many ranks as there are now.


class FilesSideBySide(LoadScopeScheduling):
    """The tests of a file in one process, where they share what was run once."""

    def _split_scope(self, nodeid: str) -> str:
        """Return what must run in one process: a file, or those that share a SLURM or a browser."""
        return group_of(nodeid.split("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesSideBySide:
    """Share the tests out to the processes of ``pytest -n``."""
    return FilesSideBySide(config, log)


def group_of(path: str) -> str:
    """Return which tests run in the same process as those of a file."""
    name = Path(path).stem
    if name.startswith("test_report_"):
        return "report"
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
    elsewhere = [item for item in items if not runs_here(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if runs_here(item)]


def runs_here(item: pytest.Item) -> bool:
    """Return whether a test is for as many ranks as there are, on the GPUs that there are."""
    if item.get_closest_marker("clock") and not os.environ.get("LANDSCAPE_CLOCK"):
        return False
    is_for_these_ranks = item.get_closest_marker(f"parallel[{SIZE}]") is not None
    if device_of(item) != "cpu" and item.callspec.params.get("threads", 1) != 1:
        return False  # a rank on a GPU has one thread
    return is_for_these_ranks and needs_fake_gpus(item) == bool(FAKE_GPUS)


def needs_fake_gpus(item: pytest.Item) -> bool:
    """Return whether a test runs under launch/run_tests.sh fake."""
    on_gpu = device_of(item).startswith("cuda") and device_of(item) not in real_gpus()
    return on_gpu or item.get_closest_marker("fake_gpus") is not None


def device_of(item: pytest.Item) -> str:
    """Return the value of a test's fixture ``device`` or ``gpu``, ``cpu`` where it has neither."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return given.get("device", given.get("gpu", "cpu"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a ``device`` on all there are, one that takes a ``gpu`` on GPUs."""
    fake = [f"cuda:{index}" for index in range(int(FAKE_GPUS or 1))]
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", ["cpu", *(fake if FAKE_GPUS else real_gpus())])
    if "gpu" in metafunc.fixturenames:
        metafunc.parametrize("gpu", real_gpus() or fake)


@functools.cache
def real_gpus() -> list[str]:
    """Return the first GPU, if there is one that is not fake."""
    if FAKE_GPUS:
        return []
    import torch

    return ["cuda:0"] if torch.cuda.is_available() else []


def pytest_collection_finish() -> None:
    """Take what is imported for good: every plane of a test collects garbage, and looks at it."""
    gc.collect()
    gc.freeze()


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    """Say where the other tests run."""
    ranks = "1 rank" if SIZE == 1 else f"{SIZE} ranks"
    gpus = "on fake GPUs" if FAKE_GPUS else "without fake GPUs"
    return (
        f"Those for {ranks}, {gpus}; "
        f"make test runs the tests for {NUMBERS_OF_RANKS} ranks, and those on fake GPUs."
    )


# The output on several ranks: rank 0's report, and the failures of the others.


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Silence the report of ranks above 0."""
    config.addinivalue_line("markers", "clock: asserts times by the clock; see make test-clock")
    config.addinivalue_line("markers", "fake_gpus: runs under launch/run_tests.sh fake alone")
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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let every test draw and compute the same, whichever ran before it in this process."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)
        torch.set_num_threads(1)  # commands change it, and sums on more threads have other bits


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test passed, and show what a command printed that should have succeeded.

    The fixtures of a test check afterwards whether it passed.
    """
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    problem = call.excinfo.value if call.excinfo else None
    if isinstance(problem, subprocess.CalledProcessError):
        for kind in ("stdout", "stderr"):
            told = getattr(problem, kind) or ""
            text = told if isinstance(told, str) else told.decode(errors="replace")
            report.sections.append((f"Printed by the command, {kind}", text))
    return report


# Fixtures.


@pytest.fixture(autouse=True)
def gpu_left_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check each test on fake GPUs.

    A test on one device opens no context on another, ends its captures, and leaves no memory.
    """
    if not FAKE_GPUS:
        yield
        return
    if NO_FAKE_GPUS:
        pytest.skip(NO_FAKE_GPUS)
    from fake_gpus import control

    device = device_of(request.node)
    gc.freeze()  # each plane on a GPU searches for garbage: there is none in what is here already
    control.begin_again()
    before = control.allocated_everywhere()
    with control.only_on(int(device[5:])) if device != "cpu" else contextlib.nullcontext():
        yield
    if request.node.stash.get(PASSED, False):
        request.node.funcargs.clear()  # values of other fixtures, which are taken down already
        assert not control.is_capturing()
        left = memory_left(before)
        assert not any(left), f"the test left {left} bytes on the devices"


def memory_left(before: list[int]) -> list[int]:
    """Return how much more memory is allocated on each device, once threads have ended."""
    from fake_gpus import control

    end = time.monotonic() + 60
    while True:
        gc.collect()
        pairs = zip(control.allocated_everywhere(), before, strict=True)
        left = [max(0, now - then) for now, then in pairs]
        if not any(left) or time.monotonic() > end:
            return left
        time.sleep(0.05)


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
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Return a Chromium with one page."""
    program = find_chromium()
    if program is None:
        message = "no chromium on PATH: apt-get install chromium"
        if os.environ.get("LANDSCAPE_EXPECT_CHROMIUM") == "1":
            pytest.fail(f"{message}; LANDSCAPE_EXPECT_CHROMIUM=1 says it is expected")
        pytest.skip(message)
    started = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def lab() -> Iterator[dict[str, str]]:
    """Return the environment in which the commands of SLURM find a SLURM of two nodes."""
    from slurm_jobs import running_lab  # this import loads torch

    with running_lab() as environment:
        yield environment


@pytest.fixture(scope="session")
def mpich() -> Path:
    """Return the folder of an environment on PyPI's MPICH, made by tests/mpich_environment.sh."""
    folder = os.environ.get("LANDSCAPE_MPICH")
    if not folder:
        pytest.skip("LANDSCAPE_MPICH names no environment on MPICH: make test-mpich")
    if not Path(folder, "bin/mpiexec").exists():
        pytest.fail(f"LANDSCAPE_MPICH={folder} has no bin/mpiexec: make test-mpich")
    return Path(folder).absolute()


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
    own.pop("TIME_LIMIT_S", None)  # the limit of the whole suite
    own.pop("PYTHONUNBUFFERED", None)  # with it, print writes in pieces, which a launcher mixes
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
        timeout: float = LIMIT_S,
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

    For modules of the package, and scripts that compute with it, on up to 4 ranks. What is about
    the start or the end of processes, or asks ``MPI.COMM_WORLD`` for its size, needs ``mpiexec``.
    """
    return runs_on(rank_pool)


def runs_on(pool: RankPool) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command on the ranks of a pool; see the fixture on_ranks."""

    def run(
        n: int,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = LIMIT_S,
        check: bool = False,
        cwd: str | os.PathLike[str] = ROOT,
    ) -> subprocess.CompletedProcess[str]:
        words = [os.fspath(word) for word in argv]
        where = os.path.abspath(cwd)
        try:
            told = pool.run(n, words, cwd=where, environment=env or {}, timeout=timeout)
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
        capfd.readouterr()  # drops earlier output
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
        process.communicate(timeout=LIMIT_S)


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
