"""Train from the first epoch, or from where a run stopped, to the last."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from landscape_mpi.engine.processes import Processes
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.training.run_folder import (
    History,
    RunFolder,
    checkpoint_name,
    epochs_to_save,
    history_of,
)
from landscape_mpi.zoo.checkpoint import write_checkpoint
from landscape_mpi.zoo.recipe import Epoch
from landscape_mpi.zoo.trainer import Trainer
from landscape_mpi.zoo.weights import measure_weights


class EpochByEpoch(ABC):
    """Define a run that is trained epoch by epoch."""

    trainer: Trainer

    @property
    def n_epochs(self) -> int:
        """Return the number of epochs of the whole run."""
        return self.trainer.recipe.epochs

    @abstractmethod
    def after_epoch(self, epoch: Epoch) -> None:
        """Write the results of an epoch. Local; call it on rank 0."""


@dataclass
class Training(EpochByEpoch):
    """Hold the parts of a run; folder is None without --run and on ranks that do not write."""

    trainer: Trainer
    identity: dict[str, Any]  # options that must agree for two runs to be the same
    setting: dict[str, Any]  # further causes of the last bits: device, threads, ranks
    record: dict[str, Any]  # record in every checkpoint, besides epoch and lr
    folder: RunFolder | None
    left: dict[str, Any] | None  # left by an earlier run, to continue from
    save_epochs: str
    history: History = field(default_factory=lambda: History([], {}))

    @property
    def network(self) -> nn.Module:
        """Return the network."""
        return self.trainer.network

    def after_epoch(self, epoch: Epoch) -> None:
        """Write the folder's files after an epoch."""
        self.history.epochs.append(epoch)
        self.keep(epoch.epoch, epoch.lr)

    def keep(self, epoch: int, lr: float) -> None:
        """Write the folder's files with the weights after a number of epochs."""
        if self.folder is None:
            return
        self.history.add_measures(epoch, lr, measure_weights(self.network))
        if epoch in epochs_to_save(self.save_epochs, self.n_epochs):
            path = self.folder.path / checkpoint_name(epoch)
            write_checkpoint(path, self.network, self.record | {"epoch": epoch, "lr": lr})
        names = tuple(name for name, _ in self.network.named_parameters())
        self.folder.write(
            self.trainer.state(),
            self.history,
            identity=self.identity,
            setting=self.setting,
            names=names,
            origin=self.record.get("provenance", {}),
        )

    def write_last(self, out: Path) -> None:
        """Write the last weights with the history of the run."""
        last = self.history.epochs[-1]
        history = {"history": [asdict(epoch) for epoch in self.history.epochs]}
        about = {"epoch": last.epoch, "lr": last.lr}
        write_checkpoint(out, self.network, self.record | about | history)

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.folder is not None:
            self.folder.release()


def begin_or_resume(training: Training, processes: Processes) -> str:
    """Continue from the folder's state, or begin. Collective over the processes.

    Returns:
        Description of the found state; empty for a run without a folder.
    """
    content = training.left
    if content is None:
        lr = training.trainer.recipe.learning_rate(0)
        processes.on_root(lambda: training.keep(0, lr))
        return ""
    processes.agree(lambda: _load(training, content))
    training.history = history_of(content)
    n_done, n_epochs = training.trainer.n_done, training.n_epochs
    return describe_resuming(n_done, n_epochs, was=content["setting"], now=training.setting)


def describe_resuming(
    n_done: int, n_epochs: int, *, was: dict[str, Any], now: dict[str, Any]
) -> str:
    """Describe how much of a run is done, and whether its last bits will differ.

    Args:
        n_done: Number of epochs done.
        n_epochs: Number of epochs of the whole run.
        was: Its device, threads and ranks so far.
        now: The same from now on.
    """
    words = f"resuming: {n_done} of {n_epochs} epochs are done"
    changed = [
        f"{name} {value}, now {now[name]}" for name, value in was.items() if value != now[name]
    ]
    if changed and n_done < n_epochs:
        words += f"; the last bits will differ, since it ran with {', '.join(changed)}"
    return words


def _load(training: Training, content: dict[str, Any]) -> None:
    """Load the state if it is of this network.

    Raises:
        InputError: If its names or shapes differ.
    """
    stored = {name: tensor.shape for name, tensor in content["state"]["network"].items()}
    here = {name: tensor.shape for name, tensor in training.network.state_dict().items()}
    if stored != here:
        name = next(n for n in (stored | here) if stored.get(n) != here.get(n))
        raise InputError(
            f"--run: its weights do not fit --model {training.identity['model']}: {name} is "
            f"{_shape(stored.get(name))} there and {_shape(here.get(name))} in the network. Build "
            "the network as before, or pass --fresh to start over."
        )
    training.trainer.load_state(content["state"])


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def train_epochs(
    training: EpochByEpoch,
    processes: Processes,
    *,
    stopped: Callable[[], bool],
    say: Callable[[Epoch], None],
    on_batch: Callable[[], object] = lambda: None,
) -> bool:
    """Train until all epochs are done or a signal comes. Collective over the processes.

    Args:
        training: The run, begun or resumed.
        processes: Processes that train.
        stopped: Function that tells whether this rank was asked to stop.
        say: Function that is called on rank 0 when an epoch is written.
        on_batch: Function that is called on every rank after each batch.

    Returns:
        Whether all epochs are done.
    """
    trainer = training.trainer
    while trainer.n_done < training.n_epochs:
        # All ranks see the same loss, so a divergence ends all of them. An error on one rank alone
        # ends the run at once, because the others wait for its gradients within an epoch.
        epoch = run_epoch(training, processes, on_batch)
        processes.on_root(partial(training.after_epoch, epoch))
        if processes.is_root:
            say(epoch)
        if processes.any(stopped()):
            break
    return trainer.n_done == training.n_epochs


def run_epoch(
    training: EpochByEpoch, processes: Processes, on_batch: Callable[[], object]
) -> Epoch:
    """Train for an epoch, with a progress bar on rank 0 in a terminal. Collective."""
    trainer = training.trainer
    if not (processes.is_root and sys.stderr.isatty()):
        return trainer.run_epoch(on_batch)
    words = f"epoch {trainer.n_done + 1}/{training.n_epochs}"
    look = {"unit": "batch", "leave": False, "dynamic_ncols": True}
    with tqdm(total=trainer.n_batches, desc=words, **look) as bar:
        return trainer.run_epoch(lambda: (on_batch(), bar.update()))
