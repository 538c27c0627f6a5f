"""The subcommand barriers: how far the loss rises on the straight lines between solutions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.options import (
    add_data_options,
    add_model_option,
    add_round_options,
    file_path,
    names_of,
    seed_number,
    whole_from_1,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

SUMMARY = "find the barriers of the straight lines between several solutions"
EXAMPLE = r"""    mpirun -n 4 python -m landscape_mpi.curve barriers A.pt B.pt C.pt \
        --model vgg9 --data cifar10 --data-dir /scratch/data --match weights --out barriers.h5

evaluates the full data at places t on the line between each two solutions, and tells the largest
rise of each loss above the straight line between its ends (Frankle et al. 2020, arXiv:1912.05671).
Where the network has batch-norm, its running statistics are measured on the training set at every
place. With --match weights the units of the second of each two are first put into the order in
which its weights are most like the first's: the same function (Ainsworth et al. 2022,
arXiv:2209.04836). The same command again goes on with a run that was killed.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        "solutions", nargs="+", type=file_path, metavar="FILE", help="checkpoints, two or more"
    )
    network = parser.add_argument_group("network and data")
    add_model_option(network)
    add_data_options(network)
    network.add_argument(
        "--splits",
        type=names_of("train", "test"),
        default=("train", "test"),
        metavar="LIST",
        help="train or train,test (train,test)",
    )
    network.add_argument(
        "--limit", type=whole_from_1, metavar="N", help="the first N training samples only"
    )
    network.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="unpickle whatever the checkpoints hold, which can run code",
    )
    _add_lines(parser.add_argument_group("lines"))
    _add_run(parser.add_argument_group("run"))


def _add_lines(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--points", type=whole_from_1, default=11, metavar="N", help="places t from 0 to 1 (11)"
    )
    group.add_argument(
        "--match",
        choices=["none", "weights"],
        default="none",
        help="weights: the order of units in which the weights are most alike; for plain networks "
        "of the zoo: feed-forward, convolutional, VGG (none)",
    )
    group.add_argument(
        "--seed", type=seed_number, default=0, help="of the order in which layers are matched (0)"
    )


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        type=file_path,
        required=True,
        metavar="FILE",
        help="written or resumed; the matrices stand beside it, in a .csv of its name",
    )
    group.add_argument(
        "--fresh", action="store_true", help="start over instead of resuming what --out holds"
    )
    group.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="one GPU per rank, or shares of the cores (auto)",
    )
    group.add_argument("--batch", type=whole_from_1, metavar="N", help="samples per forward pass")
    add_round_options(group)


def run(options: argparse.Namespace, ranks: Ranks) -> int:
    """Find the barriers. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    from landscape_mpi.job.curve.barrier_run import find_barriers

    return find_barriers(options, ranks)
