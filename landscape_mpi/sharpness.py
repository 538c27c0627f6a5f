"""Measure how sharp a minimum is in all of weight space, and the loss before training.

    python -m landscape_mpi.sharpness resnet56.h5 --limit 5000

This command takes network, weights and data from the surface file. From the center it climbs in any
direction, not only in the plane, to find how far the loss rises within a small box (Keskar et al.
2017, arXiv:1609.04836). Then it builds the network again with random weights and reports whether
training begins where the surface is convex (Li et al. 2018, arXiv:1712.09913, section 6). For
numbers from the surface itself, see surface --summary.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from landscape_mpi.command import CommandParser, request_of, run_alone
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.jobs.surface.sharpness_request import SharpnessRequest
from landscape_mpi.options import (
    MOST_NETWORKS,
    add_device_option,
    add_limit_options,
    add_moved_inputs,
    add_problem_option,
    file_path,
    number_above_0,
    seed_number,
    whole_from_1,
    whole_up_to,
)


def main(arguments: Sequence[str]) -> int:
    """Print the sharpness of the minimum; return the exit status."""
    options = parse(arguments)
    from landscape_mpi.jobs.surface.sharpness import say_sharpness

    say_sharpness(request_of(SharpnessRequest, options))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = CommandParser.of_command("sharpness", __doc__)
    parser.add_argument(
        "surface", type=file_path, metavar="surface.h5", help="surface file around the minimum"
    )
    _add_climb(parser.add_argument_group("climb"))
    parser.add_argument_group("before training").add_argument(
        "--fresh-networks",
        type=whole_up_to(MOST_NETWORKS),
        default=3,
        metavar="N",
        help="number of networks to build with new random weights and evaluate (default: 3)",
    )
    data = parser.add_argument_group("data")
    add_limit_options(data, words="number of the surface's training samples to use (default: all)")
    moved = parser.add_argument_group("inputs that have moved since the surface was computed")
    add_moved_inputs(moved)
    add_problem_option(moved, ProblemSource, what=" (default: the problem that the surface names)")
    _add_run(parser.add_argument_group("run"))
    return parser.parse_args(arguments)


def _add_climb(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--radius",
        type=radii,
        default=(5e-4, 1e-3),
        metavar="LIST",
        help="sizes of the box: each weight w moves by at most SIZE times (|w| + 1) (default: "
        "0.0005,0.001, as in the paper)",
    )
    group.add_argument(
        "--iterations",
        type=whole_from_1,
        default=10,
        metavar="N",
        help="iterations of the climb by L-BFGS-B (default: 10, as in the paper)",
    )


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seed",
        type=seed_number,
        default=0,
        metavar="N",
        help="seed of the climbs and of the random networks (default: 0)",
    )
    add_device_option(group, "device to compute on (default: auto, a GPU if there is one)")


def radii(text: str) -> tuple[float, ...]:
    """Parse numbers above 0, separated by commas.

    Raises:
        ArgumentTypeError: If one of them is not such a number.
    """
    return tuple(number_above_0(part) for part in text.split(","))


if __name__ == "__main__":
    run_alone(main)
