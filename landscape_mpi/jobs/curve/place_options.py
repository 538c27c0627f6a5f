"""Add the options of the subcommands that evaluate places on paths. Imported before torch."""

from __future__ import annotations

import argparse

from landscape_mpi.options import (
    MOST_POINTS,
    add_accept_device_option,
    add_device_option,
    add_limit_options,
    add_round_options,
    file_path,
    names_of,
    whole_from_1,
    whole_up_to,
)


def add_points_option(group: argparse._ActionsContainer, *, default: int, where: str) -> None:
    """Add --points.

    Args:
        group: Group that gets the option.
        default: Default number of places.
        where: Words for the paths.
    """
    group.add_argument(
        "--points",
        type=whole_up_to(MOST_POINTS),
        default=default,
        metavar="N",
        help=f"places t from 0 to 1 {where} (default: {default})",
    )


def add_sample_options(group: argparse._ActionsContainer) -> None:
    """Add --splits, --limit and --subset."""
    group.add_argument(
        "--splits",
        type=names_of("train", "test"),
        metavar="LIST",
        help="train or train,test (default: the splits that the data have)",
    )
    add_limit_options(group, words="evaluate N of the training samples only")


def add_run_options(group: argparse._ArgumentGroup, *, out: str) -> None:
    """Add the options of a run's file, ranks and rounds.

    Args:
        group: Group that gets the options.
        out: Help text of --out.
    """
    group.add_argument("--out", type=file_path, required=True, metavar="FILE", help=out)
    group.add_argument(
        "--fresh", action="store_true", help="start over instead of resuming the run in --out"
    )
    add_accept_device_option(group)
    add_device_option(group)
    group.add_argument(
        "--batch",
        type=whole_from_1,
        metavar="N",
        help="samples per forward pass (default: chosen for the network and the device)",
    )
    add_round_options(group)
