"""What a training run is begun with: data, recipe and network of the options."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.job.crew import Crew
from landscape_mpi.job.inputs import read_dataset
from landscape_mpi.job.job_folder import open_folder
from landscape_mpi.job.provenance import made_by
from landscape_mpi.job.training.run import Training
from landscape_mpi.job.training.run_folder import RunFolder
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.label_noise import with_noise
from landscape_mpi.zoo.networks import build_network, check_network
from landscape_mpi.zoo.recipe import DROPS, Recipe, check_recipe
from landscape_mpi.zoo.trainer import Trainer

CROPPED = ("cifar10", "cifar100")  # data whose images are photographs


@dataclass(frozen=True)
class Inputs:
    """What every rank begins with; its network has the same weights on all."""

    data: DataSet
    n_replaced: int  # training labels
    recipe: Recipe
    network: nn.Module


def gather_inputs(options: argparse.Namespace, crew: Crew) -> Inputs:
    """Read the data on rank 0 and build the network on every rank. Collective over the crew."""
    read = crew.on_root(lambda: read_data(options))
    n_replaced = crew.share(read[1] if read else None)
    data = crew.share_data(read[0] if read else None)
    recipe = crew.agree(lambda: make_recipe(options, data))
    network = crew.agree(lambda: make_network(options, data))
    return Inputs(data, n_replaced, recipe, network)


def make_network(options: argparse.Namespace, data: DataSet) -> nn.Module:
    """Return the network of --model with the weights that --seed gives it, or its own."""
    torch.manual_seed(options.seed)
    network = build_network(options.model, sample=data.sample)
    check_network(network, name=options.model, data=data)
    return network


def set_up(
    options: argparse.Namespace, inputs: Inputs, device: torch.device, crew: Crew
) -> Training:
    """Return the run, its folder made and locked. Collective over the crew."""
    make_deterministic(device)
    identity = identity_of(options, inputs)
    opened = None
    if options.run is not None:
        opened = crew.on_root(
            lambda: open_folder(RunFolder, options.run, identity, fresh=options.fresh)
        )
    left = crew.share(opened[1] if opened else None)
    team = crew.form_team(device)
    data, recipe = inputs.data, inputs.recipe
    trainer = crew.agree(lambda: Trainer(inputs.network, data, recipe, device=device, team=team))
    setting = {"device": device.type, "threads": torch.get_num_threads(), "ranks": crew.size}
    return Training(
        trainer=trainer,
        identity=identity,
        setting=setting,
        record=record_of(options, inputs, setting) | made_here("landscape_mpi.train", crew),
        folder=opened[0] if opened else None,
        left=left,
        save_epochs=options.save_epochs,
    )


def make_deterministic(device: torch.device) -> None:
    """Choose algorithms by which a seed gives one result."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if device.type == "cuda":
        # Operations that have no such algorithm say so in a warning.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def identity_of(options: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    """Return what makes two runs the same, by the name of the option, in plain types."""
    recipe, data = inputs.recipe, inputs.data
    return {
        "model": options.model,
        "data": options.data,
        "data_sha256": data.sha256,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "lr": recipe.lr,
        "lr_drops": list(recipe.drop_epochs),
        "momentum": recipe.momentum,
        "nesterov": recipe.nesterov,
        "weight_decay": recipe.weight_decay,
        "l1": recipe.l1,
        "l2": recipe.l2,
        "label_noise": recipe.label_noise,
        "augment": "crop-flip" if recipe.augment else "none",
        "precision": recipe.precision,
        "mean": list(data.mean),
        "std": list(data.std),
    }


def record_of(
    options: argparse.Namespace, inputs: Inputs, setting: dict[str, Any]
) -> dict[str, Any]:
    """Return what a checkpoint says about its making, in plain types."""
    identity = identity_of(options, inputs)
    paths = {
        name: str(value) if (value := getattr(options, name)) else None
        for name in ("data_dir", "run", "out")
    }
    return {
        "model": options.model,
        "data": options.data,
        "data_sha256": inputs.data.sha256,
        "seed": options.seed,
        "n_labels_replaced": inputs.n_replaced,
        "options": vars(options) | identity | paths | setting,
    }


def made_here(module: str, crew: Crew) -> dict[str, dict[str, str]]:
    """Return who makes the files of a run, and where, on rank 0, which writes them. Local."""
    return {"provenance": made_by(module)} if crew.is_root else {}


def read_data(options: argparse.Namespace) -> tuple[DataSet, int]:
    """Return what --data names, with label noise, and how many labels that replaced."""
    data = read_dataset(options)
    return with_noise(data, share=options.label_noise, seed=options.seed)


def make_recipe(options: argparse.Namespace, data: DataSet) -> Recipe:
    """Return the recipe of the options."""
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        weight_decay=options.weight_decay,
        augment=augments(options.augment, data),
        seed=options.seed,
        optimizer=options.optimizer,
        momentum=options.momentum,
        nesterov=options.nesterov,
        lr_drops=DROPS if options.lr_drops is None else options.lr_drops,
        l1=options.l1,
        l2=options.l2,
        label_noise=options.label_noise,
        precision=options.precision,
    )
    check_recipe(recipe)
    return recipe


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
