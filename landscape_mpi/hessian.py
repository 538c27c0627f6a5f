r"""Compute the extreme eigenvalues of the Hessian at every point of a surface, on MPI ranks.

    mpirun -n 32 python -m landscape_mpi.hessian resnet56.h5 --data-dir /scratch/data

This command takes network, weights, data, directions and grid (or the problem) from the surface
file. It computes the smallest and the largest eigenvalue of the Hessian of the training loss at
each point, and adds them to the file. Where |smallest / largest| is small, the loss is nearly
convex in all directions, not only in the plane. The same command again resumes a run that was
killed. Source: Li et al. 2018, arXiv:1712.09913, section 6, figure 7.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.command import CommandParser, request_of
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.jobs.hessian.request import HessianRequest
from landscape_mpi.options import (
    MOST_VECTORS,
    add_device_option,
    add_limit_options,
    add_moved_inputs,
    add_round_options,
    file_path,
    number_above_0,
    numbers,
    whole_from_1,
    whole_up_to,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = CommandParser.of_command("hessian", __doc__)
    parser.add_argument(
        "surface", type=file_path, metavar="surface.h5", help="surface file to extend"
    )
    _add_input_options(parser)
    _add_matrix_options(parser)
    _add_solver_options(parser)
    _add_spectrum_options(parser)
    _add_run_options(parser)
    options = parser.parse_args(arguments)
    if options.out is not None and options.spectrum is None:
        parser.error(
            "--out names the file of --spectrum, but without --spectrum the eigenvalues go into "
            "the surface file itself. Leave out --out, or also pass --spectrum=0,0."
        )
    return options


def _add_input_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("inputs that have moved since the surface was computed")
    add_moved_inputs(group)
    group.add_argument(
        "--problem",
        type=ProblemSource,
        metavar="MODULE:FUNCTION",
        help="function that returns the problem of the surface, if its name has changed, or if "
        "the problem was passed in Python",
    )
    group.add_argument(
        "--directions",
        type=file_path,
        metavar="FILE",
        help="file from which the directions were taken",
    )


def _add_matrix_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("matrix")
    words = "number of the surface's training samples to use (default: 5000, or all if fewer)"
    add_limit_options(group, words=words)
    group.add_argument(
        "--parameters",
        choices=["moved", "all"],
        default="moved",
        help="parameters to differentiate with respect to: those that the surface's directions "
        "move, or all (default: moved)",
    )
    group.add_argument(
        "--gauss-newton",
        action="store_true",
        help="compute eigenvalues of the Gauss-Newton matrix instead of the Hessian; it has no "
        "negative eigenvalue if the loss is convex in the outputs, as all built-in losses are",
    )
    group.add_argument(
        "--stride",
        type=whole_from_1,
        default=1,
        metavar="K",
        help="compute only every K-th coordinate of each axis, starting from its middle (default: "
        "1, all points)",
    )


def _add_solver_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("eigenvalues")
    group.add_argument(
        "--tolerance",
        type=number_above_0,
        default=1e-2,
        metavar="R",
        help="relative accuracy: an eigenvalue counts as found when its residual is at most R "
        "times the larger of two numbers: its own magnitude, and a thousandth of the largest "
        "magnitude (default: 0.01)",
    )
    group.add_argument(
        "--max-products",
        type=whole_from_1,
        default=200,
        metavar="N",
        help="largest number of Hessian-vector products per point; a point that needs more is "
        "stored unconverged (default: 200)",
    )
    group.add_argument(
        "--solver",
        choices=["lanczos", "arpack"],
        default="lanczos",
        help="eigenvalue solver: our Lanczos with thick restarts, or SciPy's ARPACK as a check of "
        "it (default: lanczos)",
    )
    group.add_argument(
        "--basis",
        type=whole_up_to(MOST_VECTORS),
        default=40,
        metavar="N",
        help="Lanczos vectors kept in memory (default: 40)",
    )
    group.add_argument(
        "--memory",
        type=number_above_0,
        metavar="GB",
        help="memory for intermediate results that a rank reuses in all products of a point; less "
        "memory is slower (default: half of the free memory)",
    )
    group.add_argument(
        "--batch",
        type=whole_from_1,
        metavar="N",
        help="samples per pass (default: chosen for the network and the device)",
    )


def _add_spectrum_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("more of the spectrum, at one point")
    group.add_argument(
        "--spectrum",
        type=point,
        metavar="ALPHA,BETA",
        help="compute only the leading eigenvectors, the trace and the density of eigenvalues at "
        "this point, and write them to a separate file",
    )
    group.add_argument(
        "--top",
        type=whole_up_to(MOST_VECTORS),
        default=10,
        metavar="K",
        help="number of eigenvectors for --spectrum (default: 10)",
    )
    group.add_argument(
        "--out",
        type=file_path,
        metavar="FILE",
        help="output file of --spectrum, replaced if it exists (default: beside the surface)",
    )


def point(text: str) -> tuple[float, float]:
    """Parse the coordinates of a point.

    Raises:
        ArgumentTypeError: If the text is not two finite numbers.
    """
    values = numbers(text)
    if len(values) != 2 or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a point ALPHA,BETA. Pass e.g. --spectrum=0,0."
        )
    return values[0], values[1]


def _add_run_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--fresh",
        action="store_true",
        help="compute all eigenvalues again; the values of the surface stay",
    )
    group.add_argument(
        "--repair",
        action="store_true",
        help="list the eigenvalues that have changed since they were written, and compute them "
        "again; other damage is still refused",
    )
    add_round_options(group)
    add_device_option(group)
    group.add_argument(
        "--ranks-per-point",
        type=whole_from_1,
        metavar="K",
        help="ranks that share the data of each point (default: 1, or more if there are few "
        "points)",
    )


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Compute the eigenvalues that the options describe. Collective over the ranks.

    Returns:
        Exit status: 0 when all points are done, 75 after a stop signal.
    """
    stop = StopRequest()
    if options.spectrum is None:
        stop.listen(ranks)  # before the set-up: a signal during it ends the run at the first round
    # Torch and HDF5 are imported here, once the command line has been checked.
    from landscape_mpi.engine.grid_job import prepare, run_grid_job
    from landscape_mpi.jobs.hessian.hessian_job import HessianJob
    from landscape_mpi.jobs.hessian.hessian_plan import read_plan

    if options.spectrum is not None:
        options.ranks_per_point = ranks.size
    asked = request_of(HessianRequest, options)
    job = HessianJob(*read_plan(ranks, asked), problem=asked.moved.problem)
    if options.spectrum is None:
        return run_grid_job(ranks, job, stop)
    from landscape_mpi.jobs.hessian.spectrum import compute_spectrum  # slow to import

    prepared = prepare(ranks, job)
    solver = job.fit(ranks, prepared)
    compute_spectrum(ranks, job.hessian_plan, prepared.inputs, solver, asked)
    prepared.inputs.free()
    return 0


if __name__ == "__main__":
    run_on_ranks(main, parse)
