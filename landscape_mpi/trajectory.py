r"""Find the plane through the checkpoints of a training and the trajectory in it, on MPI ranks.

    mpirun -n 4 python -m landscape_mpi.trajectory RUN/ --out plane.h5
    mpirun -n 4 python -m landscape_mpi.surface --directions plane.h5 --fit-path \
        --model resnet56 --checkpoint RUN/epoch_0300.pt --data cifar10 --out surface.h5
    python -m landscape_mpi.plot surface.h5

The first command computes the principal components of the differences between the last checkpoint
and the others. It writes the first two components as directions, and the coordinates of each
checkpoint. If you name several runs, they share one plane. Each rank uses one core. Source: Li et
al. 2018, arXiv:1712.09913, section 7.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.command import CommandParser, request_of
from landscape_mpi.jobs.trajectory.request import TrajectoryRequest
from landscape_mpi.options import (
    add_weights_options,
    file_path,
    names_of,
    seed_number,
    whole_from_1,
)
from landscape_mpi.registry import NORMALIZATIONS

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = CommandParser.of_command("trajectory", __doc__)
    _add_checkpoints(parser)
    _add_direction_options(parser)
    parser.add_argument_group("output").add_argument(
        "--out",
        type=file_path,
        required=True,
        metavar="FILE",
        help="plane file to write, replaced if it exists",
    )
    return parser.parse_args(arguments)


def _add_checkpoints(parser: CommandParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        type=file_path,
        metavar="RUN",
        help="folder of checkpoints: files (.pt, .pth, .ckpt, .safetensors and others) or folders "
        "such as checkpoint-500 of Hugging Face's Trainer. They are ordered by the epochs or "
        "steps that they record, otherwise by the numbers in their names; the log names the "
        "order. Checkpoint files given one by one form one run, in the given order",
    )
    group = parser.add_argument_group("checkpoints")
    group.add_argument(
        "--center",
        type=file_path,
        metavar="FILE",
        help="checkpoint at (0, 0) (default: the last one of the first run)",
    )
    group.add_argument(
        "--ignore",
        type=names_of("bias", "bn", none="none"),
        metavar="LIST",
        help="weights that both directions leave fixed: bias, bn, bias,bn or none; a layer whose "
        "weight is a vector counts as bn (default: none, the trajectory of all weights)",
    )
    group.add_argument(
        "--states", action="store_true", help="let running means and variances move too"
    )
    add_weights_options(group)


def _add_direction_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("directions")
    for axis, default in (("x", "pca1"), ("y", "pca2")):
        group.add_argument(
            f"--{axis}-direction",
            type=direction_kind,
            metavar="KIND",
            help=f"pca1, pca2, ... or random (default: {default})",
        )
    group.add_argument(
        "--directions",
        type=file_path,
        metavar="FILE",
        help="file whose directions are used unchanged, instead of components; the checkpoints "
        "are projected onto them",
    )
    group.add_argument(
        "--components",
        type=whole_from_1,
        metavar="N",
        help="number of components to find (default: 2)",
    )
    group.add_argument(
        "--mean-centred",
        action="store_true",
        help="compute the components about the mean of the checkpoints, as most programs do "
        "(default: about the center, normally the last checkpoint)",
    )
    group.add_argument(
        "--normalize",
        choices=list(NORMALIZATIONS),
        help="normalisation of random directions, as in the command surface (default: filter, "
        "along the first axis of every tensor, because checkpoints do not record the kinds of "
        "their layers)",
    )
    group.add_argument(
        "--seed", type=seed_number, metavar="N", help="seed of random directions (default: 1)"
    )


def direction_kind(text: str) -> str:
    """Parse the kind of a direction.

    Raises:
        ArgumentTypeError: If the text is not a kind of direction.
    """
    if text != "random" and not re.fullmatch(r"pca[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of pca1, pca2, ..., random.")
    return text


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Make the plane that the options describe. Collective over the ranks.

    Returns:
        Exit status.
    """
    # Torch and HDF5 are imported here, once the command line has been checked.
    from landscape_mpi.cluster.communicator import agree, on_root
    from landscape_mpi.compute.subspace import one_thread
    from landscape_mpi.jobs.trajectory.axes import choose_axes
    from landscape_mpi.jobs.trajectory.plane_content import say_trainings, write_and_say
    from landscape_mpi.jobs.trajectory.trainings import read_trainings
    from landscape_mpi.jobs.trajectory.trajectory_plane import span_plane

    asked = request_of(TrajectoryRequest, options)
    axes = agree(ranks, lambda: choose_axes(asked))
    trainings = read_trainings(ranks, asked)
    if ranks.is_root:
        say_trainings(trainings)
    with one_thread():
        plane = span_plane(ranks, trainings, axes)
    on_root(ranks, lambda: write_and_say(trainings, axes, plane, asked, n_ranks=ranks.size))
    return 0


if __name__ == "__main__":
    run_on_ranks(main, parse)
