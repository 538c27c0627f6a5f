"""Commands of the package in this process, on one rank and any number of threads: 0.1 s each."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import runpy
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from unittest import mock

from mpi4py import MPI

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@dataclass(frozen=True)
class Ended:
    """The end of a command."""

    status: int
    words: str  # its output, errors too


class AbortError(BaseException):
    """A command called MPI_Abort, which would end this process."""


class Alone(MPI.Intracomm):
    """A communicator of this rank, whose end is no end of the process."""

    def Abort(self, errorcode: int = 0) -> None:  # type: ignore[override]  # noqa: N802
        raise AbortError(errorcode)


def run_alone(words: Sequence[str | os.PathLike[str]], *, threads: int = 2) -> Ended:
    """Run a command for ranks, as ``python -m`` does, and return what it ended with.

    Args:
        words: Name of a module of the package, and its options.
        threads: On which it computes, whatever number of cores there is.
    """
    from landscape_mpi.cluster import guard
    from landscape_mpi.cluster.communicator import start_ranks

    module = importlib.import_module(os.fspath(words[0]))
    options, problem = guard.parse_or_problem(module.parse, [os.fspath(w) for w in words[1:]])
    ranks = replace(start_ranks(MPI.COMM_SELF), comm=Alone(MPI.COMM_SELF))
    with cores(threads), handlers_kept(), printed() as said:
        try:
            status = guard.run_guarded(module.main, options, problem, ranks)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:  # as Python ends
            traceback.print_exc()
            status = 1
    return Ended(status, said.getvalue())


def output_of(words: Sequence[str | os.PathLike[str]]) -> str:
    """Return the output of a command for ranks that succeeds; see run_alone."""
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    return ended.words


def said_by(*words: object) -> str:
    """Run a module of the package as ``python -m`` does, and return what it printed.

    For all that needs no ranks: help, lists, and the commands that show files.

    Args:
        words: Name of the module, and its options.
    """
    argv = [str(word) for word in words]
    with printed() as said, mock.patch.object(sys, "argv", argv), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        status = None
        try:
            runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
    assert not status, f"{argv}: status {status}\n{said.getvalue()}"
    return said.getvalue()


@contextlib.contextmanager
def cores(n: int) -> Iterator[None]:
    """Let this process seem to be allowed n cores."""
    with mock.patch("os.sched_getaffinity", return_value=set(range(n))):
        yield


@contextlib.contextmanager
def printed() -> Iterator[io.StringIO]:
    """Keep what is printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Leave the handlers of signals as they were."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
