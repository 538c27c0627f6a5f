r"""Check the environment of a run, and explain every problem found.

This command checks the versions, the MPI library and the launcher, HDF5, the device, cores and
memory of every rank, and the folder for the output files: its file system, its locks, and the time
to write a round. If you report a problem, paste this output into the report. Start the command in
the same way as a run.

    python -m landscape_mpi.doctor --folder /scratch/me
    mpirun -n 8 python -m landscape_mpi.doctor --folder /scratch/me
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import landscape_mpi
from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.command import CommandParser
from landscape_mpi.errors import EXIT_BAD_INPUT
from landscape_mpi.options import add_device_option, file_path

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = CommandParser.of_command("doctor", __doc__)
    group = parser.add_argument_group("parts to check")
    group.add_argument(
        "--folder",
        type=file_path,
        default=Path(),
        metavar="DIR",
        help="folder for the output files of a run; a small file is written there and removed "
        "again (default: the current folder)",
    )
    add_device_option(group)
    return parser.parse_args(arguments)


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Check everything and print the findings. Collective over the ranks.

    Returns:
        Exit status: 0, or 2 if something is wrong.
    """
    from landscape_mpi.jobs.doctor.examination import examine

    return examine(ranks, device=options.device, folder=options.folder)


def say_without_mpi(problem: Exception) -> int:
    """Print the findings if MPI cannot be started, and return the exit status."""
    found = _versions()
    print(f"versions    {found or f'landscape_mpi {landscape_mpi.__version__}, no torch'}")
    why = str(problem).strip().rstrip(".")
    print(f"wrong: MPI cannot be started here: {why}. Commands that run on ranks need mpi4py and")
    print("an MPI library: make setup installs both, or load your cluster's MPI module.")
    if found is None:
        print("wrong: torch is not installed here. Commands that compute need it. Install it with")
        print("pip install 'landscape_mpi[compute]'. plot, vtp and report do not need it.")
    return EXIT_BAD_INPUT


def _versions() -> str | None:
    """Return the versions of the packages of a run, or None without torch.

    Raises:
        ModuleNotFoundError: If another package is missing.
    """
    try:
        from landscape_mpi.engine.provenance import versions
    except ModuleNotFoundError as problem:
        if problem.name != "torch":
            raise
        return None
    return versions()


if __name__ == "__main__":
    run_on_ranks(main, parse, without_mpi=say_without_mpi)
