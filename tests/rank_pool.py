"""Ranks that stay up and run one command after the other: a start of ranks takes seconds.

    launch/try_ranks.sh 4 python tests/rank_pool.py SOCKET

is what ``RankPool`` starts: real ranks under mpiexec, which run the commands of the package as
``python -m`` would, and scripts, each on a communicator of as many of them as are asked for. What
is about the start or the end of processes needs ``mpiexec`` itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener, wait
from pathlib import Path
from typing import Any

from limits import LIMIT_S

N_RANKS = 4


class RankPoolError(Exception):
    """The ranks did not do what they were asked to; they are started again for the next command."""


@dataclass(frozen=True)
class Order:
    """A module of the package to run, or a script."""

    n: int  # ranks
    words: list[str]  # its name, or its path in cwd, and its options
    cwd: str
    environment: dict[str, str]  # besides that of the ranks
    folder: str  # for its output


@dataclass(frozen=True)
class Told:
    """The end of a command on ranks."""

    status: int
    stdout: str  # of rank 0, then of the others
    stderr: str


class RankPool:
    """Starts the ranks when they are first needed, and again after a command has ended them."""

    def __init__(
        self, launch: Sequence[str], environment: Mapping[str, str], n_ranks: int = N_RANKS
    ) -> None:
        """Take note of how to start them; nothing runs yet.

        Args:
            launch: Command line that runs the Python file named after it on so many ranks.
            environment: Of these ranks.
            n_ranks: Their number.
        """
        self._launch, self._environment, self._n_ranks = launch, environment, n_ranks
        self._folder = Path(tempfile.mkdtemp(prefix="ranks"))
        self._process: subprocess.Popen[bytes] | None = None
        self._ranks: dict[int, Any] = {}  # by rank: a connection that takes orders, gives statuses

    def run(
        self,
        n: int,
        words: Sequence[str],
        *,
        cwd: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> Told:
        """Run a module of the package, or a script, on n of the ranks.

        Raises:
            RankPoolError: If they are not done in time.
        """
        if self._process is None:
            self._start()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            order = Order(n, list(words), cwd, dict(environment), folder)
            for rank in range(n):
                self._ranks[rank].send(order)
            status = self._wait(n, timeout)
            told = [
                "".join(file.read_text() for file in sorted(Path(folder).glob(f"{kind}.*")))
                for kind in ("stdout", "stderr")
            ]
        if status is None:
            self.stop()
            raise RankPoolError(f"not done after {timeout} s:\n{told[0]}\n{told[1]}")
        return Told(status, *told)

    def _start(self) -> None:
        address = str(self._folder / "socket")
        with Listener(address, "AF_UNIX") as listener:
            self._process = subprocess.Popen(
                [*self._launch, __file__, address],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # messages of mpiexec about ranks that end
                start_new_session=True,
            )
            for _ in range(self._n_ranks):
                connection = listener.accept()
                self._ranks[connection.recv()] = connection

    def _wait(self, n: int, timeout: float) -> int | None:
        """Return the status of the command, None if it is not done in time."""
        waiting, statuses = [self._ranks[rank] for rank in range(n)], [0]
        end = time.monotonic() + timeout
        while waiting:
            ready = wait(waiting, max(0, end - time.monotonic()))
            if not ready:
                return None
            for connection in ready:
                try:
                    statuses.append(connection.recv())
                except (EOFError, ConnectionResetError):  # mpiexec ends the others with this one
                    return self._end()
                waiting.remove(connection)
        return max(statuses)

    def _end(self) -> int:
        """Return the status of mpiexec, which is about to end."""
        assert self._process is not None
        status = self._process.wait(LIMIT_S)
        self.stop()
        return status

    def stop(self) -> None:
        """End the ranks."""
        if self._process is None:
            return
        for connection in self._ranks.values():
            connection.close()
        self._ranks.clear()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """End the ranks and remove their folder."""
        self.stop()
        shutil.rmtree(self._folder)


# The work of each rank.


def serve(address: str) -> None:
    """Run what is asked for, until killed."""
    from mpi4py import MPI

    with Client(address, "AF_UNIX") as connection:
        connection.send(MPI.COMM_WORLD.rank)
        connection.send(obey(connection.recv()))
        gc.collect()
        gc.freeze()  # every plane collects garbage, and would look at all imported modules
        while True:
            connection.send(obey(connection.recv()))


def obey(order: Order) -> int:
    """Run a command on the ranks it is for, its output in files; return its status."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    group = world.group.Incl(range(order.n))
    comm = world.Create_group(group)
    group.Free()
    with as_a_process_of_its_own(order, world.rank):
        try:
            return run_module(order.words, comm)
        except BaseException:  # as Python ends
            traceback.print_exc()
            return 1


def run_module(words: list[str], comm: Any) -> int:
    """Run a module as ``python -m`` does, or a script, its ranks being those of comm."""
    from landscape_mpi.cluster import communicator

    start_ranks = communicator.start_ranks
    communicator.start_ranks = lambda: start_ranks(comm)
    sys.argv = words
    try:
        if words[0].endswith(".py"):
            runpy.run_path(words[0], run_name="__main__")
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        communicator.start_ranks = start_ranks
    return 0


@contextlib.contextmanager
def as_a_process_of_its_own(order: Order, rank: int) -> Iterator[None]:
    """Let a command find the world as it would at its start, and leave it so for the next."""
    before = dict(os.environ), list(sys.path), os.getcwd()
    handlers = {number: signal.getsignal(number) for number in (1, 2, 10, 12, 15)}
    threads = max(1, len(os.sched_getaffinity(0)) // order.n)  # as launch/try_ranks.sh
    os.environ.update({"OMP_NUM_THREADS": str(threads)} | order.environment)
    sys.path[:0] = [order.cwd, *order.environment.get("PYTHONPATH", "").split(os.pathsep)]
    os.chdir(order.cwd)
    with output_into(Path(order.folder), rank):
        yield
    os.environ.clear()
    os.environ.update(before[0])
    for name in modules_in(sys.path[: -len(before[1])]):
        del sys.modules[name]  # the next test may have one of that name
    sys.path[:] = before[1]
    os.chdir(before[2])
    for number, handler in handlers.items():
        signal.signal(number, handler)


def modules_in(folders: Sequence[str]) -> list[str]:
    """Return the names of the modules that lie in one of these folders."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return [name for name, file in files.items() if file and str(Path(file).parent) in folders]


@contextlib.contextmanager
def output_into(folder: Path, rank: int) -> Iterator[None]:
    """Send what this process writes, whoever in it does, to files."""
    kept = {}
    for number, kind in ((1, "stdout"), (2, "stderr")):
        kept[number] = os.dup(number)
        file = os.open(folder / f"{kind}.{rank}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    yield
    sys.stdout.flush()
    sys.stderr.flush()
    for number, copy in kept.items():
        os.dup2(copy, number)
        os.close(copy)


if __name__ == "__main__":
    serve(sys.argv[1])
