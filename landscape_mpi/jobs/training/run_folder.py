"""Write and read the folder of a training run: weights, log, weights file, state to resume.

``resume.pt`` is written last in every epoch and holds everything in the other files. So a run
killed at any moment continues from the last complete epoch, and its files are the same as without
the interruption.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from landscape_mpi.engine.job_folder import JobFolder
from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.store.weights import DATASETS, WeightHistory, write_weights
from landscape_mpi.zoo.recipe import Epoch
from landscape_mpi.zoo.weights import WeightMeasures

LOG, WEIGHTS = "log.csv", "weights.h5"
# The columns of the log, and their meaning.
COLUMNS = {
    "epoch": "number of the epoch, from 1",
    "lr": "learning rate of the epoch",
    "train_loss": "mean loss over the batches, while the weights change",
    "train_error": "misclassified training samples, percent",
    "test_loss": "mean loss over the test split after the epoch",
    "test_error": "misclassified test samples, percent",
    "seconds": "time of the epoch",
    "weight_norm": "L2 norm of all filters and matrices after the epoch",
}


def checkpoint_name(epoch: int) -> str:
    """Return the name of the file with the weights after a number of epochs."""
    return f"epoch_{epoch:04d}.pt"


def epochs_to_save(words: str, n_epochs: int) -> frozenset[int]:
    """Return the epochs whose weights --save-epochs keeps; 0 is before training.

    Args:
        words: ``all``; ``every:N``, which includes the first and the last; or numbers.
        n_epochs: Number of epochs of the run.

    Raises:
        InputError: If the words have another form, or name an epoch after the last one.
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
            f"--save-epochs: epoch {max(epochs)} never comes, because --epochs is {n_epochs}. Name "
            f"epochs from 0, before training, to {n_epochs}."
        )
    return epochs


@dataclasses.dataclass
class History:
    """Hold the results of a run so far."""

    epochs: list[Epoch]
    measures: dict[str, np.ndarray]  # datasets of a weights file; the first row is epoch 0

    @property
    def weights(self) -> WeightHistory:
        """Return the measures in the form of the weights file."""
        return WeightHistory(**self.measures)

    def add_measures(self, epoch: int, lr: float, measured: WeightMeasures) -> None:
        """Add a row for the weights after a number of epochs."""
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


class RunFolder(JobFolder):
    """Represent the folder of a training run."""

    format = "landscape_mpi training run"
    files = r"epoch_\d{4,}\.pt|log\.csv|weights\.h5"
    begun = frozenset({checkpoint_name(0), LOG, WEIGHTS})

    def write(
        self,
        state: Mapping[str, Any],
        history: History,
        *,
        origin: Mapping[str, Any],
        **about: Any,
    ) -> None:
        """Write log, weights file and, last, the state to continue from.

        Args:
            state: State of the trainer.
            history: All epochs so far.
            origin: User, machine and versions.
            about: ``identity``, ``setting`` and ``names`` of the parameters.
        """
        self._write_log(history)
        identity = about["identity"]
        known = {key: identity[key] for key in ("model", "data", "seed")}
        write_weights(self.path / WEIGHTS, history.weights, about["names"], known, origin)
        self.write_resume(
            state=dict(state),
            epochs=[dataclasses.asdict(epoch) for epoch in history.epochs],
            measures={name: torch.from_numpy(v) for name, v in history.measures.items()},
            **about,
        )

    def _write_log(self, history: History) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        norms = history.measures["weight_norm"]
        for epoch in history.epochs:
            values = [getattr(epoch, name) for name in COLUMNS if name != "weight_norm"]
            table.writerow([*values, float(norms[epoch.epoch])])
        with whole_file(self.path / LOG) as partial:
            partial.write_text(text.getvalue())


def history_of(content: Mapping[str, Any]) -> History:
    """Return the history that a resume.pt holds."""
    measures = {name: values.numpy() for name, values in content["measures"].items()}
    return History([Epoch(**row) for row in content["epochs"]], measures)
