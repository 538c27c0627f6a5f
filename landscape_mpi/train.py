r"""Train a network of the zoo, or your own, by the recipe of the paper.

    python -m landscape_mpi.train --model resnet8 --data digits --epochs 20 --run resnet8
    mpirun -n 4 python -m landscape_mpi.train --model resnet56 --data cifar10 \
        --data-dir /scratch/data --run resnet56

The second command fills the folder resnet56 with the weights of every epoch, a log, and the norms
and histograms of the weights. The same command again continues from the last complete epoch, and
the result has the same bits as an uninterrupted run. Several ranks share every batch, with one GPU
each. Source of the recipe: Li et al. 2018, arXiv:1712.09913.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.cluster.launcher import started_by_launcher
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.command import CommandParser, SayAndEnd, request_of, run_alone
from landscape_mpi.engine.listing import say_list
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.request import InputsRequest
from landscape_mpi.errors import EXIT_REQUEUE, InputError
from landscape_mpi.jobs.training.request import TrainingRequest
from landscape_mpi.options import (
    add_augmentation,
    add_batch_size,
    add_batches_per_step,
    add_data_options,
    add_epochs_option,
    add_list_option,
    add_model_option,
    add_problem_option,
    add_reading_options,
    add_sgd_options,
    add_training_place,
    file_path,
    number_above_0,
    number_from_0,
    settle_subject,
    share,
)
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


def main(arguments: Sequence[str]) -> int:
    """Train in this process, as the arguments say; return the exit status."""
    return train(parse(arguments), None)


def train(options: argparse.Namespace, ranks: Ranks | None) -> int:
    """Train as the options say, on ranks or alone. Collective over the ranks.

    Returns:
        Exit status: 0 when all epochs are done, 75 after a stop signal.
    """
    stop = StopRequest()
    if options.run is not None:  # without a folder, nothing could be resumed
        stop.listen(ranks)
    from landscape_mpi.engine.gathering import gather_processes
    from landscape_mpi.jobs.training import run, training_messages
    from landscape_mpi.jobs.training.inputs import gather_subject, set_up

    asked = request_of(TrainingRequest, options)
    with gather_processes(ranks) as processes:
        processes.on_root(lambda: check_outputs(options))
        device = processes.take_device(options.device, options.threads)
        inputs = gather_subject(asked, processes)
        job = set_up(asked, inputs, device, processes)
        with job:
            found = run.begin_or_resume(job, processes)
            if processes.is_root:
                training_messages.say_start(job, inputs, device, found)
            finished = run.train_epochs(
                job,
                processes,
                stopped=lambda: stop.came,
                say=lambda epoch: training_messages.say_epoch(epoch, job.n_epochs),
            )
            if finished and options.out is not None:
                processes.on_root(lambda: job.write_last(options.out))
        if processes.is_root:
            training_messages.say_end(job, options.out, finished, stop.name)
    return 0 if finished else EXIT_REQUEUE


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line, with the defaults of the optimizer."""
    parser = CommandParser.of_command("train", __doc__)
    network = parser.add_argument_group("network and data")
    add_model_option(network, required=False)
    add_problem_option(network, ProblemSource)
    add_list_option(network, SayAndEnd, say_list)
    add_data_options(network, required=False)
    add_reading_options(network)
    _add_label_noise(network)
    _add_recipe(parser)
    _add_optimizer(parser)
    _add_run(parser)
    options = parser.parse_args(arguments)
    settle_subject(parser, options)
    return _with_defaults(options)


def _add_label_noise(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--label-noise",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="fraction of the training labels (0 to 1) that are replaced by another class, chosen "
        "by --seed (default: 0)",
    )


def _add_recipe(parser: CommandParser) -> None:
    recipe = parser.add_argument_group("recipe")
    add_epochs_option(recipe, default=300)
    add_batch_size(recipe)
    add_batches_per_step(recipe)
    recipe.add_argument(
        "--lr",
        type=number_above_0,
        metavar="X",
        help="initial learning rate (default: 0.1 with sgd, 0.001 with adam)",
    )
    recipe.add_argument(
        "--lr-drops",
        type=drops,
        metavar="LIST",
        help="epochs after which the learning rate is divided by 10, as numbers or as fractions "
        "of all epochs, e.g. 150,225 or 0.5,0.75, or none (default: 1/2,3/4,11/12)",
    )
    add_augmentation(recipe)


def _add_optimizer(parser: CommandParser) -> None:
    group = parser.add_argument_group("optimizer")
    group.add_argument(
        "--optimizer",
        choices=["sgd", "adam"],
        default="sgd",
        help="optimizer: sgd or adam (default: sgd)",
    )
    add_sgd_options(group, momentum=None)
    group.add_argument(
        "--l1",
        type=number_from_0,
        default=0.0,
        metavar="X",
        help="add X times the sum of all absolute weights to the minimised function, but not to "
        "the reported loss; weights are filters and matrices, not biases or scales (default: 0)",
    )
    group.add_argument(
        "--l2",
        type=number_from_0,
        default=0.0,
        metavar="X",
        help="add X times the sum of all squared weights to the minimised function, in the same "
        "way as --l1 (default: 0)",
    )


def _add_run(parser: CommandParser) -> None:
    run = parser.add_argument_group("run")
    add_training_place(run)
    run.add_argument(
        "--run",
        type=file_path,
        metavar="DIR",
        help="output folder: epoch_0000.pt (before training), epoch_0001.pt, ...; log.csv; "
        "weights.h5; resume.pt. It is made if it does not exist; an existing one is continued",
    )
    run.add_argument(
        "--save-epochs",
        metavar="WHICH",
        help="epochs whose weights --run keeps: all, every:N or a list such as 0,10,300 (default: "
        "all)",
    )
    run.add_argument(
        "--fresh", action="store_true", help="start over instead of continuing what --run holds"
    )
    run.add_argument(
        "--out", type=file_path, metavar="FILE", help="checkpoint file for the last weights"
    )


def drops(text: str) -> tuple[Fraction, ...]:
    """Parse epochs or fractions of all epochs; empty for ``none``.

    Raises:
        ArgumentTypeError: If the text is not a list of these.
    """
    words = [] if text == "none" else text.split(",")
    try:
        values = tuple(Fraction(word) for word in words)
    except (ValueError, ZeroDivisionError):
        values = (Fraction(0),)
    if any(value <= 0 or (value >= 1 and value.denominator > 1) for value in values):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither none, nor epochs such as 150,225, nor fractions of all epochs "
            "such as 0.5,0.75 or 1/2."
        )
    return values


def _with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    """Fill in options that depend on others, and refuse those that do not apply.

    Raises:
        InputError: If options do not go together.
    """
    if options.run is None and options.out is None:
        raise InputError(
            "neither --run nor --out is given, so the weights would be lost. Pass --run DIR for a "
            "folder of all epochs, --out FILE for the last weights, or both."
        )
    if options.run is None and (options.fresh or options.save_epochs is not None):
        asked = "--fresh" if options.fresh else f"--save-epochs {options.save_epochs}"
        raise InputError(f"{asked} applies only to the folder of --run. Pass --run DIR too.")
    if options.optimizer == "adam" and options.momentum is not None:
        raise InputError(
            f"--momentum {options.momentum:g} applies only to --optimizer sgd; adam has its own "
            "momentum. Leave it out."
        )
    if options.optimizer == "adam" and options.nesterov is not None:
        raise InputError(
            "--nesterov applies only to --optimizer sgd; adam has no such step. Leave it out."
        )
    options.save_epochs = options.save_epochs or "all"
    if options.lr is None:
        options.lr = {"sgd": 0.1, "adam": 0.001}[options.optimizer]
    if options.momentum is None:
        options.momentum = 0.9
    if options.nesterov is None:
        options.nesterov = options.momentum > 0
    return options


def check_outputs(options: argparse.Namespace) -> None:
    """Check the output files before hours of training."""
    from landscape_mpi.jobs.training.run_folder import epochs_to_save

    epochs_to_save(options.save_epochs, options.epochs)
    if options.out is None:
        return
    if options.run is not None and options.out.parent == options.run and not options.run.exists():
        return  # the folder is made before anything is written into it
    files = request_of(InputsRequest, options).files
    check_output(options.out, inputs=files)
    check_is_checkpoint(options.out)


def check_is_checkpoint(path: Path) -> None:
    """Check that a file to be replaced is a checkpoint.

    Raises:
        InputError: If it is another kind of file.
    """
    if path.exists() and not zipfile.is_zipfile(path):
        raise InputError(
            f"--out: {path} already exists and is not a checkpoint, so it is not replaced. Pass a "
            "new name."
        )


if __name__ == "__main__":
    if started_by_launcher():
        run_on_ranks(train, parse)
    run_alone(main)
