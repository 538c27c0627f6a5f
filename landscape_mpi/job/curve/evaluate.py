"""The subcommand evaluate: loss and error along a curve, and along the straight line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.options import (
    add_moved_data,
    add_round_options,
    file_path,
    names_of,
    whole_from_1,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

SUMMARY = "evaluate loss and error along a curve, and along the straight line"
EXAMPLE = r"""    mpirun -n 4 python -m landscape_mpi.curve evaluate curve.pt --points 61 \
        --out curve.h5
    python -m landscape_mpi.plot curve.h5

evaluates the full data at places t from 0 to 1, spread over the ranks. Where the network has
batch-norm, its running statistics are measured on the training set, without augmentation, at every
place. The same command again goes on with a run that was killed. Source: Garipov et al. 2018,
arXiv:1802.10026.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        "curve", type=file_path, metavar="CURVE", help="file of curve train, complete or not"
    )
    parser.add_argument(
        "--points", type=whole_from_1, default=61, metavar="N", help="places t from 0 to 1 (61)"
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--splits",
        type=names_of("train", "test"),
        default=("train", "test"),
        metavar="LIST",
        help="train or train,test (train,test)",
    )
    data.add_argument(
        "--limit", type=whole_from_1, metavar="N", help="the first N training samples only"
    )
    add_moved_data(data)
    run = parser.add_argument_group("run")
    run.add_argument(
        "--out", type=file_path, required=True, metavar="FILE", help="written or resumed"
    )
    run.add_argument(
        "--fresh", action="store_true", help="start over instead of resuming what --out holds"
    )
    run.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="one GPU per rank, or shares of the cores (auto)",
    )
    run.add_argument("--batch", type=whole_from_1, metavar="N", help="samples per forward pass")
    add_round_options(run)


def run(options: argparse.Namespace, ranks: Ranks) -> int:
    """Evaluate the curve. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    from landscape_mpi.job.curve.evaluation import evaluate_curve

    return evaluate_curve(options, ranks)
