"""Option values, and the options that several commands share."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from pathlib import Path

from landscape_mpi.errors import nearest_name

LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 10**9
MOST_LEVELS = 200
# Beyond these a run would have no end or no room, and the number is a slip.
MOST_EPOCHS = 100_000
MOST_POINTS = 100_000  # of an axis, or of a path
MOST_THREADS = 1024
MOST_NETWORKS = 1000  # that are made one after the other, or of which all are kept
MOST_VECTORS = 1000  # of the length of all weights, in memory together


def whole_from_1(text: str) -> int:
    """Return a whole number from 1 to LARGEST_COUNT.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    return _whole(text, LARGEST_COUNT, "10**9")


def whole_up_to(most: int) -> Callable[[str], int]:
    """Return a type for whole numbers from 1 to the most that makes sense."""

    def parse(text: str) -> int:
        return _whole(text, most, f"{most:,}")

    return parse


def _whole(text: str, most: int, words: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {words}.")
    return int(text)


def seed_number(text: str) -> int:
    """Return a seed.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    if not text.isascii() or not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**63 - 1.")
    return int(text)


def number_from_0(text: str) -> float:
    """Return a finite number of at least 0.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    values = numbers(text)
    if len(values) > 1 or not 0 <= values[0] < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number from 0.")
    return values[0]


def number_above_0(text: str) -> float:
    """Return a finite number above 0.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    value = number_from_0(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0.")
    return value


def levels(text: str) -> int | list[float]:
    """Return a number of contour levels, or the levels themselves.

    Raises:
        ArgumentTypeError: If the text is neither.
    """
    if text.isdecimal():
        if not 1 <= int(text) <= MOST_LEVELS:
            raise argparse.ArgumentTypeError(f"{text} levels; choose 1 to {MOST_LEVELS}.")
        return int(text)
    try:
        given = [float(level) for level in text.split(",") if level.strip()]
    except ValueError:
        given = []
    rising = all(a < b for a, b in itertools.pairwise(given))
    if not given or not rising or not all(math.isfinite(level) for level in given):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of levels nor rising levels as 0.1,0.5,1."
        )
    return given


def list_of_names(text: str) -> list[str]:
    """Return the names between commas.

    Raises:
        ArgumentTypeError: If there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("names nothing.")
    return names


def pixel_density(text: str) -> int:
    """Return the dots per inch of a picture.

    Raises:
        ArgumentTypeError: If the text is no whole number from 20 to 2400.
    """
    if not text.isdecimal() or not 20 <= int(text) <= 2400:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 20 to 2400.")
    return int(text)


def share(text: str) -> float:
    """Return a number from 0 to 1.

    Raises:
        ArgumentTypeError: If the text is none.
    """
    value = number_from_0(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1.")
    return value


def numbers(text: str) -> tuple[float, ...]:
    """Return numbers written with commas between them.

    Raises:
        ArgumentTypeError: If one of them is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as problem:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number, nor several with commas between them."
        ) from problem


def names_of(*known: str, none: str | None = None) -> Callable[[str], tuple[str, ...]]:
    """Return a type for names with commas between them, each of the known ones.

    Args:
        known: The names, in the order in which they are returned.
        none: A word that stands for no name.
    """

    def parse(text: str) -> tuple[str, ...]:
        asked = [] if text == none else text.split(",")
        for name in asked:
            if name not in known:
                near = nearest_name(name, known)
                hint = f" Did you mean {near}?" if near else ""
                listed = ", ".join((*known, none) if none else known)
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {listed}.{hint}")
        return tuple(name for name in known if name in asked)

    return parse


def patterns_and(*words: str, none: str | None = None) -> Callable[[str], tuple[str, ...]]:
    """Return a type for patterns with commas between them, and words of a meaning of their own.

    Args:
        words: The words, which come first in what is returned, in this order; then the patterns.
        none: A word that stands for nothing.
    """

    def parse(text: str) -> tuple[str, ...]:
        asked = {part.strip() for part in text.split(",")}
        if none is not None and asked == {none}:
            return ()
        if "" in asked or none in asked:
            what = f"{none!r} beside others" if none in asked else "an empty name"
            raise argparse.ArgumentTypeError(f"{text!r} has {what} in it.")
        known = [word for word in words if word in asked]
        return (*known, *sorted(asked.difference(known)))

    return parse


def file_path(text: str) -> Path:
    """Return a path, ~ replaced by the home folder."""
    return Path(text).expanduser()


def files_read(options: argparse.Namespace) -> list[Path]:
    """Return the files that the options name as inputs, which no output may replace."""
    files = [getattr(options, name, None) for name in ("checkpoint", "directions", "to", "to_y")]
    kinds = (getattr(options, f"{axis}_direction", None) for axis in "xy")
    files += [getattr(kind, "file", None) for kind in kinds]
    if options.data.startswith("npz:"):
        data = file_path(options.data.removeprefix("npz:"))
        files += [data, *([options.data_dir / data] if options.data_dir else [])]
    return [file for file in files if file is not None]


def add_model_option(group: argparse._ActionsContainer) -> None:
    """Add --model to a parser or a group of it."""
    group.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="network of the zoo (resnet56, resnet56_noshort, vgg9, lstm120 and many more: --list "
        "models), or package.module:function that returns yours",
    )


def add_list_option(
    group: argparse._ActionsContainer, action: type[argparse.Action], say: Callable[[str], int]
) -> None:
    """Add --list to a parser or a group of it.

    Args:
        group: Where to add it.
        action: command.SayAndEnd.
        say: Prints the networks or the data sets there are.
    """
    group.add_argument(
        "--list",
        action=action,
        say=say,
        choices=["models", "data"],
        help="print the networks with their numbers of parameters, or the data sets and how to "
        "get their files, and end",
    )


def add_data_options(group: argparse._ArgumentGroup) -> None:
    """Add --data, --data-dir, --download, --mean and --std to a group of a parser."""
    group.add_argument(
        "--data",
        required=True,
        metavar="NAME",
        help="cifar10, cifar100, mnist, fashion_mnist, digits, seismic, shakespeare, folder:DIR or "
        "npz:FILE, or package.module:function that returns yours",
    )
    group.add_argument(
        "--data-dir", type=file_path, metavar="DIR", help="folder of the data's files"
    )
    group.add_argument(
        "--download", action="store_true", help="fetch missing files from the publisher"
    )
    group.add_argument(
        "--mean",
        type=numbers,
        metavar="LIST",
        help="of the pixels per channel, 0 to 1, e.g. 0.49,0.48,0.45 (default: the data's own)",
    )
    group.add_argument("--std", type=numbers, metavar="LIST", help="likewise")


def add_device_option(group: argparse._ActionsContainer) -> None:
    """Add --device to a parser or a group of it."""
    group.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="one GPU per rank, or shares of the cores (default: GPUs where there are any)",
    )


def add_training_place(group: argparse._ActionsContainer) -> None:
    """Add --seed, --device and --threads of a training to a group of a parser."""
    group.add_argument("--seed", type=seed_number, default=0, help="of all that is random (0)")
    add_device_option(group)
    group.add_argument(
        "--threads",
        type=whole_up_to(MOST_THREADS),
        metavar="N",
        help="of the CPU, per rank (all cores)",
    )


def add_augmentation(group: argparse._ActionsContainer) -> None:
    """Add --augment and --precision of a training to a group of a parser."""
    group.add_argument(
        "--augment",
        choices=["auto", "none", "crop-flip"],
        default="auto",
        help="auto: crop-flip for cifar10 and cifar100, none for other data (auto)",
    )
    group.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="bf16: mixed precision in training; weights and the test stay in fp32 (fp32)",
    )


def add_epochs_option(group: argparse._ActionsContainer, *, default: int, what: str = "") -> None:
    """Add --epochs of a training to a group of a parser.

    Args:
        group: Where to add it.
        default: How many, where none are asked for.
        what: Whose they are, where that does not go without saying.
    """
    group.add_argument(
        "--epochs",
        type=whole_up_to(MOST_EPOCHS),
        default=default,
        metavar="N",
        help=f"{what} ({default})".lstrip(),
    )


def add_batch_size(group: argparse._ActionsContainer) -> None:
    """Add --batch-size of a training to a group of a parser."""
    group.add_argument(
        "--batch-size", type=whole_from_1, default=128, help="of all ranks together (128)"
    )


def add_sgd_options(group: argparse._ActionsContainer, *, momentum: float | None) -> None:
    """Add --momentum, --nesterov and --weight-decay of SGD to a group of a parser.

    Args:
        group: Where to add them.
        momentum: What it is where none is asked for: 0.9, or None to tell that from 0.9 asked for.
    """
    group.add_argument("--momentum", type=share, default=momentum, help="of sgd (0.9)")
    group.add_argument(
        "--nesterov", action=argparse.BooleanOptionalAction, help="step of sgd (--nesterov)"
    )
    group.add_argument(
        "--weight-decay",
        type=number_from_0,
        default=5e-4,
        metavar="X",
        help="X times each parameter, biases too, is added to its gradient (0.0005)",
    )


def add_trust_option(group: argparse._ActionsContainer) -> None:
    """Add --trust-checkpoint to a parser or a group of it."""
    group.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="unpickle whatever a checkpoint holds, which can run code",
    )


def add_moved_inputs(group: argparse._ArgumentGroup) -> None:
    """Add what a command that reads a surface's inputs again may have to be told of them."""
    group.add_argument("--checkpoint", type=file_path, metavar="FILE", help="trained weights")
    add_trust_option(group)
    add_moved_data(group)


def add_moved_data(group: argparse._ArgumentGroup) -> None:
    """Add what a command that reads a file's data again may have to be told of them."""
    group.add_argument(
        "--data-dir", type=file_path, metavar="DIR", help="folder of the data's files"
    )
    group.add_argument(
        "--download", action="store_true", help="fetch missing files from the publisher"
    )


def add_round_options(group: argparse._ArgumentGroup) -> None:
    """Add what a run in rounds may be told of their length, and of ranks that hang."""
    group.add_argument(
        "--round-seconds",
        type=number_above_0,
        default=30.0,
        metavar="S",
        help="a killed job loses at most about this much, or a point (default: 30)",
    )
    group.add_argument(
        "--stall-seconds",
        type=number_above_0,
        default=300.0,
        metavar="S",
        help="a rank that is silent for so long, and for 10 of its points, hangs: the job then "
        "ends with status 75 (default: 300)",
    )
