"""The options of a plane: its points, and what its directions are. Imported before torch."""

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

RUNNING_STATISTICS = ("fixed", "move", "reestimate")


def add_plane_options(group: argparse._ActionsContainer) -> None:
    """Add what says which points are computed, to a parser or a group of it."""
    _add_axes(group)
    _add_shaping(group)
    _add_repeats(group)
    _add_directions(group)
    _add_solutions(group)


def _add_axes(group: argparse._ActionsContainer) -> None:
    axis = "MIN:MAX:N|fit:N"
    group.add_argument("--x", metavar=axis, help="points along alpha")
    group.add_argument("--y", metavar=axis, help="points along beta (default: a line)")
    group.add_argument(
        "--fit-path",
        nargs="?",
        type=number_from_0,
        const=0.2,
        metavar="MARGIN",
        help="an axis of N points fit:N covers the path that comes with --directions, and this "
        "share of its extent on either side (default: 0.2); --x and --y are then fit:51 where "
        "they are not given; in the plane of a curve all this is so without it",
    )


def _add_shaping(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--normalize",
        choices=list(NORMALIZATIONS),
        help="scale of random directions and of the gradient (default: filter); "
        f"{normalizations_in_words()}; a filter is what makes one output channel: --dry-run says "
        "it for each kind of layer",
    )
    group.add_argument(
        "--ignore",
        type=patterns_and("bias", "bn", none="none"),
        metavar="LIST",
        help="parameters that stay put, commas between: bias, bn (scale and shift of every "
        "layer that standardises its input), patterns of names as '*.embed*', or none (default: "
        "bias,bn)",
    )
    group.add_argument(
        "--only",
        type=patterns_and("trainable", none="none"),
        metavar="LIST",
        help="of the others move only those that match a pattern, as 'layer3.*,fc.*', or "
        "trainable: those your function left with requires_grad (default: all)",
    )
    group.add_argument(
        "--seed", type=seed_number, metavar="N", help="of random directions (default: 1)"
    )


def _add_repeats(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--repeats",
        type=whole_up_to(MOST_POINTS),
        metavar="N",
        help="so many lines in one file, along random directions of --seed and of the numbers "
        "after it, drawn as thin lines in one picture: do directions matter?",
    )


def _add_directions(group: argparse._ActionsContainer) -> None:
    for letter, axis in (("x", "alpha"), ("y", "beta")):
        group.add_argument(
            f"--{letter}-direction",
            type=direction_kind,
            metavar="KIND",
            help=f"what {axis} is: {KINDS}"
            + (", which is what alpha is" if letter == "y" else "")
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
        help="take the directions of a file, as they are: one of ours, or one with "
        "xdirection / ydirection of the reference implementation",
    )
    group.add_argument(
        "--save-directions", action="store_true", help="keep the vectors in the file too"
    )


def _add_solutions(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--to",
        type=file_path,
        metavar="FILE",
        help="checkpoint that lies at alpha = 1, as --x-direction to:FILE; with it "
        "everything moves, unless --ignore or --only says otherwise",
    )
    group.add_argument(
        "--to-y", type=file_path, metavar="FILE", help="checkpoint that lies at beta = 1"
    )
    group.add_argument(
        "--orthogonal",
        action="store_true",
        help="turn the direction along beta until it is orthogonal to that along alpha; with "
        "--to-y it also becomes as long, and the checkpoint lies elsewhere than at beta = 1",
    )
    group.add_argument(
        "--batch-norm",
        choices=RUNNING_STATISTICS,
        help="running statistics: those of the center; moving with the weights to the checkpoint "
        "of --to; or measured on the training set at every point (default: move with --to, else "
        "fixed)",
    )
