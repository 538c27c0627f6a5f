"""Measure how fast this machine evaluates a network, and how long a surface would take.

This command evaluates the network, with random weights and random images, in every precision of the
device. It also measures matrix products and memory copies. For each precision it prints images/s of
a rank, seconds per point, the share of the machine's peak, the limiting factor, and the time of a
whole surface. It takes under a minute, and needs no data, no checkpoint and no MPI. The network has
to take images.

  python -m landscape_mpi.bench --model resnet56 --x=-1:1:251 --y=-1:1:251 -n 32
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError
from landscape_mpi.options import add_device_option, add_model_option, whole_from_1, whole_up_to

LONGEST_SIDE = 16_384
MOST_CLASSES, MOST_RANKS = 1_000_000, 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every precision in turn and print the results."""
    options = make_parser().parse_args(arguments)
    shape = image_shape(options.image_shape)
    # After parsing, so that --help does not wait for torch.
    from landscape_mpi.compute.devices.choice import choose_alone
    from landscape_mpi.compute.evaluation import Setting
    from landscape_mpi.compute.precision import check_available
    from landscape_mpi.engine import forecast
    from landscape_mpi.engine.grid import parse_axis
    from landscape_mpi.jobs.surface import synthetic

    grid = len(parse_axis(options.x, option="--x")), len(parse_axis(options.y, option="--y"))
    device = choose_alone(options.device)
    threads = threads_of(options.threads) if device.is_host else 1
    precisions = options.precision or ("fp32", *device.precisions())
    for precision in precisions:
        check_available(precision, device)
    case = synthetic.Case(options.model, shape, options.classes)
    batch = options.batch or case.default_batch(device, options.images)
    work = forecast.Work(grid, grid[0] * grid[1], options.images, "images")
    print(f"{options.model} on {device.describe()}: batch {batch}, threads a rank: {threads}")
    for precision in precisions:
        setting = Setting(device, precision, batch, threads)
        measured = synthetic.measure_in_memory(case, setting, options.n)
        print(f"\n{precision}\n{forecast.describe(measured, work, range(options.n))}", flush=True)
    return 0


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser.of_command("bench", __doc__)
    _add_inputs(parser.add_argument_group("network and data"))
    _add_surface(parser.add_argument_group("surface"))
    _add_evaluation(parser.add_argument_group("evaluation"))
    return parser


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    add_model_option(group)
    group.add_argument(
        "--images",
        type=whole_from_1,
        default=50_000,
        metavar="N",
        help="samples evaluated at each point (default: 50000)",
    )
    group.add_argument(
        "--image-shape",
        default="32,32,3",
        metavar="H,W,C",
        help="height, width and channels of an image (default: 32,32,3)",
    )
    group.add_argument(
        "--classes",
        type=whole_up_to(MOST_CLASSES),
        default=10,
        metavar="N",
        help="number of classes (default: 10)",
    )


def _add_surface(group: argparse._ArgumentGroup) -> None:
    for letter, axis in (("x", "alpha"), ("y", "beta")):
        group.add_argument(
            f"--{letter}",
            default="-1:1:51",
            metavar="MIN:MAX:N",
            help=f"points along {axis} (default: -1:1:51)",
        )
    group.add_argument(
        "-n",
        type=whole_up_to(MOST_RANKS),
        default=1,
        metavar="N",
        help="number of ranks, all as fast as this one (default: 1)",
    )


def _add_evaluation(group: argparse._ArgumentGroup) -> None:
    add_device_option(group, "device to measure (default: auto, a GPU if there is one)")
    group.add_argument(
        "--precision",
        action="append",
        choices=["fp32", "tf32", "bf16"],
        help="precision to measure; may be repeated (default: all that the device has)",
    )
    group.add_argument(
        "--batch",
        type=whole_from_1,
        metavar="N",
        help="samples per forward pass (default: chosen for the network and the device)",
    )
    group.add_argument(
        "--threads",
        type=whole_from_1,
        metavar="N",
        help="CPU cores of a rank (default: all that this process may use)",
    )


def threads_of(asked: int | None) -> int:
    """Return the number of cores of a rank.

    Raises:
        InputError: If the option names more than this process may use.
    """
    present = len(os.sched_getaffinity(0))
    if asked is not None and asked > present:
        raise InputError(
            f"--threads: asks for {asked} cores, but this process may use only {present}. Pass "
            "at most that."
        )
    return asked or present


def image_shape(text: str) -> tuple[int, int, int]:
    """Return height, width and channels.

    Raises:
        InputError: If the text is not three whole numbers from 1.
    """
    try:
        height, width, channels = (int(part) for part in text.split(","))
    except ValueError:
        height, width, channels = 0, 0, 0
    if not 1 <= min(height, width, channels) <= max(height, width, channels) <= LONGEST_SIDE:
        raise InputError(
            f"--image-shape: {text!r} is not height,width,channels, each a whole number from 1 to "
            f"{LONGEST_SIDE}, e.g. 32,32,3."
        )
    return height, width, channels


if __name__ == "__main__":
    run_alone(main)
