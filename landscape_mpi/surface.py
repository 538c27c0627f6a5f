r"""Loss and error of a network on a line or a plane through weight space, on MPI ranks.

    mpirun -n 32 python -m landscape_mpi.surface \
        --model resnet56 --checkpoint resnet56.pt --data cifar10 --data-dir /scratch/data \
        --x=-1:1:51 --y=-1:1:51 --out resnet56.h5

evaluates the full training set at every point center + alpha * d + beta * e, along random
directions d, e that are normalised filter by filter. The same command again resumes a run
that was killed. Source: Li et al. 2018, arXiv:1712.09913.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.command import CommandParser, SayAndEnd
from landscape_mpi.errors import EXIT_REQUEUE
from landscape_mpi.job.listing import say_list
from landscape_mpi.job.plane.options import add_plane_options
from landscape_mpi.options import (
    add_data_options,
    add_device_option,
    add_list_option,
    add_model_option,
    add_round_options,
    add_trust_option,
    file_path,
    names_of,
    number_above_0,
    whole_from_1,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def say_status(path: Path) -> int:
    """Say how far a surface file is."""
    from landscape_mpi.job.surface import status

    return status.say_status(path)


def say_summary(path: Path) -> int:
    """Say what a surface file shows."""
    from landscape_mpi.views import summary

    return summary.say_summary(path)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = CommandParser(
        prog="landscape_mpi.surface", description=summary, epilog="example:\n\n" + details
    )
    _add_network_options(parser)
    _add_data_options(parser)
    add_plane_options(parser.add_argument_group("plane"))
    _add_run_options(parser)
    _add_evaluation_options(parser)
    options = parser.parse_args(arguments)
    if options.x is None and options.fit_path is None and options.directions is None:
        parser.error("the following arguments are required: --x (or --fit-path)")
    return options


def _add_network_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("network")
    add_model_option(group)
    add_list_option(group, SayAndEnd, say_list)
    group.add_argument("--checkpoint", type=file_path, metavar="FILE", help="trained weights")
    add_trust_option(group)


def _add_data_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("data")
    add_data_options(group)
    group.add_argument(
        "--limit", type=whole_from_1, metavar="N", help="the first N training samples only"
    )
    group.add_argument(
        "--splits",
        type=names_of("train", "test"),
        default=("train",),
        metavar="LIST",
        help="train, test or train,test (default: train)",
    )
    group.add_argument(
        "--loss",
        default="cross_entropy",
        metavar="NAME",
        help="cross_entropy, mse, bce, or package.module:function of (outputs, targets) that "
        "returns the loss of every sample (default: cross_entropy)",
    )
    group.add_argument(
        "--weight-decay",
        type=number_above_0,
        metavar="L",
        help="store what weight decay adds to the loss, L / 2 times the squared norm of all "
        "parameters, beside it as weight_decay_term; the loss stays as it is",
    )


def _add_run_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--out",
        type=file_path,
        required=True,
        metavar="FILE",
        help="surface file, written or resumed",
    )
    group.add_argument(
        "--fresh", action="store_true", help="start over instead of resuming what --out holds"
    )
    group.add_argument(
        "--estimate",
        action="store_true",
        help="measure what this run would take on these ranks, and write nothing",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would run (parameters moved, directions, points, samples, bytes, ranks), "
        "then what --estimate says, and write nothing",
    )
    group.add_argument(
        "--status",
        type=file_path,
        action=SayAndEnd,
        say=say_status,
        metavar="FILE",
        help="say how far this surface file is, and end; other options are not needed",
    )
    group.add_argument(
        "--summary",
        type=file_path,
        action=SayAndEnd,
        say=say_summary,
        metavar="FILE",
        help="say how sharp the minimum of this surface file is, and whether it looks right; "
        "likewise",
    )
    add_round_options(group)


def _add_evaluation_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("evaluation")
    add_device_option(group)
    group.add_argument(
        "--precision",
        choices=["fp32", "tf32", "bf16", "auto"],
        default="fp32",
        help="type of matrix products; auto takes the fastest that stays within --tolerance of "
        "fp32 at points of this surface (default: fp32)",
    )
    group.add_argument(
        "--tolerance",
        type=number_above_0,
        metavar="R",
        help="of --precision auto: largest relative deviation of the loss (default: 0.001)",
    )
    group.add_argument("--batch", type=whole_from_1, metavar="N", help="samples per forward pass")
    group.add_argument(
        "--compile",
        choices=["auto", "on", "off"],
        default="auto",
        help="torch.compile the network; auto measures on GPUs, and does not on CPUs",
    )
    group.add_argument(
        "--points-at-once",
        type=whole_from_1,
        metavar="K",
        help="points computed in one pass, their weights stacked: for networks and data too small "
        "to fill a GPU (default: what measures faster on GPUs, 1 on CPUs)",
    )
    group.add_argument(
        "--ranks-per-point",
        type=whole_from_1,
        metavar="K",
        help="ranks that share the data of a point (default: 1, more where points are few)",
    )


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Compute the surface the options ask for. Collective over the ranks.

    Returns:
        Exit status: 0 when all points are done, 75 after a stop signal.
    """
    stop = StopRequest()
    ends_early = options.estimate or options.dry_run
    if not ends_early:
        stop.listen(ranks)  # before the set-up: a signal in it ends the run at the first round
    # Torch and HDF5 are imported here, once the command line is known to be good.
    from landscape_mpi.job.surface import dry_run, estimate, messages, plan, precision, surface_file
    from landscape_mpi.job.surface.points import fit_evaluator
    from landscape_mpi.job.surface.shared import SharedInputs
    from landscape_mpi.job.surface.tuning import tune
    from landscape_mpi.job.workers import bind_rank

    job, root = plan.read_plan(ranks, options)
    setting = bind_rank(ranks, job)
    inputs = SharedInputs(ranks, job, root.arrays if root else {})
    setting, chosen = precision.choose_precision(ranks, job, inputs, setting)
    setting = tune(ranks, job, inputs, setting)
    if options.dry_run:
        dry_run.say_run(ranks, job, root, inputs, setting)
    if ends_early:
        return estimate.say_estimate(ranks, job, inputs, setting)
    evaluator = fit_evaluator(ranks, job, inputs, setting)
    start = surface_file.begin_or_resume(ranks, job, root, evaluator, chosen)
    messages.say_start(ranks, job, root, evaluator, chosen, start)
    outcome = surface_file.fill(ranks, job, evaluator, start, stop)
    messages.say_end(ranks, job, outcome)
    surface_file.finish(inputs, start)
    return 0 if outcome.finished else EXIT_REQUEUE


if __name__ == "__main__":
    run_on_ranks(main, parse)
