"""Find the place of a checkpoint in its training from its record and its name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

EPOCHS = (
    *("epoch", "current_epoch", "cur_epoch", "last_epoch", "epoch_num", "epoch_idx"),
    *("epochs_run", "epochs_done", "epochs_trained", "n_epoch"),
)
STEPS = (
    *("global_step", "step", "steps", "num_steps", "n_steps", "steps_run", "num_updates"),
    *("iteration", "iter", "n_iter", "global_iter", "it"),
)
LOSSES = ("loss", "train_loss", "training_loss", "val_loss", "valid_loss", "eval_loss", "test_loss")
NESTED = (
    *("meta", "info", "state", "progress", "train_state", "trainer_state", "trainer"),
    *("extra_state", "train_iterator", "training"),
)
METRIC = re.compile(
    r"(?<![a-z])(?:best|train|val|valid|test|eval)*_?"
    r"(?:acc(?:uracy)?|loss|err(?:or)?|f1(?=[ =_-])|score|auc|m?iou|map|dice|psnr|ssim|bleu|ppl|"
    r"wer|cer|top[15](?!\d)|lr|seed|fold)[ =_@-]*\d+(?:\.\d+)?(?:e-?\d+)?|-v\d+$"
)
DECIMAL = re.compile(r"\d+\.\d+")
EPOCH_IN_NAME = re.compile(
    r"(?:epochs?|(?<![a-z0-9])ep|(?<![a-z0-9])e(?=\d+(?![a-z0-9])))[ =_.-]*(\d+(?:\.\d+)?)"
)
STEP_IN_NAME = re.compile(
    r"(?:global_?step|steps?|iterations?|iters?|(?<![a-z0-9])it)[ =_.-]*(\d+)"
)
LOSS_IN_NAME = re.compile(r"((?:(?:train|val|valid|test|eval)_?)?loss)[ =_-]*(\d+\.\d+)")
ENDINGS = re.compile(r"(?:\.(?:pt|pth|th|ckpt|tar|bin|safetensors|index|json))+$")
TRAINER_FOLDER = re.compile(r"checkpoint-(\d+)")  # Hugging Face's Trainer; in steps


@dataclass(frozen=True)
class TrainingPlace:
    """Hold the place in a training run where a checkpoint was written; None if unknown."""

    recorded_epoch: float | None
    recorded_step: float | None
    named_epoch: float | None
    named_step: float | None
    numbers: tuple[int, ...]  # numbers in the name, except metrics
    losses: Mapping[str, float]  # by name, from the record or else from the file's name

    @property
    def number(self) -> int | None:
        """Return the last number of the name that is not a metric."""
        return self.numbers[-1] if self.numbers else None

    @property
    def epoch(self) -> float:
        """Return the epoch, NaN if unknown; a bare number counts as an epoch."""
        bare = self.number if self.step is None else None
        known = (self.recorded_epoch, self.named_epoch, bare)
        return next((float(value) for value in known if value is not None), math.nan)

    @property
    def step(self) -> float | None:
        """Return the step."""
        return self.named_step if self.recorded_step is None else self.recorded_step


def place_of(path: Path, notes: Mapping[str, Any]) -> TrainingPlace:
    """Return the place in its training where a checkpoint was written.

    Args:
        path: Its file or folder.
        notes: Its entries beside the weights.
    """
    name = ENDINGS.sub("", path.name.lower())
    trainer = TRAINER_FOLDER.fullmatch(path.name) if path.is_dir() else None
    named_losses = {found[1]: float(found[2]) for found in LOSS_IN_NAME.finditer(name)}
    return TrainingPlace(
        recorded_epoch=_recorded(notes, EPOCHS),
        recorded_step=_recorded(notes, STEPS),
        named_epoch=_found(EPOCH_IN_NAME, name),
        named_step=float(trainer[1]) if trainer else _found(STEP_IN_NAME, name),
        numbers=_numbers_of(name),
        losses=named_losses | _recorded_losses(notes),
    )


def _numbers_of(name: str) -> tuple[int, ...]:
    """Return the whole numbers in a name that are not metrics."""
    return tuple(map(int, re.findall(r"\d+", DECIMAL.sub(" ", METRIC.sub(" ", name)))))


def _found(pattern: re.Pattern[str], name: str) -> float | None:
    found = pattern.findall(name)
    return float(found[-1]) if found else None


def _recorded(notes: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    """Return the first number recorded under one of the names."""
    values = (_number(place.get(name)) for place in _places(notes) for name in names)
    return next((value for value in values if value is not None), None)


def _places(notes: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the dictionaries in which programs keep what they record."""
    yield notes
    for name in NESTED:
        if isinstance(notes.get(name), Mapping):
            yield from _places(notes[name])


def _number(value: object) -> float | None:
    if isinstance(value, torch.Tensor):
        value = value.item() if value.numel() == 1 else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _recorded_losses(notes: Mapping[str, Any]) -> dict[str, float]:
    history = notes.get("log_history")  # a record of Hugging Face's Trainer
    rows = [row for row in history if isinstance(row, Mapping)] if isinstance(history, list) else []
    found = {}
    for place in (*rows, *_places(notes)):  # the last row counts
        for name in LOSSES:
            value = _number(place.get(name))
            if value is not None:
                found[name] = value
    return found
