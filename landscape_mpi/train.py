"""Train a network of the zoo, or your own, by the recipe of the paper.

python -m landscape_mpi.train --model resnet8 --data digits --epochs 20 --out resnet8.pt
"""

from __future__ import annotations

import argparse
import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError
from landscape_mpi.options import (
    add_data_options,
    add_model_option,
    file_path,
    files_read,
    number_above_0,
    number_from_0,
    seed_number,
    whole_from_1,
)
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    import torch

    from landscape_mpi.zoo.dataset import DataSet
    from landscape_mpi.zoo.recipe import Epoch

CROPPED = ("cifar10", "cifar100")  # data whose images are photographs


def main(arguments: Sequence[str]) -> int:
    """Parse, check, train, write; return the exit status."""
    options = make_parser().parse_args(arguments)
    check_output(options.out, inputs=files_read(options))
    check_is_checkpoint(options.out)

    import torch

    from landscape_mpi.zoo.checkpoint import write_checkpoint
    from landscape_mpi.zoo.networks import build_network, check_network
    from landscape_mpi.zoo.recipe import Recipe
    from landscape_mpi.zoo.trainer import train_network

    device = prepare_device(options.device, options.threads)
    data = read_data(options)
    torch.manual_seed(options.seed)
    network = build_network(options.model, sample=data.sample)
    check_network(network, name=options.model, data=data)
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        weight_decay=options.weight_decay,
        augment=augments(options.augment, data),
        seed=options.seed,
    )
    print(describe(options.model, network, data, device), flush=True)
    epochs = []
    for epoch in train_network(network, data, recipe, device=device):
        print(progress_line(epoch, options.epochs), flush=True)
        epochs.append(epoch)
    write_checkpoint(options.out, network, record(options, data, device, epochs))
    print(f"wrote {options.out}")
    return 0


def make_parser() -> CommandParser:
    """Return the parser of this command."""
    parser = CommandParser(prog="python -m landscape_mpi.train", description=__doc__)
    network = parser.add_argument_group("network and data")
    add_model_option(network)
    add_data_options(network)
    _add_recipe(parser)
    run = parser.add_argument_group("run")
    run.add_argument("--seed", type=seed_number, default=0, help="of weights, order and crops (0)")
    run.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(auto)")
    run.add_argument("--threads", type=whole_from_1, help="of the CPU (all cores)")
    run.add_argument("--out", type=file_path, required=True, help="checkpoint to write")
    return parser


def _add_recipe(parser: CommandParser) -> None:
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--epochs", type=whole_from_1, default=300, help="(300)")
    recipe.add_argument("--batch-size", type=whole_from_1, default=128, help="(128)")
    recipe.add_argument(
        "--lr",
        type=number_above_0,
        default=0.1,
        help="learning rate, divided by 10 at 1/2, 3/4 and 11/12 of the epochs (0.1)",
    )
    recipe.add_argument("--weight-decay", type=number_from_0, default=5e-4, help="(0.0005)")
    recipe.add_argument(
        "--augment",
        choices=["auto", "none", "crop-flip"],
        default="auto",
        help="auto: crop-flip for cifar10 and cifar100, none for other data (auto)",
    )


def check_is_checkpoint(path: Path) -> None:
    """Check that a file to be replaced is a checkpoint, before hours of training.

    Raises:
        InputError: If it is something else.
    """
    if path.exists() and not zipfile.is_zipfile(path):
        raise InputError(
            f"--out: {path} is there and is no checkpoint, so it is left alone. Pass a new name."
        )


def prepare_device(name: str, threads: int | None) -> torch.device:
    """Return the device of --device, set up so that a seed gives one result.

    Raises:
        InputError: If cuda is asked for and torch finds none.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise InputError(
            f"--device cuda: torch {torch.__version__} finds no CUDA device here. Run where there "
            "is one, or pass --device cpu."
        )
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def read_data(options: argparse.Namespace) -> DataSet:
    """Read what --data names."""
    from landscape_mpi.zoo.datasets import load_dataset

    return load_dataset(
        options.data,
        data_dir=options.data_dir,
        download=options.download,
        mean=options.mean,
        std=options.std,
    )


def augments(choice: str, data: DataSet) -> bool:
    """Return whether images are cropped and flipped: auto does so where classes allow it.

    Raises:
        InputError: If that is asked for of what are no images.
    """
    if choice == "crop-flip" and data.sample.kind != "image":
        raise InputError(
            f"--augment crop-flip: is for images, and --data {data.name} gives {data.sample}. "
            "Leave it out."
        )
    return choice == "crop-flip" or (choice == "auto" and data.name in CROPPED)


def describe(model: str, network: torch.nn.Module, data: DataSet, device: torch.device) -> str:
    """Return what is trained, on what and where, in one line."""
    import torch

    from landscape_mpi.zoo.dataset import NOUNS

    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    sizes = " and ".join(f"{len(s.targets):,} {name}" for name, s in data.splits.items())
    samples = f"{sizes} {NOUNS[data.sample.kind]}"
    where = f"CPU, threads: {torch.get_num_threads()}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return f"{model}: {n_parameters:,} parameters; {data.name}: {samples}; {where}"


def progress_line(epoch: Epoch, n_epochs: int) -> str:
    """Return what an epoch gave, in one line."""
    parts = [
        f"epoch {epoch.epoch:{len(str(n_epochs))}}/{n_epochs}",
        f"lr {epoch.lr:g}",
        f"train loss {epoch.train_loss:.4f} error {epoch.train_error:.2f} %",
    ]
    if epoch.test_loss is not None:
        parts.append(f"test loss {epoch.test_loss:.4f} error {epoch.test_error:.2f} %")
    return "  ".join([*parts, f"{epoch.seconds:.1f} s"])


def record(
    options: argparse.Namespace, data: DataSet, device: torch.device, epochs: Sequence[Epoch]
) -> dict[str, Any]:
    """Return what the checkpoint says about its making, in plain types."""
    used = {
        "data_dir": str(options.data_dir) if options.data_dir else None,
        "out": str(options.out),
        "mean": list(data.mean),
        "std": list(data.std),
        "augment": "crop-flip" if augments(options.augment, data) else "none",
        "device": device.type,
    }
    return {
        "model": options.model,
        "data": options.data,
        "data_sha256": data.sha256,
        "epoch": options.epochs,
        "seed": options.seed,
        "options": vars(options) | used,
        "history": [dataclasses.asdict(epoch) for epoch in epochs],
    }


if __name__ == "__main__":
    run_alone(main)
