"""Gather the inputs of a training run: data, recipe and network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.devices.repeatability import compute_repeatably
from landscape_mpi.engine.inputs import read_dataset
from landscape_mpi.engine.job_folder import open_folder
from landscape_mpi.engine.processes import Processes
from landscape_mpi.engine.provenance import made_by
from landscape_mpi.engine.request import flat
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.training.problem_training import ProblemTraining, gather_problem
from landscape_mpi.jobs.training.request import RecipeRequest, TrainingRequest
from landscape_mpi.jobs.training.run import Training
from landscape_mpi.jobs.training.run_folder import RunFolder
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.label_noise import with_noise
from landscape_mpi.zoo.loaders import find_data_set
from landscape_mpi.zoo.networks import build_network, check_network
from landscape_mpi.zoo.own_network import seed_generators
from landscape_mpi.zoo.recipe import BATCH_SIZE, DROPS, Recipe, check_recipe
from landscape_mpi.zoo.sample_task import SampleTask
from landscape_mpi.zoo.trainer import Trainer
from landscape_mpi.zoo.training_task import TrainingTask


@dataclass(frozen=True)
class Inputs:
    """Hold the inputs of every rank; the network has the same weights on all ranks."""

    data: DataSet
    n_replaced: int  # number of training labels
    recipe: Recipe
    network: nn.Module
    metrics: ClassVar[None] = None  # metrics of a problem

    @property
    def n_training(self) -> int:
        """Return the number of samples in an epoch."""
        return len(self.data.splits["train"].targets)

    def task(self, device: Device, processes: Processes, *, test: bool = True) -> TrainingTask:
        """Return the training task on the device.

        Args:
            device: Device of the training.
            processes: Processes that train.
            test: Whether to evaluate the test split as well, if there is one.
        """
        splits = self.data.splits if test else {"train": self.data.splits["train"]}
        return SampleTask(replace(self.data, splits=splits), self.recipe, device=device.place)

    def identity(self, asked: TrainingRequest) -> dict[str, Any]:
        """Return the values by option, in plain types, that equal runs must share."""
        return self.subject(asked.network.model) | _plain(self.recipe) | self.reading

    def subject(self, model: str) -> dict[str, Any]:
        """Return network and data by the names of their options, in plain types."""
        return {"model": model, "data": self.data.name, "data_sha256": self.data.sha256}

    @property
    def reading(self) -> dict[str, Any]:
        """Return how samples, targets and outputs are read, by the names of the options."""
        data, ignored = self.data, self.data.ignored
        return {
            "mean": list(data.mean),
            "std": list(data.std),
            "class_axis": data.class_axis,
            "ignore_index": "none" if ignored is None else ignored,
        }


def gather_inputs(asked: TrainingRequest, processes: Processes) -> Inputs:
    """Read the data on rank 0, build the network on every rank. Collective over the processes."""
    read = processes.on_root(lambda: read_data(asked))
    n_replaced = processes.share(read[1] if read else None)
    data = processes.share_data(read[0] if read else None)
    recipe = processes.agree(lambda: make_recipe(asked.recipe, data))
    network, class_axis = processes.agree(lambda: make_network(asked, data))
    return Inputs(replace(data, class_axis=class_axis), n_replaced, recipe, network)


@dataclass(frozen=True)
class ProblemInputs:
    """Hold the inputs of every rank if a problem is trained."""

    training: ProblemTraining
    recipe: Recipe
    n_replaced: ClassVar[int] = 0  # number of training labels

    @property
    def network(self) -> nn.Module:
        """Return the network, with the same weights on all ranks."""
        return self.training.network

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return tuple(self.training.problem.metrics)

    @property
    def n_training(self) -> int:
        """Return the number of batches in an epoch."""
        return self.training.n_batches["train"]

    def task(self, device: Device, processes: Processes, *, test: bool = True) -> TrainingTask:
        """Return the training task on the device; see Inputs."""
        n, n_sharing = self.recipe.batch_size, processes.size
        return self.training.task(device, at_a_time=n, n_sharing=n_sharing, test=test)

    def identity(self, asked: TrainingRequest) -> dict[str, Any]:
        """Return the values by option, in plain types, that equal runs must share."""
        unused = ("batch_size", "label_noise", "augment", "precision")
        known = {name: value for name, value in _plain(self.recipe).items() if name not in unused}
        return self.training.identity | {"batches_per_step": self.recipe.batch_size} | known


TrainingInputs = Inputs | ProblemInputs


def gather_subject(
    asked: TrainingRequest, processes: Processes, *, from_start: bool = False
) -> TrainingInputs:
    """Read the network and the data of a training run. Collective over the processes.

    Args:
        asked: Request of the training.
        processes: Processes that train.
        from_start: Whether the weights come later from a checkpoint, so that a problem draws none.
    """
    if asked.problem is None:
        processes.on_root(lambda: refuse_batches(asked.recipe.batches_per_step))
        return gather_inputs(asked, processes)
    recipe = asked.recipe
    training = gather_problem(
        asked.inputs,
        processes,
        seed=None if from_start else recipe.seed,
        batch_size=recipe.batch_size,
        augment=recipe.augment == "crop-flip",
        label_noise=recipe.label_noise,
        precision=recipe.precision == "bf16",
    )
    made = processes.agree(lambda: _recipe_of(recipe, recipe.batches_per_step or 1, augment=False))
    return ProblemInputs(training, made)


def refuse_batches(batches_per_step: int | None) -> None:
    """Refuse --batches-per-step without a problem.

    Raises:
        InputError: If it is given.
    """
    if batches_per_step is not None:
        raise InputError(
            f"--batches-per-step {batches_per_step}: counts the batches of a --problem. Pass "
            "--batch-size with the number of samples per step."
        )


def make_network(asked: TrainingRequest, data: DataSet) -> tuple[nn.Module, int]:
    """Return the network of --model, and the axis of the classes in its outputs.

    Its weights come from --seed, or are its own.
    """
    seed_generators(asked.recipe.seed)
    network = build_network(asked.network.model, sample=data.sample)
    model, axis = asked.network.model, asked.loss.class_axis
    return network, check_network(network, name=model, data=data, class_axis=axis)


def set_up(
    asked: TrainingRequest,
    inputs: TrainingInputs,
    device: Device,
    processes: Processes,
) -> Training:
    """Return the run; make and lock its folder. Collective over the processes."""
    make_deterministic(device)
    identity = inputs.identity(asked)
    opened, folder = None, asked.run
    if folder is not None:
        opened = processes.on_root(
            lambda: open_folder(RunFolder, folder, identity, fresh=asked.fresh)
        )
    left = processes.share(opened[1] if opened else None)
    group = processes.start_process_group(device)

    def make_trainer() -> Trainer:
        task = inputs.task(device, processes)
        return Trainer(inputs.network, task, inputs.recipe, device=device.place, group=group)

    trainer = processes.agree(make_trainer)
    setting = {"device": device.kind, "threads": torch.get_num_threads(), "ranks": processes.size}
    return Training(
        trainer=trainer,
        identity=identity,
        setting=setting,
        record=record_of(asked, inputs, setting) | made_here("landscape_mpi.train", processes),
        folder=opened[0] if opened else None,
        left=left,
        save_epochs=asked.save_epochs,
    )


def make_deterministic(device: Device) -> None:
    """Choose algorithms that give one result for one seed."""
    compute_repeatably()
    if not device.is_host:
        # Operations without such an algorithm print a warning.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe by option, in plain types."""
    return {
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
    }


def record_of(
    asked: TrainingRequest, inputs: TrainingInputs, setting: dict[str, Any]
) -> dict[str, Any]:
    """Return a checkpoint's record of its origin, in plain types."""
    identity = inputs.identity(asked)
    return {
        **{name: identity[name] for name in ("model", "data", "data_sha256", "seed")},
        "n_labels_replaced": inputs.n_replaced,
        "options": flat(asked) | identity | setting,
    }


def made_here(module: str, processes: Processes) -> dict[str, dict[str, str]]:
    """Return the user, machine and versions for the files, on rank 0, which writes them. Local."""
    return {"provenance": made_by(module)} if processes.is_root else {}


def read_data(asked: TrainingRequest) -> tuple[DataSet, int]:
    """Return the data of --data with label noise, and the number of replaced labels."""
    data = read_dataset(asked.data, ignore_index=asked.loss.ignore_index)
    return with_noise(data, share=asked.recipe.label_noise, seed=asked.recipe.seed)


def make_recipe(asked: RecipeRequest, data: DataSet) -> Recipe:
    """Return the requested recipe."""
    size = asked.batch_size or BATCH_SIZE
    return _recipe_of(asked, size, augment=augments(asked.augment, data))


def _recipe_of(asked: RecipeRequest, batch_size: int, *, augment: bool) -> Recipe:
    recipe = Recipe(
        epochs=asked.epochs,
        batch_size=batch_size,
        lr=asked.lr,
        weight_decay=asked.weight_decay,
        augment=augment,
        seed=asked.seed,
        optimizer=asked.optimizer,
        momentum=asked.momentum,
        nesterov=asked.nesterov,
        lr_drops=DROPS if asked.lr_drops is None else asked.lr_drops,
        l1=asked.l1,
        l2=asked.l2,
        label_noise=asked.label_noise,
        precision=asked.precision,
    )
    check_recipe(recipe)
    return recipe


def augments(choice: str, data: DataSet) -> bool:
    """Return whether images are cropped and flipped; auto does this if the classes allow it.

    Raises:
        InputError: If it is requested, but the inputs are not images.
    """
    if choice == "crop-flip" and data.sample.kind != "image":
        raise InputError(
            f"--augment crop-flip applies to images, but --data {data.name} gives {data.sample}. "
            "Leave it out."
        )
    if choice == "auto":
        return find_data_set(data.name).is_photographic
    return choice == "crop-flip"
