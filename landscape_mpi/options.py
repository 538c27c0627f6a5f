"""Parsers of option values, and the options that several commands share."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from landscape_mpi.device_names import AUTO, DEVICE_NAMES, check_device
from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.registry import COLOR_MAPS, DATA_SETS, NETWORKS, REVERSED, USER_FUNCTION

LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 10**9
MOST_LEVELS = 200
FEWEST_PIXELS, MOST_PIXELS = 200, 8_000  # side of a picture drawn by VTK, in pixels
# Larger numbers are typing errors: the run would never end, or not fit into memory.
MOST_EPOCHS = 100_000
MOST_POINTS = 100_000  # points of an axis, or checkpoints of a trajectory
MOST_THREADS = 1024
MOST_NETWORKS = 1000  # networks that are made one after the other, or all kept
MOST_VECTORS = 1000  # vectors as long as all weights, all in memory at once
NETWORKS_AND_DATA = {
    "models": "the networks with their numbers of parameters",
    "data": "the data sets and how to get their files",
}


def whole_from_1(text: str) -> int:
    """Parse a whole number from 1 to LARGEST_COUNT.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    return _whole(text, LARGEST_COUNT, "10**9")


def whole_up_to(most: int) -> Callable[[str], int]:
    """Return an argparse type for whole numbers from 1 to a largest sensible one."""

    def parse(text: str) -> int:
        return _whole(text, most, f"{most:,}")

    return parse


def _whole(text: str, most: int, words: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {words}.")
    return int(text)


def seed_number(text: str) -> int:
    """Parse a seed.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    if not text.isascii() or not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**63 - 1.")
    return int(text)


def subset_name(text: str) -> str:
    """Parse the choice of samples of a limit: ``first``, or ``random:SEED``.

    Raises:
        ArgumentTypeError: If the text is neither.
    """
    kind, colon, seed = text.partition(":")
    if text == "first":
        return text
    if kind != "random" or (colon and not seed):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of random, random:SEED, first.")
    return f"random:{seed_number(seed or '0')}"


def add_limit_options(group: argparse._ActionsContainer, *, words: str) -> None:
    """Add --limit and --subset.

    Args:
        group: Parser or group for them.
        words: Help of --limit.
    """
    group.add_argument("--limit", type=whole_from_1, metavar="N", help=words)
    group.add_argument(
        "--subset",
        type=subset_name,
        metavar="WHICH",
        help="which samples --limit takes: random, random:SEED or first; if a data set is sorted "
        "by class, its first N samples may lack whole classes (default: random:0, or the same "
        "samples as in an existing file)",
    )


def number_from_0(text: str) -> float:
    """Parse a finite number of at least 0.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least 0.")
    return value


def _number(text: str) -> float:
    """Return a number, or NaN, which lies in no range, if the text is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def number_above_0(text: str) -> float:
    """Parse a finite number above 0.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    value = _number(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0.")
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0.")
    return value


def levels(text: str) -> int | list[float]:
    """Parse a number of contour levels, or the levels themselves.

    Raises:
        ArgumentTypeError: If the text is neither.
    """
    if text.isdecimal():
        if not 1 <= int(text) <= MOST_LEVELS:
            raise argparse.ArgumentTypeError(
                f"{text} levels: pass a number from 1 to {MOST_LEVELS}."
            )
        return int(text)
    try:
        given = [float(level) for level in text.split(",") if level.strip()]
    except ValueError:
        given = []
    rising = all(a < b for a, b in itertools.pairwise(given))
    if not given or not rising or not all(math.isfinite(level) for level in given):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of levels nor a rising list of levels such as 0.1,0.5,1."
        )
    return given


def value_range(text: str) -> tuple[float | None, float | None]:
    """Parse the range of values to draw, LOW:HIGH; None for an end that is left out.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    low, colon, high = text.partition(":")
    try:
        ends = [float(end) if end.strip() else None for end in (low, high)]
    except ValueError:
        ends = [None, None]
    known = [end for end in ends if end is not None]
    if not colon or not known or not all(map(math.isfinite, known)) or sorted(set(known)) != known:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a range. Pass LOW:HIGH with LOW below HIGH, e.g. 0.1:10, or one "
            "end, e.g. :10."
        )
    return ends[0], ends[1]


def camera_angles(text: str) -> tuple[float, float]:
    """Parse the angles of a camera, AZIMUTH,ELEVATION in degrees.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    try:
        azimuth, elevation = map(float, text.split(","))
    except ValueError:
        azimuth = elevation = math.nan
    if not (abs(azimuth) <= 360 and 0 <= elevation <= 90):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a camera. Pass AZIMUTH,ELEVATION in degrees, the azimuth from -360 "
            "to 360 and the elevation from 0 to 90, e.g. --camera=-60,40."
        )
    return azimuth, elevation


def picture_size(text: str) -> tuple[int, int]:
    """Parse the width and the height of a picture in pixels, WxH.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    width, _, height = text.lower().partition("x")
    sides = [int(side) if side.isdecimal() and side.isascii() else 0 for side in (width, height)]
    if not all(FEWEST_PIXELS <= side <= MOST_PIXELS for side in sides):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size. Pass WIDTHxHEIGHT in pixels, both from {FEWEST_PIXELS} to "
            f"{MOST_PIXELS:,}, e.g. 1600x1200."
        )
    return sides[0], sides[1]


def color_map(text: str) -> str:
    """Parse the name of a colour map in registry.COLOR_MAPS, also with ``_r``.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    name = text.removesuffix(REVERSED)
    if name not in COLOR_MAPS:
        near = nearest_name(name, COLOR_MAPS)
        hint = f" Did you mean {near}?" if near else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {', '.join(COLOR_MAPS)}, nor one of these followed by "
            f"{REVERSED}, which reverses it.{hint}"
        )
    return text


def list_of_names(text: str) -> list[str]:
    """Parse names separated by commas.

    Raises:
        ArgumentTypeError: If there is no name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("the list holds no name. Pass names separated by commas.")
    return names


def pixel_density(text: str) -> int:
    """Parse the dots per inch of a picture.

    Raises:
        ArgumentTypeError: If the text is not a whole number from 20 to 2400.
    """
    if not text.isdecimal() or not 20 <= int(text) <= 2400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 20 to 2400.")
    return int(text)


def share(text: str) -> float:
    """Parse a number from 0 to 1.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    value = number_from_0(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1.")
    return value


def numbers(text: str) -> tuple[float, ...]:
    """Parse numbers separated by commas.

    Raises:
        ArgumentTypeError: If one of them is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as problem:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number, nor a list of numbers separated by commas."
        ) from problem


def names_of(*known: str, none: str | None = None) -> Callable[[str], tuple[str, ...]]:
    """Return an argparse type for a list of known names, separated by commas.

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
    """Return an argparse type for patterns and special words, separated by commas.

    Args:
        words: The special words. The result has them first, in this order, and then the patterns.
        none: A word that stands for nothing.
    """

    def parse(text: str) -> tuple[str, ...]:
        asked = {part.strip() for part in text.split(",")}
        if none is not None and asked == {none}:
            return ()
        if "" in asked or none in asked:
            what = f"{none!r} beside other names" if none in asked else "an empty name"
            raise argparse.ArgumentTypeError(f"{text!r} contains {what}.")
        known = [word for word in words if word in asked]
        return (*known, *sorted(asked.difference(known)))

    return parse


def file_path(text: str) -> Path:
    """Parse a path, with ~ replaced by the home folder."""
    return Path(text).expanduser()


class _NameNetwork(argparse.Action):
    """Action that stores --model and appends --output in brackets, in either order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value; both options together form the name of the network."""
        model, entry = namespace.model, namespace.output
        if model is not None and entry is not None:
            model = model.removesuffix(f"[{entry}]")
        model, entry = (values, entry) if self.dest == "model" else (model, values)
        namespace.model, namespace.output = model, entry
        if model is None or entry is None:
            return
        if "[" in model:
            parser.error(
                f"--model {model} already names an entry, and --output names {entry}. Leave out "
                "one of them."
            )
        namespace.model = f"{model}[{entry}]"


def add_model_option(group: argparse._ActionsContainer, *, required: bool = True) -> None:
    """Add --model and --output to a parser or one of its groups."""
    group.add_argument(
        "--model",
        action=_NameNetwork,
        required=required,
        metavar="NAME",
        help=f"network of the zoo ({', '.join(NETWORKS)} and many more: --list models), or "
        f"{USER_FUNCTION}, a function that returns your network",
    )
    group.add_argument(
        "--output",
        action=_NameNetwork,
        metavar="NAME",
        help="output tensor that enters the loss, if the network returns a dict, an object or a "
        "tuple: its name, e.g. logits, or its position, e.g. 0; files and messages then call the "
        "network package.module:function[logits]",
    )


def add_problem_option(
    group: argparse._ActionsContainer, source: Callable[[str], Any], *, what: str = ""
) -> None:
    """Add --problem to a parser or one of its groups.

    Args:
        group: Parser or group for it.
        source: engine.problem_source.ProblemSource.
        what: Further text of its help.
    """
    group.add_argument(
        "--problem",
        type=source,
        metavar="MODULE:FUNCTION",
        help="function that returns a landscape_mpi.Problem (a network, batches of any kind, and "
        f"a loss of the network and a batch); replaces --model, --data and --loss{what}",
    )


def settle_subject(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Check that either a network and data are named, or a problem."""
    if options.problem is None:
        missing = [f"--{name}" for name in ("model", "data") if getattr(options, name) is None]
        if missing:
            parser.error(
                f"the following arguments are required: {', '.join(missing)} (or --problem)"
            )
    elif getattr(options, "output", None) is not None:
        parser.error(
            f"--output {options.output} applies only to networks of --model. Let the loss of the "
            "problem select the output of its network"
        )
    options.model, options.data = options.model or "", options.data or ""


def add_list_option(
    group: argparse._ActionsContainer,
    action: type[argparse.Action],
    say: Callable[[str], int],
    *,
    lists: Mapping[str, str] = NETWORKS_AND_DATA,
) -> None:
    """Add --list to a parser or one of its groups.

    Args:
        group: Parser or group for it.
        action: command.SayAndEnd.
        say: Prints the named list.
        lists: Contents of each list, by its name.
    """
    group.add_argument(
        "--list",
        action=action,
        say=say,
        choices=list(lists),
        help=f"print {', or '.join(lists.values())}, and exit",
    )


def add_data_options(group: argparse._ArgumentGroup, *, required: bool = True) -> None:
    """Add --data, --data-dir, --download, --mean and --std to a group of a parser."""
    forms = ", ".join(form for form in DATA_SETS if form != USER_FUNCTION)
    group.add_argument(
        "--data",
        required=required,
        metavar="NAME",
        help=f"data set: {forms}, or {USER_FUNCTION}, a function that returns your data",
    )
    group.add_argument(
        "--data-dir", type=file_path, metavar="DIR", help="folder of the data set's files"
    )
    group.add_argument(
        "--download", action="store_true", help="fetch missing files from the publisher"
    )
    group.add_argument(
        "--mean",
        type=numbers,
        metavar="LIST",
        help="mean of the pixels (0 to 1) of each channel, e.g. 0.49,0.48,0.45 (default: that of "
        "the data set)",
    )
    group.add_argument(
        "--std",
        type=numbers,
        metavar="LIST",
        help="standard deviation of the pixels, in the same form as --mean",
    )


def add_reading_options(group: argparse._ArgumentGroup) -> None:
    """Add --ignore-index and --class-axis to a group of a parser."""
    group.add_argument(
        "--ignore-index",
        type=ignored_number,
        metavar="N",
        help="target value that is left out of the loss and the error, or none to count all "
        "targets (default: -100, as in torch's cross-entropy)",
    )
    group.add_argument(
        "--class-axis",
        type=int,
        choices=[1, -1],
        help="axis of the outputs that runs over the classes, if a sample has several targets: 1 "
        "as in torch's losses, -1 for the last axis (default: the axis that fits the targets)",
    )


def ignored_number(text: str) -> int | str:
    """Parse the value of --ignore-index: a number, or ``none``.

    Raises:
        ArgumentTypeError: If the text is neither.
    """
    if text == "none":
        return text
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or int(digits) > LARGEST_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor none.")
    return int(text)


def class_weights(text: str) -> tuple[float, ...]:
    """Parse the weights of classes.

    Raises:
        ArgumentTypeError: If they are not finite, negative, or all 0.
    """
    weights = numbers(text)
    if not any(weights) or not all(0 <= weight < math.inf for weight in weights):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of finite weights of at least 0 with one above 0."
        )
    return weights


def device_name(text: str) -> str:
    """Parse the name of a device.

    Raises:
        ArgumentTypeError: If the text is not such a name.
    """
    try:
        return check_device(text, "--device")
    except InputError as problem:
        raise argparse.ArgumentTypeError(str(problem).removeprefix("--device: ")) from problem


def add_device_option(
    group: argparse._ActionsContainer,
    words: str = "device of each rank: one GPU, or a share of the CPU cores (default: GPUs if "
    "there are any)",
) -> None:
    """Add --device to a parser or one of its groups."""
    group.add_argument(
        "--device",
        type=device_name,
        metavar=f"{{{','.join(DEVICE_NAMES)}}}",
        default=AUTO,
        help=words,
    )


def add_training_place(group: argparse._ActionsContainer) -> None:
    """Add --seed, --device and --threads of a training run to a group of a parser."""
    group.add_argument(
        "--seed",
        type=seed_number,
        default=0,
        metavar="N",
        help="seed of all random numbers (default: 0)",
    )
    add_device_option(group)
    group.add_argument(
        "--threads",
        type=whole_up_to(MOST_THREADS),
        metavar="N",
        help="CPU threads per rank (default: all cores)",
    )


def add_augmentation(group: argparse._ActionsContainer) -> None:
    """Add --augment and --precision of a training run to a group of a parser."""
    group.add_argument(
        "--augment",
        choices=["auto", "none", "crop-flip"],
        default="auto",
        help="augmentation of the training images; auto means crop-flip for data sets of "
        "photographs such as cifar10, and none for other data (default: auto)",
    )
    group.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="precision of the training; bf16 is mixed precision, in which the weights and the "
        "evaluation on test data stay in fp32 (default: fp32)",
    )


def add_epochs_option(
    group: argparse._ActionsContainer, *, default: int, what: str = "epochs to train"
) -> None:
    """Add --epochs of a training run to a group of a parser.

    Args:
        group: Parser or group for it.
        default: Number of epochs without the option.
        what: Help text, without the default.
    """
    group.add_argument(
        "--epochs",
        type=whole_up_to(MOST_EPOCHS),
        default=default,
        metavar="N",
        help=f"{what} (default: {default})",
    )


def add_batch_size(group: argparse._ActionsContainer) -> None:
    """Add --batch-size of a training run to a group of a parser."""
    group.add_argument(
        "--batch-size",
        type=whole_from_1,
        metavar="N",
        help="samples per step, of all ranks together (default: 128)",
    )


def add_batches_per_step(group: argparse._ActionsContainer) -> None:
    """Add --batches-per-step of a training run to a group of a parser."""
    group.add_argument(
        "--batches-per-step",
        type=whole_from_1,
        metavar="N",
        help="batches of --problem in each step, distributed over the ranks (default: 1)",
    )


def add_sgd_options(group: argparse._ActionsContainer, *, momentum: float | None) -> None:
    """Add --momentum, --nesterov and --weight-decay of SGD to a group of a parser.

    Args:
        group: Parser or group for them.
        momentum: Value without the option: 0.9, or None to tell its absence from an explicit 0.9.
    """
    group.add_argument(
        "--momentum",
        type=share,
        default=momentum,
        metavar="X",
        help="momentum of sgd (default: 0.9)",
    )
    group.add_argument(
        "--nesterov",
        action=argparse.BooleanOptionalAction,
        help="use Nesterov's momentum in sgd (default: --nesterov)",
    )
    group.add_argument(
        "--weight-decay",
        type=number_from_0,
        default=5e-4,
        metavar="X",
        help="add X times each parameter, including biases, to its gradient (default: 0.0005)",
    )


def add_weights_options(group: argparse._ActionsContainer) -> None:
    """Add --trust-checkpoint and --checkpoint-key to a parser or a group of it."""
    group.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="unpickle any object in a checkpoint; this can run code that is hidden in the file",
    )
    group.add_argument(
        "--checkpoint-key",
        metavar="KEY",
        help="weights to take from checkpoints that hold several: a name in the file such as "
        "state_dict_ema or ema.module, or the first part of the names of the tensors; "
        "applies to every checkpoint of the command (default: raw weights rather than averaged "
        "ones; the log names them)",
    )


def add_moved_inputs(group: argparse._ArgumentGroup) -> None:
    """Add the options for a command that reads a surface's inputs again."""
    group.add_argument(
        "--checkpoint", type=file_path, metavar="FILE", help="trained weights: a file or a folder"
    )
    add_weights_options(group)
    add_moved_data(group)


def add_moved_data(group: argparse._ArgumentGroup) -> None:
    """Add the options for a command that reads a file's data again."""
    group.add_argument(
        "--data-dir", type=file_path, metavar="DIR", help="folder of the data set's files"
    )
    group.add_argument(
        "--download", action="store_true", help="fetch missing files from the publisher"
    )


def add_accept_device_option(group: argparse._ArgumentGroup) -> None:
    """Add --accept-device."""
    group.add_argument(
        "--accept-device",
        action="store_true",
        help="resume a file that was started on another model of GPU or processor, or with other "
        "processor instructions; results may differ in their last digits",
    )


def add_round_options(group: argparse._ArgumentGroup) -> None:
    """Add the options for the length of rounds, their writing, and for hung ranks."""
    group.add_argument(
        "--round-seconds",
        type=number_above_0,
        default=30.0,
        metavar="S",
        help="time between two writes; a killed job loses about this much work, or at most one "
        "point per rank if a point takes longer (default: 30)",
    )
    group.add_argument(
        "--stall-seconds",
        type=number_above_0,
        default=300.0,
        metavar="S",
        help="treat a rank as hung after S seconds without progress (at least 10 of its points) "
        "and end the job with status 75; before the first round, a step may take 10 times as long "
        "(default: 300)",
    )
    group.add_argument(
        "--write",
        choices=["auto", "parallel", "gather"],
        default="auto",
        help="how rounds get into the file: parallel HDF5 on several ranks, or rank 0 gathers all "
        "values and writes them; with auto, rank 0 does it, but for grids of 262,144 points or "
        "more the run tries both ways and takes the faster one; the values are the same "
        "(default: auto)",
    )
