r"""Make a fast geometric ensemble: many good networks along one short training.

    python -m landscape_mpi.ensemble --model resnet20 --data cifar10 --data-dir /scratch/data \
        --start RUN/epoch_0160.pt --epochs 40 --cycle 4 --lr 0.05 --lr-low 0.0005 \
        --single RUN/epoch_0200.pt --independent A.pt B.pt C.pt --run fge
    python -m landscape_mpi.plot --ensemble fge

The first command continues a training run from a checkpoint. The learning rate falls and rises in
cycles, and the command saves the weights at each minimum of the learning rate. These networks are
the members. At the end, the command averages their predictions, and compares the result with one
network, with the average of the members' weights, and with independently trained networks. The same
command again continues from the last complete epoch; if you name other networks for the comparison,
it compares again. With --problem instead of --model and --data, it compares the problem's loss and
metrics.
Several ranks share each batch of the training, and divide the networks of the comparison among
them. Source: Garipov et al. 2018, arXiv:1802.10026, section 4. Source of the average of weights:
Izmailov et al. 2018, arXiv:1803.05407.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from landscape_mpi.cluster.guard import run_on_ranks
from landscape_mpi.cluster.launcher import started_by_launcher
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.command import CommandParser, SayAndEnd, request_of, run_alone
from landscape_mpi.engine.listing import say_list
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.errors import EXIT_REQUEUE, InputError
from landscape_mpi.jobs.ensemble.request import EnsembleRequest
from landscape_mpi.options import (
    MOST_EPOCHS,
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
    add_weights_options,
    file_path,
    number_above_0,
    settle_subject,
    whole_up_to,
)

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks


MOST_MEASURES = 1000  # epochs per cycle


def main(arguments: Sequence[str]) -> int:
    """Make an ensemble in this process, as the arguments say; return the exit status."""
    return ensemble(parse(arguments), None)


def ensemble(options: argparse.Namespace, ranks: Ranks | None) -> int:
    """Make the ensemble that the options describe, on ranks or alone. Collective over the ranks.

    Returns:
        Exit status: 0 at the end, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)
    from landscape_mpi.engine.gathering import gather_processes
    from landscape_mpi.engine.stopped import say_stopped
    from landscape_mpi.jobs.ensemble import ensemble_messages, run
    from landscape_mpi.jobs.ensemble.final_comparison import compare_all
    from landscape_mpi.jobs.ensemble.inputs import read_solutions, set_up
    from landscape_mpi.jobs.training.inputs import gather_subject
    from landscape_mpi.jobs.training.run import train_epochs

    asked = request_of(EnsembleRequest, options)
    with gather_processes(ranks) as processes:
        device = processes.take_device(options.device, options.threads)
        inputs = gather_subject(asked.training, processes, from_start=True)
        solutions = read_solutions(asked, inputs, processes)
        with set_up(asked, inputs, solutions, device, processes) as cycling:
            found = run.begin_or_resume(cycling, processes)
            if processes.is_root:
                ensemble_messages.say_start(cycling, solutions, inputs, device, found)
            finished = train_epochs(
                cycling,
                processes,
                stopped=lambda: stop.came,
                say=lambda epoch: ensemble_messages.say_epoch(epoch, cycling),
                on_batch=cycling.after_step,
            )
            if finished:
                compare_all(cycling, solutions, inputs, device, processes)
            elif processes.is_root:
                say_stopped(stop.name, cycling.trainer.n_done, cycling.n_epochs, "epochs")
    return 0 if finished else EXIT_REQUEUE


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line, with the fixed ones of its recipe.

    Raises:
        InputError: If they do not go together.
    """
    parser = CommandParser.of_command("ensemble", __doc__)
    network = parser.add_argument_group("network and data")
    add_model_option(network, required=False)
    add_problem_option(network, ProblemSource)
    add_list_option(network, SayAndEnd, say_list)
    add_data_options(network, required=False)
    add_reading_options(network)
    _add_cycles(parser)
    _add_compared(parser)
    _add_run(parser)
    fixed = {"optimizer": "sgd", "lr_drops": (), "l1": 0.0, "l2": 0.0, "label_noise": 0.0}
    fixed |= {"out": None}
    options = parser.parse_args(arguments, argparse.Namespace(**fixed))
    settle_subject(parser, options)
    check(options)
    return options


def _add_cycles(parser: CommandParser) -> None:
    cycles = parser.add_argument_group("cycles")
    cycles.add_argument(
        "--start",
        type=file_path,
        required=True,
        metavar="FILE",
        help="checkpoint to continue from, well trained but not to the end: for example at 80 %% "
        "of its epochs",
    )
    add_epochs_option(cycles, default=20, what="epochs of all cycles together")
    cycles.add_argument(
        "--cycle",
        type=epochs_above_0,
        default=Fraction(4),
        metavar="EPOCHS",
        help="epochs per cycle, e.g. 4 or 0.5; a member is saved in the middle of each cycle "
        "(default: 4)",
    )
    cycles.add_argument(
        "--lr",
        type=number_above_0,
        default=0.05,
        metavar="X",
        help="largest learning rate, at the ends of a cycle (default: 0.05)",
    )
    cycles.add_argument(
        "--lr-low",
        type=number_above_0,
        default=0.0005,
        metavar="X",
        help="smallest learning rate, in the middle of a cycle (default: 0.0005)",
    )
    add_batch_size(cycles)
    add_batches_per_step(cycles)
    add_sgd_options(cycles, momentum=0.9)
    add_augmentation(cycles)


def _add_compared(parser: CommandParser) -> None:
    compared = parser.add_argument_group("networks to compare with")
    compared.add_argument(
        "--single",
        type=file_path,
        metavar="FILE",
        help="checkpoint of one network that was trained for as many epochs as --start and the "
        "cycles together",
    )
    compared.add_argument(
        "--independent",
        type=file_path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="checkpoints of independently trained networks; their predictions are averaged in "
        "this order",
    )
    add_weights_options(compared)


def _add_run(parser: CommandParser) -> None:
    run = parser.add_argument_group("run")
    add_training_place(run)
    run.add_argument(
        "--run",
        type=file_path,
        required=True,
        metavar="DIR",
        help="output folder: member_001.pt, member_002.pt, ...; swa.pt, the average of their "
        "weights; comparison.csv; ensemble.h5; resume.pt. It is made if it does not exist; an "
        "existing one is continued",
    )
    run.add_argument(
        "--measures",
        type=even_number,
        default=4,
        metavar="N",
        help="how often in each cycle the test error (or the test loss of a problem) and the "
        "distance from the start are measured: an even number (default: 4)",
    )
    run.add_argument(
        "--fresh", action="store_true", help="start over instead of continuing what --run holds"
    )


def epochs_above_0(text: str) -> Fraction:
    """Parse a number of epochs above 0 and up to MOST_EPOCHS, as an exact fraction.

    Raises:
        ArgumentTypeError: If the text is not such a number.
    """
    if number_above_0(text) > MOST_EPOCHS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MOST_EPOCHS:,} epochs.")
    return Fraction(text)


def even_number(text: str) -> int:
    """Parse an even number above 0 and up to MOST_MEASURES.

    Raises:
        ArgumentTypeError: If the text is not such a number.
    """
    if whole_up_to(MOST_MEASURES)(text) % 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is odd. Pass an even number: the middle of a cycle is always measured."
        )
    return int(text)


def check(options: argparse.Namespace) -> None:
    """Check that options go together, and fill in those that depend on others.

    Raises:
        InputError: If they do not go together.
    """
    if options.lr_low >= options.lr:
        raise InputError(
            f"--lr-low {options.lr_low:g} is not below --lr {options.lr:g}, but each cycle goes "
            "down from --lr to --lr-low and back. Pass a smaller --lr-low."
        )
    if options.nesterov is None:
        options.nesterov = options.momentum > 0


if __name__ == "__main__":
    if started_by_launcher():
        run_on_ranks(ensemble, parse)
    run_alone(main)
