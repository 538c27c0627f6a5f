r"""Evaluate loss and error on a line or a plane through weight space, on MPI ranks.

    mpirun -n 32 python -m landscape_mpi.surface \
        --model resnet56 --checkpoint resnet56.pt --data cifar10 --data-dir /scratch/data \
        --x=-1:1:51 --y=-1:1:51 --out resnet56.h5

This command evaluates the full training set at every point center + alpha * d + beta * e, along
random directions d, e that are normalised filter by filter. The same command again resumes a run
that was killed. Source: Li et al. 2018, arXiv:1712.09913.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.command import CommandParser, SayAndEnd, request_of
from landscape_mpi.engine.adaptive.units import UNITS
from landscape_mpi.engine.listing import say_list
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.quantities.quantity import quantities_in_words
from landscape_mpi.jobs.surface.plane_options import add_plane_options
from landscape_mpi.jobs.surface.request import SurfaceRequest
from landscape_mpi.options import (
    NETWORKS_AND_DATA,
    add_accept_device_option,
    add_data_options,
    add_device_option,
    add_limit_options,
    add_list_option,
    add_model_option,
    add_problem_option,
    add_reading_options,
    add_round_options,
    add_weights_options,
    class_weights,
    file_path,
    names_of,
    number_above_0,
    number_from_0,
    settle_subject,
    share,
    whole_from_1,
)
from landscape_mpi.registry import QUANTITIES

QUANTITIES_TOO = {"quantities": "the quantities of --also"}

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def say_status(path: Path) -> int:
    """Print the progress of a surface file."""
    from landscape_mpi.jobs.surface import status

    return status.say_status(path)


def say_summary(path: Path) -> int:
    """Print the summary of a surface file."""
    from landscape_mpi.views import summary

    return summary.say_summary(path)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = CommandParser.of_command("surface", __doc__)
    _add_network_options(parser)
    _add_data_options(parser)
    add_plane_options(parser.add_argument_group("plane"))
    _add_adaptive_options(parser)
    _add_sampling_options(parser)
    _add_run_options(parser)
    _add_evaluation_options(parser)
    options = parser.parse_args(arguments)
    if options.x is None and options.fit_path is None and options.directions is None:
        parser.error("the following arguments are required: --x (or --fit-path)")
    settle_subject(parser, options)
    return options


def _add_network_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("network")
    add_model_option(group, required=False)
    add_problem_option(group, ProblemSource)
    add_list_option(group, SayAndEnd, say_list, lists=NETWORKS_AND_DATA | QUANTITIES_TOO)
    group.add_argument(
        "--checkpoint",
        type=file_path,
        metavar="FILE",
        help="trained weights: a file of torch.save or safetensors, or a folder of them",
    )
    add_weights_options(group)


def _add_data_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("data")
    add_data_options(group, required=False)
    add_reading_options(group)
    add_limit_options(group, words="number of training samples to evaluate (default: all)")
    group.add_argument(
        "--splits",
        type=names_of("train", "test"),
        default=("train",),
        metavar="LIST",
        help="splits to evaluate: train, test or train,test (default: train)",
    )
    group.add_argument(
        "--loss",
        default="cross_entropy",
        metavar="NAME",
        help="loss function: cross_entropy, mse, bce, or package.module:function, which takes "
        "(outputs, targets) and returns the loss of every sample, or a pair (losses, weights); "
        "with a pair the mean is the sum of the losses divided by the sum of the weights "
        "(default: cross_entropy)",
    )
    group.add_argument(
        "--class-weights",
        type=class_weights,
        metavar="LIST",
        help="class weights of cross_entropy, one per class; the mean is that of torch's "
        "CrossEntropyLoss(weight) (default: none)",
    )
    group.add_argument(
        "--label-smoothing",
        type=share,
        default=0.0,
        metavar="S",
        help="label smoothing of cross_entropy, as in torch's CrossEntropyLoss(label_smoothing): "
        "the target class keeps 1 - S, and S is distributed evenly over all classes (default: 0)",
    )
    group.add_argument(
        "--also",
        type=names_of(*QUANTITIES),
        default=(),
        metavar="LIST",
        help="further quantities to compute at each point, separated by commas: "
        f"{quantities_in_words()}",
    )
    group.add_argument(
        "--weight-decay",
        type=number_above_0,
        metavar="L",
        help="also store the weight-decay term, L / 2 times the squared norm of all parameters, "
        "as weight_decay_term; the loss itself does not include it",
    )


def _add_adaptive_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("fewer points")
    group.add_argument(
        "--adaptive",
        type=number_above_0,
        metavar="TOL",
        help="compute only the points that matter and interpolate the others, so that about 99 %% "
        "of these are off by at most TOL; a sample of them is computed as a check; the file and "
        "the pictures mark interpolated points (default: compute every point)",
    )
    group.add_argument(
        "--adaptive-unit",
        choices=UNITS,
        help="unit of TOL: decades of loss + 0.1, like heights in 3-D pictures (if the unit of the "
        "loss is not nat, a power of ten that suits its values replaces 0.1), or nat, the loss's "
        "own unit (default: decades)",
    )


def _add_sampling_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("fewer samples")
    group.add_argument(
        "--rtol",
        type=number_from_0,
        metavar="R",
        help="take samples in one random order at every point, until the standard error of the "
        "loss is at most A + R times the loss; the file and the pictures say that values "
        "are estimates (default: take every sample)",
    )
    group.add_argument(
        "--atol",
        type=number_from_0,
        metavar="A",
        help="absolute part A of the tolerance of --rtol, in the unit of the loss (default: 0 "
        "with --rtol)",
    )


def _add_run_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--out",
        type=file_path,
        required=True,
        metavar="FILE",
        help="surface file to write or to resume",
    )
    group.add_argument(
        "--fresh", action="store_true", help="start over instead of resuming what --out holds"
    )
    group.add_argument(
        "--repair",
        action="store_true",
        help="check every point of --out and the self-check of an adaptive run, list what has "
        "changed since it was written, and compute it again; other damage is still refused",
    )
    add_accept_device_option(group)
    group.add_argument(
        "--estimate",
        action="store_true",
        help="measure how long this run would take on these ranks; write nothing",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would run (parameters moved, filters of each kind of layer, directions, "
        "points, samples, bytes, ranks), followed by the output of --estimate; write nothing",
    )
    group.add_argument(
        "--status",
        type=file_path,
        action=SayAndEnd,
        say=say_status,
        metavar="FILE",
        help="print the progress of this surface file and exit; needs no other option",
    )
    group.add_argument(
        "--summary",
        type=file_path,
        action=SayAndEnd,
        say=say_summary,
        metavar="FILE",
        help="print how sharp the minimum of this surface file is and whether the surface looks "
        "right, and exit; needs no other option",
    )
    add_round_options(group)


def _add_evaluation_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("evaluation")
    add_device_option(group)
    group.add_argument(
        "--precision",
        choices=["fp32", "tf32", "bf16", "auto"],
        default="fp32",
        help="precision of matrix products; auto takes the fastest one that stays within "
        "--tolerance of fp32 at points of this surface (default: fp32)",
    )
    group.add_argument(
        "--tolerance",
        type=number_above_0,
        metavar="R",
        help="largest relative deviation of the loss from fp32: --precision auto takes no "
        "precision that deviates by more, and the log warns if a precision that you name does "
        "(default: 0.001)",
    )
    group.add_argument(
        "--batch",
        type=whole_from_1,
        metavar="N",
        help="samples per forward pass (default: chosen for the network and the device)",
    )
    group.add_argument(
        "--compile",
        choices=["auto", "on", "off"],
        default="auto",
        help="whether to compile the network with torch.compile; auto measures whether it helps "
        "on GPUs, and means off on CPUs (default: auto)",
    )
    group.add_argument(
        "--points-at-once",
        type=whole_from_1,
        metavar="K",
        help="points computed in one pass with stacked weights, for networks and data too small "
        "to fill a GPU (default: on GPUs the fastest number measured, on CPUs 1)",
    )
    group.add_argument(
        "--ranks-per-point",
        type=whole_from_1,
        metavar="K",
        help="ranks that share the data of each point (default: 1, or more if there are few "
        "points)",
    )


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Compute the surface that the options describe. Collective over the ranks.

    Returns:
        Exit status: 0 when all points are done, 75 after a stop signal.
    """
    stop = StopRequest()
    ends_early = options.estimate or options.dry_run
    if not ends_early:
        stop.listen(ranks)  # before the set-up: a signal during it ends the run at the first round
    # Torch and HDF5 are imported here, once the command line has been checked.
    from landscape_mpi.engine.estimate import say_estimate
    from landscape_mpi.engine.grid_job import prepare, run_grid_job
    from landscape_mpi.engine.loss_job import LossJob
    from landscape_mpi.jobs.surface.dry_run import say_run
    from landscape_mpi.jobs.surface.surface_plan import read_plan

    asked = request_of(SurfaceRequest, options)
    plan, root = read_plan(ranks, asked)
    job = LossJob(plan, root, command="landscape_mpi.surface", asked=asked.inputs)
    if not ends_early:
        return run_grid_job(ranks, job, stop)
    prepared = prepare(ranks, job)
    if options.dry_run:
        say_run(ranks, plan, root, prepared.inputs, prepared.setting)
    return say_estimate(ranks, plan, prepared.inputs, prepared.setting)


if __name__ == "__main__":
    run_on_ranks(main, parse)
