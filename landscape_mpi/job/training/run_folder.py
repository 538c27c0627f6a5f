"""The folder of a training run: weights of epochs, log, weights file, and how to go on.

``resume.pt`` is written last in every epoch and holds all that the other files say, so that
a run killed at any moment goes on from the last complete epoch, its files as if undisturbed.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape_mpi.errors import InputError
from landscape_mpi.output import OutputLock, whole_file
from landscape_mpi.store.weights import DATASETS, WeightHistory, write_weights
from landscape_mpi.zoo.recipe import Epoch
from landscape_mpi.zoo.weights import WeightMeasures

RESUME, LOG, WEIGHTS = "resume.pt", "log.csv", "weights.h5"
OURS = re.compile(r"epoch_\d{4,}\.pt|resume\.pt|log\.csv|weights\.h5|\..*\.(partial|lock)")
FORMAT = "landscape_mpi training run"
COLUMNS = (
    *("epoch", "lr", "train_loss", "train_error", "test_loss", "test_error", "seconds"),
    "weight_norm",
)


def checkpoint_name(epoch: int) -> str:
    """Return the name of the file with the weights after so many epochs."""
    return f"epoch_{epoch:04d}.pt"


def epochs_to_save(words: str, n_epochs: int) -> frozenset[int]:
    """Return the epochs whose weights --save-epochs asks to keep; 0 is before training.

    Args:
        words: ``all``; ``every:N``, which includes the first and the last; or numbers.
        n_epochs: Of the run.

    Raises:
        InputError: If it is none of these, or names an epoch that never comes.
    """
    if words == "all":
        return frozenset(range(n_epochs + 1))
    if match := re.fullmatch(r"every:([1-9]\d*)", words):
        return frozenset([*range(0, n_epochs + 1, int(match[1])), n_epochs])
    if not re.fullmatch(r"\d+(,\d+)*", words):
        raise InputError(
            f"--save-epochs: {words!r} is neither all, nor every:N with N from 1, nor epochs as "
            "0,10,300."
        )
    epochs = frozenset(int(word) for word in words.split(","))
    if max(epochs) > n_epochs:
        raise InputError(
            f"--save-epochs: epoch {max(epochs)} never comes, --epochs is {n_epochs}. Name epochs "
            f"from 0, before training, to {n_epochs}."
        )
    return epochs


@dataclasses.dataclass
class History:
    """What a run has given so far."""

    epochs: list[Epoch]
    measures: dict[str, np.ndarray]  # the datasets of a weights file; their first row: epoch 0

    @property
    def weights(self) -> WeightHistory:
        """Return the measures as the weights file holds them."""
        return WeightHistory(**self.measures)

    def add_measures(self, epoch: int, lr: float, measured: WeightMeasures) -> None:
        """Add a row, of the weights after so many epochs."""
        row = {
            "epoch": epoch,
            "lr": lr,
            "weight_norm": measured.weight_norm,
            "total_norm": measured.total_norm,
            "parameter_norms": measured.parameter_norms,
            "histogram": measured.counts,
            "histogram_edges": measured.edges,
            "n_outside": measured.n_outside,
        }
        for name in DATASETS:
            new = np.asarray(row[name])[None]
            old = self.measures.get(name)
            self.measures[name] = new if old is None else np.concatenate([old, new])


class RunFolder:
    """The folder, locked for this process until it is released."""

    def __init__(self, path: Path) -> None:
        """Make the folder, if it is not there, and lock it.

        Args:
            path: Value of --run.

        Raises:
            InputError: If that cannot be, or another run has it.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise InputError(
                f"--run: {path} cannot be made ({problem.strerror}). Name a folder that is yours."
            ) from problem
        self._lock = OutputLock(path / RESUME)

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()

    def clear(self) -> None:
        """Remove what a run has written, and nothing else."""
        # First what makes it a run: a folder half cleared is then begun anew.
        for name in sorted(os.listdir(self.path), key=lambda name: name != RESUME):
            if OURS.fullmatch(name) and not name.endswith(".lock"):
                (self.path / name).unlink()

    def read(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what a run has left to go on from, None where there is none.

        Args:
            identity: What makes two runs the same, by option; see check_identity.

        Raises:
            InputError: If there is another run, a damaged one, or something else.
        """
        path = self.path / RESUME
        if not path.exists():
            self._check_unused()
            return None
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
            known = content["format"] == FORMAT
        except Exception as problem:  # a damaged pickle can raise anything
            raise self._damaged() from problem
        if not known:
            raise self._damaged()
        check_identity(path, content["identity"], identity)
        return content

    def _damaged(self) -> InputError:
        return InputError(
            f"{self.path / RESUME}: is damaged, or of another version of this command, so the run "
            "cannot go on from it. Pass --fresh to start over, or another --run."
        )

    def _check_unused(self) -> None:
        """Check that there is nothing, or what a run writes before its first resume.pt.

        Raises:
            InputError: If there are other things, or weights of a run whose resume.pt is gone.
        """
        begun = {checkpoint_name(0), LOG, WEIGHTS}  # written before the first resume.pt
        names = sorted(os.listdir(self.path))
        others = [name for name in names if name not in begun and not name.startswith(".")]
        if others:
            raise InputError(
                f"--run: {self.path} holds {', '.join(others[:5])}, but no {RESUME} to go on from. "
                f"Name a new folder, or pass --fresh to remove a run's files from this one."
            )

    def write(self, state: Mapping[str, Any], history: History, **about: Any) -> None:
        """Write log, weights file and, last, what the run goes on from.

        Args:
            state: Of the trainer.
            history: All epochs so far.
            about: ``identity``, ``setting`` and ``names`` of the parameters.
        """
        self._write_log(history)
        identity = about["identity"]
        known = {key: identity[key] for key in ("model", "data", "seed")}
        write_weights(self.path / WEIGHTS, history.weights, about["names"], known)
        content = {
            "format": FORMAT,
            "state": dict(state),
            "epochs": [dataclasses.asdict(epoch) for epoch in history.epochs],
            "measures": {name: torch.from_numpy(v) for name, v in history.measures.items()},
            **about,
        }
        with whole_file(self.path / RESUME) as partial, partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())

    def _write_log(self, history: History) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        norms = history.measures["weight_norm"]
        for epoch in history.epochs:
            values = [getattr(epoch, name) for name in COLUMNS[:-1]]
            table.writerow([*values, float(norms[epoch.epoch])])
        with whole_file(self.path / LOG) as partial:
            partial.write_text(text.getvalue())


def history_of(content: Mapping[str, Any]) -> History:
    """Return the history that a resume.pt holds."""
    measures = {name: values.numpy() for name, values in content["measures"].items()}
    return History([Epoch(**row) for row in content["epochs"]], measures)


def check_identity(
    path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any], *, place: str = "--run"
) -> None:
    """Check that a run is the one that is asked for.

    Args:
        path: Of the file that the stored one is of.
        stored: What it was begun with: by the name of the option, or, of a file that an option
            names, ``<option>_sha256``.
        asked: What the command line says now.
        place: The option that says where the run is kept.

    Raises:
        InputError: If they differ, naming the first difference.
    """
    for name, value in asked.items():
        if stored.get(name) == value:
            continue
        others = f"another {place}, or --fresh to start over."
        if name == "data_sha256":
            raise InputError(
                f"{path}: was begun with data of SHA-256 {stored[name][:16]}, and --data "
                f"{asked['data']} here has {value[:16]}. A run has one training set: pass its "
                f"--data-dir, {others}"
            )
        if name.endswith("_sha256"):
            option = f"--{name.removesuffix('_sha256')}"
            raise InputError(
                f"{path}: was begun with {option} of SHA-256 {str(stored.get(name))[:16]}, and "
                f"{option} here has {value[:16]}. Pass the file it was begun with, {others}"
            )
        was, now = _option(name, stored.get(name)), _option(name, value)
        raise InputError(
            f"{path}: was begun with {was}, and this command has {now}. A run has one recipe: "
            f"pass {was}, {others}"
        )


def _option(name: str, value: Any) -> str:
    """Return an option as it is typed."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{dashed}" if value else f"--no-{dashed}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ",".join(f"{item:g}" for item in value) or "none"
    return f"--{dashed} {value}"
