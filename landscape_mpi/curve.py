r"""Find curves of low loss between two solutions of a network, on MPI ranks.

    mpirun -n 4 python -m landscape_mpi.curve train --start A.pt --end B.pt \
        --model resnet20 --data cifar10 --data-dir /scratch/data --out curve.pt
    mpirun -n 4 python -m landscape_mpi.curve evaluate curve.pt --out curve.h5
    python -m landscape_mpi.plot curve.h5

These commands train a curve, evaluate loss and error along it, and draw both. To see the options of
a subcommand, type python -m landscape_mpi.curve SUBCOMMAND --help. Source: Garipov et al. 2018,
arXiv:1802.10026.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.command import CommandParser, request_of
from landscape_mpi.errors import unknown_name
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.curve import barriers, evaluate, plane, train
from landscape_mpi.options import settle_subject

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


class Subcommand(Protocol):
    """The interface of a module of jobs/curve."""

    REQUEST: type  # class of its request, which is filled from its options
    SUMMARY: str  # summary in one line
    EXAMPLE: str  # a command line and its effect

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def run(self, asked: Any, ranks: Ranks) -> int:
        """Run the subcommand, and return the exit status. Collective over the ranks."""


SUBCOMMANDS: dict[str, Subcommand] = {
    "train": train,
    "evaluate": evaluate,
    "plane": plane,
    "barriers": barriers,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line, with the subcommand's name."""
    if not arguments or arguments[0].startswith("-"):
        return _parser_of_all().parse_args(arguments)
    name, *words = arguments
    subcommand = _find(name)
    text = f"{subcommand.SUMMARY}\n\n{subcommand.EXAMPLE}"
    parser = CommandParser.of_command(f"curve {name}", text)
    subcommand.add_options(parser)
    options = parser.parse_args(words)
    if "model" in options:
        settle_subject(parser, options)
    options.subcommand = name
    return options


def _find(name: str) -> Subcommand:
    if name not in SUBCOMMANDS:
        raise unknown_name(typed("curve"), name, SUBCOMMANDS)
    return SUBCOMMANDS[name]


def _parser_of_all() -> CommandParser:
    usage = typed("curve SUBCOMMAND ...")
    parser = CommandParser.of_command("curve", __doc__, usage=usage)
    listed = "\n".join(f"  {name:10} {found.SUMMARY}" for name, found in SUBCOMMANDS.items())
    parser.description = f"{parser.description}\n\nsubcommands:\n{listed}"
    parser.add_argument("subcommand", metavar="SUBCOMMAND", help=argparse.SUPPRESS)
    return parser


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Run the subcommand. Collective over the ranks.

    Returns:
        Exit status.
    """
    subcommand = SUBCOMMANDS[options.subcommand]
    return subcommand.run(request_of(subcommand.REQUEST, options), ranks)


if __name__ == "__main__":
    run_on_ranks(main, parse)
