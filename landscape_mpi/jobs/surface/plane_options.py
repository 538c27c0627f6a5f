"""The options of a plane: its points and its directions. This module is imported before torch."""

from __future__ import annotations

import argparse

from landscape_mpi.compute.normalizations.normalization import normalizations_in_words
from landscape_mpi.jobs.surface.direction_kinds import KINDS, direction_kind
from landscape_mpi.options import (
    MOST_POINTS,
    file_path,
    number_from_0,
    patterns_and,
    seed_number,
    whole_up_to,
)
from landscape_mpi.registry import NORMALIZATIONS

RUNNING_STATISTICS = {  # the effect of each choice at a point of the plane
    "fixed": "they stay as they are at the center",
    "move": "they move with the weights to the checkpoint of --to",
    "reestimate": "they are measured on the training set at every point",
}


def add_plane_options(group: argparse._ActionsContainer) -> None:
    """Add the options that define the points of a surface to a parser or one of its groups."""
    _add_axes(group)
    _add_shaping(group)
    _add_repeats(group)
    _add_directions(group)
    _add_solutions(group)


def _add_axes(group: argparse._ActionsContainer) -> None:
    axis = "MIN:MAX:N|fit:N"
    group.add_argument("--x", metavar=axis, help="N points along alpha, from MIN to MAX")
    group.add_argument(
        "--y", metavar=axis, help="the same along beta (default: none, which gives a line)"
    )
    group.add_argument(
        "--fit-path",
        nargs="?",
        type=number_from_0,
        const=0.2,
        metavar="MARGIN",
        help="fit the axes to the trajectory in the file of --directions: an axis fit:N has N "
        "points and covers the trajectory plus a margin of this fraction of its extent on either "
        "side (default: 0.2); without --x and --y both axes are fit:51; the plane of a curve is "
        "fitted even without this option",
    )


def _add_shaping(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--normalize",
        choices=list(NORMALIZATIONS),
        help="normalisation of random directions and of the gradient (default: filter); "
        f"{normalizations_in_words()}; a filter is the set of weights of one output channel: "
        "--dry-run describes it for each kind of layer",
    )
    group.add_argument(
        "--ignore",
        type=patterns_and("bias", "bn", none="none"),
        metavar="LIST",
        help="parameters that the directions leave fixed, separated by commas: bias, bn (scale "
        "and shift of every layer that standardises its input), patterns of names such as "
        "'*.embed*', or none (default: bias,bn)",
    )
    group.add_argument(
        "--only",
        type=patterns_and("trainable", none="none"),
        metavar="LIST",
        help="move only the parameters that match a pattern such as 'layer3.*,fc.*' and that "
        "--ignore does not fix; trainable means those that your function left with requires_grad "
        "(default: all)",
    )
    group.add_argument(
        "--seed", type=seed_number, metavar="N", help="seed of random directions (default: 1)"
    )


def _add_repeats(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--repeats",
        type=whole_up_to(MOST_POINTS),
        metavar="N",
        help="number of lines in one file, along the random directions of --seed and the next "
        "seeds; one picture shows them as thin lines, so that you see whether the direction "
        "matters",
    )


def _add_directions(group: argparse._ActionsContainer) -> None:
    for letter, axis in (("x", "alpha"), ("y", "beta")):
        group.add_argument(
            f"--{letter}-direction",
            type=direction_kind,
            metavar="KIND",
            help=f"direction of {axis}: {KINDS}"
            + (", the direction of alpha" if letter == "y" else "")
            + " (default: random)",
        )
    for letter, axis in (("x", "alpha"), ("y", "beta")):
        group.add_argument(
            f"--{letter}-only",
            type=patterns_and("trainable", none="none"),
            metavar="LIST",
            help=f"--only for {axis} alone",
        )
    group.add_argument(
        "--directions",
        type=file_path,
        metavar="FILE",
        help="use the directions of a file unchanged: a file of this package, or one of the "
        "reference implementation with xdirection / ydirection",
    )
    group.add_argument(
        "--save-directions",
        action="store_true",
        help="also store the direction vectors in the file",
    )


def _add_solutions(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--to",
        type=file_path,
        metavar="FILE",
        help="checkpoint at alpha = 1, the same as --x-direction to:FILE; all parameters move, "
        "unless --ignore or --only says otherwise",
    )
    group.add_argument("--to-y", type=file_path, metavar="FILE", help="checkpoint at beta = 1")
    group.add_argument(
        "--orthogonal",
        action="store_true",
        help="make the direction of beta orthogonal to that of alpha; with --to-y it also gets "
        "the same length, and the checkpoint no longer lies at beta = 1",
    )
    group.add_argument(
        "--batch-norm",
        choices=list(RUNNING_STATISTICS),
        help="running statistics of batch-norm: "
        f"{'; '.join(f'{name}: {words}' for name, words in RUNNING_STATISTICS.items())} (default: "
        "move with --to, otherwise fixed)",
    )
