"""Define the subcommand train: bends of a curve with low loss all along it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.jobs.curve.request import CurveTrainingRequest
from landscape_mpi.options import (
    add_augmentation,
    add_batch_size,
    add_batches_per_step,
    add_data_options,
    add_epochs_option,
    add_model_option,
    add_problem_option,
    add_reading_options,
    add_training_place,
    add_weights_options,
    file_path,
    number_above_0,
    number_from_0,
    whole_from_1,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

REQUEST: type = CurveTrainingRequest
SUMMARY = "Train the bends of a curve between two solutions."
EXAMPLE = r"""    mpirun -n 4 python -m landscape_mpi.curve train --start A.pt --end B.pt \
        --model resnet20 --data cifar10 --data-dir /scratch/data --kind bezier --bends 3 \
        --out curve.pt

This command trains a Bezier curve or a polygonal chain. It minimises the mean of the loss at t, the
place on the curve, for t uniform from 0 to 1. Every rank draws its own t for its part of every
batch. The same command resumes a killed run from the last complete epoch. Source: Garipov et al.
2018, arXiv:1802.10026.
"""
KINDS = ("bezier", "polygon")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    network = parser.add_argument_group("network and data")
    add_model_option(network, required=False)
    add_problem_option(network, ProblemSource)
    add_data_options(network, required=False)
    add_reading_options(network)
    _add_curve(parser.add_argument_group("curve"))
    _add_recipe(parser.add_argument_group("recipe"))
    _add_run(parser.add_argument_group("run"))


def _add_curve(group: argparse._ArgumentGroup) -> None:
    for name, t in (("start", 0), ("end", 1)):
        group.add_argument(
            f"--{name}",
            type=file_path,
            required=True,
            metavar="FILE",
            help=f"checkpoint that lies at t = {t}",
        )
    add_weights_options(group)
    group.add_argument(
        "--kind", choices=KINDS, default="bezier", help="kind of curve (default: bezier)"
    )
    group.add_argument(
        "--bends",
        type=whole_from_1,
        default=3,
        metavar="N",
        help="number of points that define the curve, both ends included (default: 3, as in the "
        "paper)",
    )
    group.add_argument(
        "--free-ends",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also train the ends (default: --no-free-ends)",
    )


def _add_recipe(group: argparse._ArgumentGroup) -> None:
    add_epochs_option(group, default=200)
    add_batch_size(group)
    add_batches_per_step(group)
    group.add_argument(
        "--lr",
        type=number_above_0,
        default=0.03,
        metavar="X",
        help="learning rate of the first half of the epochs; from there it falls linearly to 1 %% "
        "of X at 90 %% of the epochs, and stays there (default: 0.03)",
    )
    group.add_argument(
        "--momentum",
        type=number_from_0,
        default=0.9,
        metavar="X",
        help="momentum of SGD (default: 0.9)",
    )
    group.add_argument(
        "--weight-decay",
        type=number_from_0,
        default=5e-4,
        metavar="X",
        help="add X / 2 times the squared norm of the weights at t to the minimised loss, not to "
        "the printed one (default: 0.0005)",
    )
    add_augmentation(group)


def _add_run(group: argparse._ArgumentGroup) -> None:
    add_training_place(group)
    group.add_argument(
        "--out",
        type=file_path,
        required=True,
        metavar="FILE",
        help="file of the curve, written after every epoch; an existing one is resumed",
    )
    group.add_argument(
        "--fresh", action="store_true", help="start over instead of resuming the curve in --out"
    )


def run(asked: CurveTrainingRequest, ranks: Ranks) -> int:
    """Train the requested curve. Collective over the ranks.

    Returns:
        Exit status: 0 when all epochs are done, 75 after a stop signal.
    """
    from landscape_mpi.jobs.curve.training import train_curve

    return train_curve(asked, ranks)
