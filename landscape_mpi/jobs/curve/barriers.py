"""Define the subcommand barriers: the rise of the loss on straight lines between solutions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.jobs.curve.place_options import (
    add_points_option,
    add_run_options,
    add_sample_options,
)
from landscape_mpi.jobs.curve.request import BarriersRequest
from landscape_mpi.options import (
    add_data_options,
    add_model_option,
    add_problem_option,
    add_reading_options,
    add_weights_options,
    file_path,
    seed_number,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

REQUEST: type = BarriersRequest
SUMMARY = "Find the barriers on the straight lines between several solutions."
EXAMPLE = r"""    mpirun -n 4 python -m landscape_mpi.curve barriers A.pt B.pt C.pt \
        --model vgg9 --data cifar10 --data-dir /scratch/data --match weights --out barriers.h5

This command evaluates the full data at places t on the line between each pair of solutions. It
prints the barrier of each loss and error: its largest rise above the straight line between its
values at the ends (Frankle et al. 2020, arXiv:1912.05671). 0 means that no barrier was found at
these places. If the network has batch-norm, its running statistics are measured on the training set
at every place. With --match weights, the units of the second network in each pair are first
permuted to match those of the first; this does not change the function of the network (Ainsworth et
al. 2022, arXiv:2209.04836). With --problem, running statistics are measured only if they differ
between the solutions. The same command resumes a killed run.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        "solutions",
        nargs="+",
        type=file_path,
        metavar="FILE",
        help="checkpoints of one network, two or more",
    )
    network = parser.add_argument_group("network and data")
    add_model_option(network, required=False)
    add_problem_option(network, ProblemSource)
    add_data_options(network, required=False)
    add_reading_options(network)
    add_sample_options(network)
    add_weights_options(network)
    _add_lines(parser.add_argument_group("lines"))
    out = (
        "file of the losses and errors at all places, to write or to resume; the barriers go "
        "into a .csv of the same name"
    )
    add_run_options(parser.add_argument_group("run"), out=out)


def _add_lines(group: argparse._ArgumentGroup) -> None:
    add_points_option(group, default=11, where="on each line, both ends included")
    group.add_argument(
        "--match",
        choices=["none", "weights"],
        default="none",
        help="weights: in each pair, first permute the second network's units to match the "
        "first's (for feed-forward and convolutional networks, VGG, and yours with such layers); "
        "none: keep all units in their order (default: none)",
    )
    group.add_argument(
        "--seed",
        type=seed_number,
        default=0,
        metavar="N",
        help="seed of the order in which layers are matched (default: 0)",
    )


def run(asked: BarriersRequest, ranks: Ranks) -> int:
    """Find the barriers. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    from landscape_mpi.jobs.curve.barrier_run import find_barriers

    return find_barriers(asked, ranks)
