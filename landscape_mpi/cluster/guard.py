"""Start every command that runs on ranks: one message, one status, and no rank left waiting.

A rank that raises before a barrier leaves the others waiting in it for ever. So an unexpected
exception is printed with its rank and host, and ends the whole job.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from landscape_mpi.cluster.launcher import find_fault, is_first, started_by_srun
from landscape_mpi.errors import (
    EXIT_BAD_INPUT,
    EXIT_UNWRITABLE,
    USERS_OWN,
    InputError,
    UnwritableError,
    missing_packages_named,
    tell_interrupts_apart,
    users_own,
)
from landscape_mpi.gc_tuning import search_seldom

if TYPE_CHECKING:
    from mpi4py import MPI

    from landscape_mpi.cluster.communicator import Ranks

ALIKE_S = 3.0  # ranks that meet the same bad input do so within this time
LEFT, LEFT_S = 1, 0.5  # tag of the message that a rank has left, and the longest wait for it
ABORT_S = 10  # time for MPI to end the job; then the system ends this process
SAY_S = 2.0  # time for the first process to print the problem of all of them


def run_on_ranks(
    main: Callable[[argparse.Namespace, Ranks], int],
    parse: Callable[[Sequence[str]], argparse.Namespace],
    *,
    without_mpi: Callable[[Exception], int] | None = None,
) -> NoReturn:
    """Parse the command line, start MPI, run main on every rank and exit with its status.

    Args:
        main: Called with the options and the ranks; returns the exit status.
        parse: Turns the arguments into options. ``--help`` ends here, before MPI starts.
        without_mpi: For a command that examines MPI, and so also runs on processes that MPI has not
            joined. Called with the reason if MPI cannot be started; returns the exit status.
    """
    search_seldom()
    tell_interrupts_apart()
    options, problem = parse_or_problem(parse, sys.argv[1:])
    try:
        from landscape_mpi.cluster.communicator import describe_world, start_ranks
    except (ImportError, RuntimeError) as error:  # mpi4py or its MPI library is missing
        if without_mpi is not None and options is not None:
            sys.exit(without_mpi(error))
        _leave_without_mpi(error)
    ranks = start_ranks()
    n_joined, library = describe_world()
    fault = find_fault(os.environ, n_ranks=n_joined, library=library)
    if fault is not None and without_mpi is None:
        _leave_apart(fault)
    if fault is not None and not is_first(os.environ):
        sys.exit(0)  # the first process prints the reason
    if getattr(options, "stall_seconds", None) is not None:
        from landscape_mpi.cluster.set_up_watch import watch_set_up

        ranks = watch_set_up(ranks, stall_seconds=options.stall_seconds)  # type: ignore[union-attr]
    sys.exit(run_guarded(main, options, problem, ranks))


def parse_or_problem(
    parse: Callable[[Sequence[str]], argparse.Namespace], arguments: Sequence[str]
) -> tuple[argparse.Namespace | None, InputError | None]:
    """Return the options, or the problem with the arguments, which one rank will print."""
    try:
        return parse(arguments), None
    except InputError as problem:
        return None, problem


def run_guarded(
    main: Callable[[argparse.Namespace, Ranks], int],
    options: argparse.Namespace | None,
    problem: InputError | None,
    ranks: Ranks,
) -> int:
    """Run main on every rank; print bad input once, end the job on anything else.

    Args:
        main: Called with the options and the ranks.
        options: Options of the command, None if there is a problem with them.
        problem: The problem, the same on every rank.
        ranks: All ranks of the run.

    Returns:
        Exit status.
    """
    from landscape_mpi.cluster.communicator import SharedInputError, meet

    apart = ranks.comm.Dup()  # used only for the wait at the end
    try:
        # Every rank parsed the same words, so all ranks come here, or none.
        if options is None:
            status = _say_once(problem, ranks)
        else:
            with users_own(USERS_OWN), missing_packages_named():
                status = main(options, ranks)
    except SharedInputError as error:
        status = _say_once(error, ranks)
    except InputError as error:
        status = _say_apart(error, ranks, apart)
    except UnwritableError as error:
        _end_unwritten(error, ranks)
    except BaseException:
        end_job(ranks, apart)
        raise
    if ranks.set_up_watch is not None:
        ranks.set_up_watch.end()
    # A rank that left early would make mpirun end the others in the middle of a write.
    meet(ranks.comm)
    apart.Free()
    return status


def _say_apart(problem: InputError, ranks: Ranks, apart: MPI.Intracomm) -> int:
    """Report bad input that perhaps only this rank met: a network may raise only for its samples.

    If all ranks met it, rank 0 prints it, and all leave as after any bad input. If not, the others
    would wait for this rank for ever. So it prints the problem and leaves without MPI, and the
    launcher ends the others.
    """
    from landscape_mpi.cluster.communicator import is_met_by_all

    if not is_met_by_all(apart, ALIKE_S):
        leave_alone(problem, ranks, apart)
    return _say_once(problem, ranks)


def leave_alone(problem: InputError, ranks: Ranks, apart: MPI.Intracomm) -> NoReturn:
    """Print the problem of this rank alone, and leave without MPI: the launcher ends the others."""
    _say(f"[{ranks.rank}/{ranks.size} {ranks.host}] error: {problem}")
    for other in set(range(ranks.size)) - {ranks.rank}:
        apart.Isend(b"", dest=other, tag=LEFT)
    os._exit(EXIT_BAD_INPUT)


def end_job(ranks: Ranks, apart: MPI.Intracomm) -> None:
    """End all ranks after an unexpected exception; print it, unless a rank has left.

    A rank that left alone has printed its reason, and others may only see a lost connection to it.

    Args:
        ranks: All ranks of the run.
        apart: Communicator on which leave_alone() sends.
    """
    end = time.monotonic() + LEFT_S
    while ranks.size > 1 and time.monotonic() < end:
        if apart.Iprobe(tag=LEFT):
            time.sleep(ALIKE_S)  # the launcher ends this rank in the meantime
            os._exit(EXIT_BAD_INPUT)
        time.sleep(LEFT_S / 20)
    _print_traceback(ranks)
    ranks.comm.Abort(1)


def _say_once(problem: InputError | None, ranks: Ranks) -> int:
    if ranks.is_root:
        _say(f"error: {problem}")
    return EXIT_BAD_INPUT


def _end_unwritten(error: UnwritableError, ranks: Ranks) -> NoReturn:
    """Print the error and end the job at once.

    After a failed write, HDF5's own exit handler can crash, and MPI_Abort would run it. Most
    launchers end all ranks when one leaves without MPI_Finalize. With srun the others wait until
    their watch takes this rank for a hung one.
    """
    _say(f"[{ranks.rank}/{ranks.size} {ranks.host}] error: {error}")
    if started_by_srun(os.environ):
        signal.alarm(ABORT_S)
        _skip_exit_handlers(EXIT_UNWRITABLE)
        ranks.comm.Abort(EXIT_UNWRITABLE)
    os._exit(EXIT_UNWRITABLE)


def _skip_exit_handlers(status: int) -> None:
    """Make this process exit with a status before any other exit handler runs.

    Handlers run in the reverse order of their registration, so this one is the first.
    """
    libc = ctypes.CDLL(None)
    libc.__cxa_atexit(libc._exit, ctypes.c_void_p(status), None)


def _print_traceback(ranks: Ranks) -> None:
    """Print the exception, with rank and host before every line."""
    prefix = f"[{ranks.rank}/{ranks.size} {ranks.host}] "
    _say("\n".join(f"{prefix}{line}" for line in traceback.format_exc().splitlines()))


def _say(text: str) -> None:
    """Print text and the end of its line in one write, or those of other ranks come between."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _leave_apart(fault: str) -> NoReturn:
    """Print from one process that MPI did not join the processes into one run, and leave."""
    if is_first(os.environ):
        _say(f"error: {fault}")
    else:  # a launcher may end all processes when the first one leaves
        signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_BAD_INPUT))
        time.sleep(SAY_S)
    sys.exit(EXIT_BAD_INPUT)


def _leave_without_mpi(error: Exception) -> NoReturn:
    _say(
        f"error: MPI: {str(error).rstrip('.')}. The ranks of a run communicate by MPI. Install "
        "mpi4py, which pip install 'landscape_mpi[compute]' does, and an MPI library (make setup "
        "installs both), or load your cluster's MPI module."
    )
    sys.exit(EXIT_BAD_INPUT)
