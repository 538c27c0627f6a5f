"""Define the subcommand evaluate: loss and error along a curve and along the straight line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.jobs.curve.place_options import (
    add_points_option,
    add_run_options,
    add_sample_options,
)
from landscape_mpi.jobs.curve.request import CurveEvaluationRequest
from landscape_mpi.options import add_moved_data, add_problem_option, file_path

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

REQUEST: type = CurveEvaluationRequest
SUMMARY = "Evaluate loss and error along a curve, and along the straight line."
EXAMPLE = r"""    mpirun -n 4 python -m landscape_mpi.curve evaluate curve.pt --points 61 \
        --out curve.h5
    python -m landscape_mpi.plot curve.h5

The first command evaluates the full data at places t from 0 to 1, spread over the ranks. If the
network has batch-norm, its running statistics are measured on the training set, without
augmentation, at every place. The same command resumes a killed run. Source: Garipov et al. 2018,
arXiv:1802.10026.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        "curve", type=file_path, metavar="CURVE", help="file of curve train, complete or not"
    )
    add_points_option(
        parser.add_argument_group("lines"),
        default=61,
        where="on the curve and on the straight line, both ends included",
    )
    data = parser.add_argument_group("data")
    add_sample_options(data)
    add_moved_data(data)
    add_problem_option(
        data, ProblemSource, what=" (default: the one that the file of the curve names)"
    )
    add_run_options(
        parser.add_argument_group("run"), out="surface file of the losses, to write or to resume"
    )


def run(asked: CurveEvaluationRequest, ranks: Ranks) -> int:
    """Evaluate the curve. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    from landscape_mpi.jobs.curve.evaluation import evaluate_curve

    return evaluate_curve(asked, ranks)
