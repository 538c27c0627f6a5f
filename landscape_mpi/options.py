"""Option values, and the options that several commands share."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from landscape_mpi.device_names import AUTO, DEVICE_NAMES, check_device
from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.registry import COLOR_MAPS, DATA_SETS, HOOK, NETWORKS, REVERSED

LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 10**9
MOST_LEVELS = 200
FEWEST_PIXELS, MOST_PIXELS = 200, 8_000  # pixels of a side of a picture that VTK draws
# Larger numbers are typing errors: the run would not end, or not fit into memory.
MOST_EPOCHS = 100_000
MOST_POINTS = 100_000  # points of an axis, or of a path
MOST_THREADS = 1024
MOST_NETWORKS = 1000  # of things that are made one after the other, or all kept
MOST_VECTORS = 1000  # vectors as long as all weights, together in memory
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
    """Return a type for whole numbers from 1 to a largest sensible one."""

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
        "by class, its first N samples may lack whole classes (default: random:0, or those that "
        "the file was begun with)",
    )


def number_from_0(text: str) -> float:
    """Parse a finite number of at least 0.

    Raises:
        ArgumentTypeError: If the text is not valid.
    """
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number from 0.")
    return value


def _number(text: str) -> float:
    """Return a number; NaN if the text is none, which no range holds."""
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


def value_range(text: str) -> tuple[float | None, float | None]:
    """Parse the ends of the values that are drawn, LOW:HIGH; None for an end that is left out.

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
            f"{text!r} is no range. Pass LOW:HIGH with LOW below HIGH, e.g. 0.1:10, or one end, "
            f"e.g. :10."
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
            f"{text!r} is no camera. Pass AZIMUTH,ELEVATION in degrees, the azimuth from -360 to "
            "360 and the elevation from 0 to 90, e.g. --camera=-60,40."
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
            f"{text!r} is no size. Pass WIDTHxHEIGHT in pixels, both from {FEWEST_PIXELS} to "
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
            f"{REVERSED}, which turns it round.{hint}"
        )
    return text


def list_of_names(text: str) -> list[str]:
    """Parse names between commas.

    Raises:
        ArgumentTypeError: If there is no name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("names nothing.")
    return names


def pixel_density(text: str) -> int:
    """Parse the dots per inch of a picture.

    Raises:
        ArgumentTypeError: If the text is not a whole number from 20 to 2400.
    """
    if not text.isdecimal() or not 20 <= int(text) <= 2400:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 20 to 2400.")
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
    """Parse numbers with commas between them.

    Raises:
        ArgumentTypeError: If one of them is not a number.
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
    """Return a type for patterns with commas between them, and special words among them.

    Args:
        words: The special words; the result has them first, in this order, and then the patterns.
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
    """Parse a path, with ~ replaced by the home folder."""
    return Path(text).expanduser()


class _NameNetwork(argparse.Action):
    """Action that stores --model with --output after it in brackets, in either order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value; both options together make the name of the network."""
        model, entry = namespace.model, namespace.output
        if model is not None and entry is not None:
            model = model.removesuffix(f"[{entry}]")
        model, entry = (values, entry) if self.dest == "model" else (model, values)
        namespace.model, namespace.output = model, entry
        if model is None or entry is None:
            return
        if "[" in model:
            parser.error(f"--model {model} names an entry already, and --output {entry} another.")
        namespace.model = f"{model}[{entry}]"


def add_model_option(group: argparse._ActionsContainer, *, required: bool = True) -> None:
    """Add --model and --output to a parser or a group of it."""
    group.add_argument(
        "--model",
        action=_NameNetwork,
        required=required,
        metavar="NAME",
        help=f"network of the zoo ({', '.join(NETWORKS)} and many more: --list models), or {HOOK} "
        "that returns yours",
    )
    group.add_argument(
        "--output",
        action=_NameNetwork,
        metavar="NAME",
        help="which of the tensors that the network returns the loss is made of, where it returns "
        "a dict, an object or a tuple: its name, e.g. logits, or its place, e.g. 0; it becomes a "
        "part of the name of the network, package.module:function[logits]",
    )


def add_problem_option(
    group: argparse._ActionsContainer, source: Callable[[str], Any], *, what: str = ""
) -> None:
    """Add --problem to a parser or a group of it.

    Args:
        group: Parser or group for it.
        source: engine.problem_source.ProblemSource.
        what: Further text of its help.
    """
    group.add_argument(
        "--problem",
        type=source,
        metavar="MODULE:FUNCTION",
        help="function that returns a landscape_mpi.Problem: a network, batches of any kind and a "
        f"loss of the network and a batch, in the place of --model, --data and --loss{what}",
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
            f"--output {options.output}: is of networks of --model. Let the loss of the problem "
            f"take the entry from what its network returns"
        )
    options.model, options.data = options.model or "", options.data or ""


def add_list_option(
    group: argparse._ActionsContainer,
    action: type[argparse.Action],
    say: Callable[[str], int],
    *,
    lists: Mapping[str, str] = NETWORKS_AND_DATA,
) -> None:
    """Add --list to a parser or a group of it.

    Args:
        group: Parser or group for it.
        action: command.SayAndEnd.
        say: Prints the list that is asked for.
        lists: Contents of each list, by its name.
    """
    group.add_argument(
        "--list",
        action=action,
        say=say,
        choices=list(lists),
        help=f"print {', or '.join(lists.values())}, and end",
    )


def add_data_options(group: argparse._ArgumentGroup, *, required: bool = True) -> None:
    """Add --data, --data-dir, --download, --mean and --std to a group of a parser."""
    group.add_argument(
        "--data",
        required=required,
        metavar="NAME",
        help=f"{', '.join(form for form in DATA_SETS if form != HOOK)}, or {HOOK} that returns "
        "yours",
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
    group.add_argument(
        "--std", type=numbers, metavar="LIST", help="standard deviation, given as --mean is"
    )


def add_reading_options(group: argparse._ArgumentGroup) -> None:
    """Add --ignore-index and --class-axis to a group of a parser."""
    group.add_argument(
        "--ignore-index",
        type=ignored_number,
        metavar="N",
        help="leave targets of N out of the loss and of the error, or none to count them all "
        "(default: -100, as in torch's cross-entropy)",
    )
    group.add_argument(
        "--class-axis",
        type=int,
        choices=[1, -1],
        help="axis of the outputs along which the classes lie, where a sample has several targets: "
        "1 as in torch's losses, -1 for the last (default: the axis that fits the targets)",
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
        ArgumentTypeError: If they are not finite, below 0, or all 0.
    """
    weights = numbers(text)
    if not any(weights) or not all(0 <= weight < math.inf for weight in weights):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of finite weights from 0, one of them above 0."
        )
    return weights


def device_name(text: str) -> str:
    """Parse a word for a device.

    Raises:
        ArgumentTypeError: If the text is not such a word.
    """
    try:
        return check_device(text, "--device")
    except InputError as problem:
        raise argparse.ArgumentTypeError(str(problem).removeprefix("--device: ")) from problem


def add_device_option(
    group: argparse._ActionsContainer,
    words: str = "one GPU per rank, or shares of the cores (default: GPUs where there are any)",
) -> None:
    """Add --device to a parser or a group of it."""
    group.add_argument(
        "--device",
        type=device_name,
        metavar=f"{{{','.join(DEVICE_NAMES)}}}",
        default=AUTO,
        help=words,
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
        help="auto: crop-flip for data sets of photographs, as cifar10; none for other data (auto)",
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
        group: Parser or group for it.
        default: Number of epochs, if none is asked for.
        what: Owner of the epochs, if it is not obvious.
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
    group.add_argument("--batch-size", type=whole_from_1, help="of all ranks together (128)")


def add_batches_per_step(group: argparse._ActionsContainer) -> None:
    """Add --batches-per-step of a training to a group of a parser."""
    group.add_argument(
        "--batches-per-step",
        type=whole_from_1,
        metavar="N",
        help="batches of --problem that make a step, shared out to the ranks (1)",
    )


def add_sgd_options(group: argparse._ActionsContainer, *, momentum: float | None) -> None:
    """Add --momentum, --nesterov and --weight-decay of SGD to a group of a parser.

    Args:
        group: Parser or group for them.
        momentum: Value if none is asked for: 0.9, or None to tell this from 0.9 asked for.
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


def add_weights_options(group: argparse._ActionsContainer) -> None:
    """Add --trust-checkpoint and --checkpoint-key to a parser or a group of it."""
    group.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="unpickle whatever a checkpoint holds, which can run code",
    )
    group.add_argument(
        "--checkpoint-key",
        metavar="KEY",
        help="which weights to take from a checkpoint that holds several, for every checkpoint of "
        "the command: a name in the file such as state_dict_ema or ema.module, or the module that "
        "the names of the tensors begin with (default: raw weights rather than averaged ones; the "
        "log says which)",
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
        "--data-dir", type=file_path, metavar="DIR", help="folder of the data's files"
    )
    group.add_argument(
        "--download", action="store_true", help="fetch missing files from the publisher"
    )


def add_accept_device_option(group: argparse._ArgumentGroup) -> None:
    """Add --accept-device."""
    group.add_argument(
        "--accept-device",
        action="store_true",
        help="go on with a file that another model of GPU or processor, or one with other "
        "instructions, began: results may differ in their last digits",
    )


def add_round_options(group: argparse._ArgumentGroup) -> None:
    """Add the options for the length of rounds, and for ranks that hang."""
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
        "ends with status 75; before the first round, a step may take 10 times as long (default: "
        "300)",
    )
