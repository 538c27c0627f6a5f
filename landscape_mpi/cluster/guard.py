"""The entry of every command that runs on ranks: one message, one status, no rank left waiting.

A rank that raises before a barrier leaves the others in it for ever, so an exception
nobody expected is printed with the rank and host it came from, and ends the whole job.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from landscape_mpi.errors import EXIT_BAD_INPUT, EXIT_UNWRITABLE, InputError, UnwritableError
from landscape_mpi.garbage import search_seldom

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


# What MPI launchers tell a rank, each its own: Open MPI, PMIx (also srun), PMI (MPICH, srun, Cray).
LAUNCHED = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")


def started_by_launcher() -> bool:
    """Return whether mpirun, mpiexec or srun started this process: for what also runs alone."""
    return any(name in os.environ for name in LAUNCHED)


def run_on_ranks(
    main: Callable[[argparse.Namespace, Ranks], int],
    parse: Callable[[Sequence[str]], argparse.Namespace],
) -> NoReturn:
    """Parse the command line, start MPI, run main on every rank and leave with its status.

    Args:
        main: Called with the options and the ranks; returns the exit status.
        parse: Turns the arguments into options. ``--help`` ends here, before MPI starts.
    """
    search_seldom()
    options, problem = parse_or_problem(parse, sys.argv[1:])
    try:
        from landscape_mpi.cluster.communicator import start_ranks
    except (ImportError, RuntimeError) as error:  # no mpi4py, or no MPI library beneath it
        _leave_without_mpi(error)
    ranks = start_ranks()
    sys.exit(run_guarded(main, options, problem, ranks))


def parse_or_problem(
    parse: Callable[[Sequence[str]], argparse.Namespace], arguments: Sequence[str]
) -> tuple[argparse.Namespace | None, InputError | None]:
    """Return the options, or what is wrong with the arguments: one rank will say it."""
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
        options: Options of the command, None if there was a problem with them.
        problem: That problem, the same on every rank.
        ranks: All ranks of the run.

    Returns:
        Exit status.
    """
    from landscape_mpi.cluster.communicator import SharedInputError, meet

    try:
        # Every rank parsed the same words, so no rank waits for another here.
        status = _say_once(problem, ranks) if options is None else main(options, ranks)
    except SharedInputError as error:
        status = _say_once(error, ranks)
    except UnwritableError as error:
        _end_unwritten(error, ranks)
    except BaseException:
        _print_traceback(ranks)
        ranks.comm.Abort(1)
        raise
    # A rank that left early would make mpirun end the others in the middle of a write.
    meet(ranks.comm)
    return status


def _say_once(problem: InputError | None, ranks: Ranks) -> int:
    if ranks.is_root:
        print(f"error: {problem}", file=sys.stderr, flush=True)
    return EXIT_BAD_INPUT


def _end_unwritten(error: UnwritableError, ranks: Ranks) -> NoReturn:
    """Say it and end the job at once.

    After a write that failed, HDF5's own exit handler can crash, and MPI_Abort would run it.
    Launchers end the other ranks with the first that leaves MPI without a word.
    """
    print(f"[{ranks.rank}/{ranks.size} {ranks.host}] error: {error}", file=sys.stderr, flush=True)
    os._exit(EXIT_UNWRITABLE)


def _print_traceback(ranks: Ranks) -> None:
    """Print the exception with rank and host before every line, in one write."""
    prefix = f"[{ranks.rank}/{ranks.size} {ranks.host}] "
    lines = traceback.format_exc().splitlines()
    sys.stderr.write("".join(f"{prefix}{line}\n" for line in lines))
    sys.stderr.flush()


def _leave_without_mpi(error: Exception) -> NoReturn:
    print(
        f"error: MPI: {error} The ranks of a run talk over MPI: install mpi4py and an MPI "
        f"library (make setup does), or load your cluster's MPI module.",
        file=sys.stderr,
    )
    sys.exit(EXIT_BAD_INPUT)
