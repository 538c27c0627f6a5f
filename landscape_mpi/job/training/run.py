"""A training run from its first epoch, or from where it was stopped, to its last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from tqdm import tqdm

from landscape_mpi.errors import InputError
from landscape_mpi.job.crew import Crew
from landscape_mpi.job.training.run_folder import (
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


class EpochByEpoch(Protocol):
    """What train_epochs needs of a run."""

    trainer: Trainer
    history: History

    @property
    def n_epochs(self) -> int:
        """Return the epochs of the whole run."""

    def keep(self, epoch: int, lr: float) -> None:
        """Write what is kept after so many epochs."""


@dataclass
class Training:
    """What a run is made of; folder is None on ranks that write nothing, and without --run."""

    trainer: Trainer
    identity: dict[str, Any]  # what makes two runs the same, by option
    setting: dict[str, Any]  # what decides the last bits as well: device, threads, ranks
    record: dict[str, Any]  # what every checkpoint says, besides epoch and lr
    folder: RunFolder | None
    left: dict[str, Any] | None  # by a run before this one, to go on from
    save_epochs: str
    history: History = field(default_factory=lambda: History([], {}))

    @property
    def network(self) -> nn.Module:
        """Return the network."""
        return self.trainer.network

    @property
    def n_epochs(self) -> int:
        """Return the epochs of the whole run."""
        return self.trainer.recipe.epochs

    def keep(self, epoch: int, lr: float) -> None:
        """Write what the folder holds of the weights after so many epochs."""
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
        """Write the last weights, with the history of the run."""
        last = self.history.epochs[-1]
        history = {"history": [asdict(epoch) for epoch in self.history.epochs]}
        about = {"epoch": last.epoch, "lr": last.lr}
        write_checkpoint(out, self.network, self.record | about | history)

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.folder is not None:
            self.folder.release()


def begin_or_resume(training: Training, crew: Crew) -> str:
    """Go on from what the folder holds, or begin. Collective over the crew.

    Returns:
        What was found, in words; empty for a run without a folder.
    """
    content = training.left
    if content is None:
        lr = training.trainer.recipe.learning_rate(0)
        crew.on_root(lambda: training.keep(0, lr))
        return ""
    crew.agree(lambda: _load(training, content))
    training.history = history_of(content)
    n_done, n_epochs = training.trainer.n_done, training.n_epochs
    return describe_resuming(n_done, n_epochs, was=content["setting"], now=training.setting)


def describe_resuming(
    n_done: int, n_epochs: int, *, was: dict[str, Any], now: dict[str, Any]
) -> str:
    """Return how much of a run is done, and whether its last bits will be others.

    Args:
        n_done: Epochs.
        n_epochs: Of the whole run.
        was: What it ran with: device, threads, ranks.
        now: What it goes on with.
    """
    words = f"resuming: {n_done} of {n_epochs} epochs are done"
    changed = [
        f"{name} {value}, now {now[name]}" for name, value in was.items() if value != now[name]
    ]
    if changed and n_done < n_epochs:
        words += f"; the last bits will differ, since it ran with {', '.join(changed)}"
    return words


def _load(training: Training, content: dict[str, Any]) -> None:
    """Load the state, if it is of this network.

    Raises:
        InputError: If its names or shapes are others.
    """
    stored = {name: tensor.shape for name, tensor in content["state"]["network"].items()}
    here = {name: tensor.shape for name, tensor in training.network.state_dict().items()}
    if stored != here:
        name = next(n for n in (stored | here) if stored.get(n) != here.get(n))
        raise InputError(
            f"--run: its weights are not those of --model {training.identity['model']}: {name} is "
            f"{_shape(stored.get(name))} there and {_shape(here.get(name))} in the network. "
            "Build the network as it was, or pass --fresh to start over."
        )
    training.trainer.load_state(content["state"])


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def train_epochs(
    training: EpochByEpoch,
    crew: Crew,
    *,
    stopped: Callable[[], bool],
    say: Callable[[Epoch, int], None],
) -> bool:
    """Train until all epochs are done or a signal came. Collective over the crew.

    Args:
        training: The run, begun or resumed.
        crew: Those who train.
        stopped: Whether this rank was asked to stop.
        say: Called on rank 0 after each epoch, with the number of all.

    Returns:
        Whether all epochs are done.
    """

    def keep(epoch: Epoch) -> None:
        training.history.epochs.append(epoch)
        training.keep(epoch.epoch, epoch.lr)

    return run_epochs(
        training.trainer,
        crew,
        training.n_epochs,
        keep=keep,
        stopped=stopped,
        say=lambda epoch: say(epoch, training.n_epochs),
    )


def run_epochs(
    trainer: Trainer,
    crew: Crew,
    n_epochs: int,
    *,
    keep: Callable[[Epoch], None],
    stopped: Callable[[], bool],
    say: Callable[[Epoch], None],
    on_batch: Callable[[], object] = lambda: None,
) -> bool:
    """Train until so many epochs are done or a signal came. Collective over the crew.

    Args:
        trainer: Of this rank.
        crew: Those who train.
        n_epochs: Of the whole run.
        keep: Called on rank 0 after each epoch, to write what is kept of it.
        stopped: Whether this rank was asked to stop.
        say: Called on rank 0 when an epoch is kept.
        on_batch: Called on every rank after each batch.

    Returns:
        Whether all epochs are done.
    """
    while trainer.n_done < n_epochs:
        # All ranks see the same loss, so a divergence ends all of them.
        epoch = crew.agree(lambda: run_epoch(trainer, crew, n_epochs, on_batch))
        crew.on_root(partial(keep, epoch))
        if crew.is_root:
            say(epoch)
        if crew.any(stopped()):
            break
    return trainer.n_done == n_epochs


def run_epoch(
    trainer: Trainer,
    crew: Crew,
    n_epochs: int,
    on_batch: Callable[[], object],
) -> Epoch:
    """Train for an epoch, with a bar on rank 0 where there is a terminal. Collective."""
    if not (crew.is_root and sys.stderr.isatty()):
        return trainer.run_epoch(on_batch)
    words = f"epoch {trainer.n_done + 1}/{n_epochs}"
    look = {"unit": "batch", "leave": False, "dynamic_ncols": True}
    with tqdm(total=trainer.n_batches, desc=words, **look) as bar:
        return trainer.run_epoch(lambda: (on_batch(), bar.update()))
