"""What rank 0 tells of a training run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from landscape_mpi.job.training.run import Training
from landscape_mpi.zoo.dataset import NOUNS, DataSet
from landscape_mpi.zoo.recipe import Epoch


def say_start(training: Training, data: DataSet, device: torch.device, found: str) -> None:
    """Say what is trained, on what and where, and how much of it is done."""
    print(describe(training, data, device))
    recipe, n = training.trainer.recipe, len(data.splits["train"].targets)
    noun = NOUNS[data.sample.kind]
    if recipe.batch_size > n:
        print(
            f"--batch-size {recipe.batch_size}: there are {n:,} training {noun}, so every step "
            f"takes all of them, and an epoch is one step"
        )
    if errors := data.trivial_errors:
        words = ", ".join(f"{name} {error:.2f} %" for name, error in errors.items())
        print(f"answering the commonest class alone has an error of: {words}")
    if n_replaced := training.record["n_labels_replaced"]:
        print(f"{n_replaced:,} training labels are replaced by other classes")
    print(found, end="\n" * bool(found), flush=True)


def describe(training: Training, data: DataSet, device: torch.device) -> str:
    """Return what is trained, on what and where, in one line."""
    model, n_ranks = training.identity["model"], training.setting["ranks"]
    return sizes_and_place(training.network, model, data, device, n_ranks)


def sizes_and_place(
    network: nn.Module, model: str, data: DataSet, device: torch.device, n_ranks: int
) -> str:
    """Return how large network and data are, and where they are, in one line."""
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    sizes = " and ".join(f"{len(s.targets):,} {name}" for name, s in data.splits.items())
    samples = f"{sizes} {NOUNS[data.sample.kind]}"
    where = f"CPU, threads: {torch.get_num_threads()}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    ranks = f"; {n_ranks} ranks" if n_ranks > 1 else ""
    return f"{model}: {n_parameters:,} parameters; {data.name}: {samples}; {where}{ranks}"


def say_epoch(epoch: Epoch, n_epochs: int) -> None:
    """Say what an epoch gave."""
    print(progress_line(epoch, n_epochs), flush=True)


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


def say_end(training: Training, out: Path | None, finished: bool, signal: str | None) -> None:
    """Say what was written, and what to do next."""
    n_done, n_epochs = training.trainer.n_done, training.n_epochs
    if not finished:
        print(
            f"stopped by {signal or 'a signal'} with {n_done} of {n_epochs} epochs done; run the "
            "same command again to go on"
        )
        return
    if training.folder is not None:
        folder = training.folder.path
        print(f"done: {folder}; next: python -m landscape_mpi.plot --weights {folder}")
    if out is not None:
        print(f"wrote {out}")
