"""Print rank 0's messages about a training run."""

from __future__ import annotations

from pathlib import Path

import torch

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.engine.stopped import say_stopped
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.training.inputs import Inputs, ProblemInputs, TrainingInputs
from landscape_mpi.jobs.training.run import Training
from landscape_mpi.zoo.dataset import NOUNS
from landscape_mpi.zoo.recipe import Epoch


def say_start(training: Training, inputs: TrainingInputs, device: Device, found: str) -> None:
    """Print what is trained on which data and device, and how much is done."""
    model, n_ranks = training.identity["model"], training.setting["ranks"]
    print(sizes_and_place(inputs, model, device, n_ranks))
    if isinstance(inputs, Inputs):
        _say_samples(inputs)
    print(found, end="\n" * bool(found), flush=True)


def _say_samples(inputs: Inputs) -> None:
    data, size, n = inputs.data, inputs.recipe.batch_size, inputs.n_training
    if size > n:
        print(
            f"--batch-size {size}: there are {n:,} training {NOUNS[data.sample.kind]}, so every "
            "step uses all of them, and an epoch is one step"
        )
    if errors := data.trivial_errors:
        words = ", ".join(f"{name} {error:.2f} %" for name, error in errors.items())
        print(f"always answering the commonest class would give an error of: {words}")
    if inputs.n_replaced:
        print(f"{inputs.n_replaced:,} training labels are replaced by other classes")


def sizes_and_place(inputs: TrainingInputs, model: str, device: Device, n_ranks: int) -> str:
    """Return sizes and place of network and data in one line."""
    n_parameters = sum(parameter.numel() for parameter in inputs.network.parameters())
    where = place_of(device, n_ranks)
    if isinstance(inputs, ProblemInputs):
        training = inputs.training
        sizes = " and ".join(f"{n:,} {name}" for name, n in training.n_batches.items())
        return (
            f"{model} of {training.source.name}: {n_parameters:,} parameters; {sizes} batches, "
            f"{inputs.recipe.batch_size} a step; {where}"
        )
    data = inputs.data
    sizes = " and ".join(f"{len(s.targets):,} {name}" for name, s in data.splits.items())
    samples = f"{sizes} {NOUNS[data.sample.kind]}"
    if data.ignored is not None:
        samples += f" (targets of {data.ignored} do not count)"
    return f"{model}: {n_parameters:,} parameters; {data.name}: {samples}; {where}"


def place_of(device: Device, n_ranks: int) -> str:
    """Return the device and the processes of a training run in words."""
    threads = f"CPU, threads: {torch.get_num_threads()}"
    where = threads if device.is_host else device.describe()
    return where + (f"; {n_ranks} ranks" if n_ranks > 1 else "")


def say_epoch(epoch: Epoch, n_epochs: int) -> None:
    """Print the results of an epoch."""
    print(progress_line(epoch, n_epochs), flush=True)


def progress_line(epoch: Epoch, n_epochs: int) -> str:
    """Return the results of an epoch in one line."""
    parts = [
        f"epoch {epoch.epoch:{len(str(n_epochs))}}/{n_epochs}",
        f"lr {epoch.lr:g}",
        f"train {_loss_and_error(epoch.train_loss, epoch.train_error)}",
    ]
    if epoch.test_loss is not None:
        parts.append(f"test {_loss_and_error(epoch.test_loss, epoch.test_error)}")
    return "  ".join([*parts, f"{epoch.seconds:.1f} s"])


def _loss_and_error(loss: float, error: float | None) -> str:
    return f"loss {loss:.4f}" + ("" if error is None else f" error {error:.2f} %")


def say_end(training: Training, out: Path | None, finished: bool, signal: str | None) -> None:
    """Print the written files and the next step."""
    if not finished:
        say_stopped(signal, training.trainer.n_done, training.n_epochs, "epochs")
        return
    if training.folder is not None:
        folder = training.folder.path
        print(f"done: {folder}; next: {typed('plot')} --weights {folder}")
    if out is not None:
        print(f"wrote {out}")
