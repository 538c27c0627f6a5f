"""Define the subcommand plane: the plane through the ends of a curve and a bend."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.jobs.curve.request import CurvePlaneRequest
from landscape_mpi.options import file_path, whole_from_1

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

REQUEST: type = CurvePlaneRequest
SUMMARY = "Make the plane through the ends of a curve and a bend."
EXAMPLE = r"""    python -m landscape_mpi.curve plane curve.pt --out plane.h5
    mpirun -n 4 python -m landscape_mpi.surface --directions plane.h5 --batch-norm reestimate \
        --model resnet20 --checkpoint curve.pt --data cifar10 --out surface.h5
    python -m landscape_mpi.plot surface.h5

The start of the curve is the center of the plane. Alpha runs towards the end of the curve. Beta is
orthogonal to alpha and runs towards the bend. Both are distances in weight space. Name curve.pt as
the checkpoint too: it holds the weights of the start. The grid covers curve and bends with a margin
of 0.2 of their range; surface --fit-path changes this margin. Source: Garipov et al. 2018,
arXiv:1802.10026, figure 1.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("curve", type=file_path, metavar="CURVE", help="file of curve train")
    group = parser.add_argument_group("plane")
    group.add_argument(
        "--through",
        type=pair,
        metavar="I,J",
        help="the two points of the curve that the plane contains besides its start, which is "
        "point 0; alpha points to the first one (default: the end and the bend in the "
        "middle)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=file_path,
        required=True,
        metavar="FILE",
        help="plane file to write, replaced if it exists",
    )


def pair(text: str) -> tuple[int, int]:
    """Return two different whole numbers from 1.

    Raises:
        ArgumentTypeError: If the text has another form.
    """
    numbers = [whole_from_1(part) for part in text.split(",")]
    if len(set(numbers)) != 2 or len(numbers) != 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not two different whole numbers from 1, such as 4,2."
        )
    return numbers[0], numbers[1]


def run(asked: CurvePlaneRequest, ranks: Ranks) -> int:
    """Make the plane. Collective over the ranks; rank 0 works alone.

    Returns:
        Exit status.
    """
    from landscape_mpi.cluster.communicator import on_root
    from landscape_mpi.jobs.curve.curve_plane import make_plane

    on_root(ranks, lambda: make_plane(asked))
    return 0
