"""Find the order in which the checkpoints of a training run were written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.tensor_names import listed
from landscape_mpi.zoo.training_place import LOSSES, TrainingPlace
from landscape_mpi.zoo.training_run import TrainingRun
from landscape_mpi.zoo.weight_choice import is_average

Places = Mapping[Path, TrainingPlace]
Scale = Callable[[TrainingPlace], float | None]
FEWEST_LOSSES = 4  # least number of losses that can contradict an order
RISES = 0.7  # above this rank correlation with their places, losses contradict the order


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


BY_NUMBER = "the last numbers in their names"
# Ways to order checkpoints. The way that places the most files is used; the first of equals.
SCALES: dict[str, Scale] = {
    "the epochs recorded in them": lambda place: place.recorded_epoch,
    "the epochs in their names": lambda place: place.named_epoch,
    "the epochs recorded in them or, where there is none, in their names": lambda place: _first(
        place.recorded_epoch, place.named_epoch
    ),
    "the steps recorded in them": lambda place: place.recorded_step,
    "the steps in their names": lambda place: place.named_step,
    "the steps recorded in them or, where there is none, in their names": lambda place: place.step,
    BY_NUMBER: lambda place: place.number,
}


@dataclass(frozen=True)
class OrderedRun:
    """Hold a run in the order of training."""

    run: TrainingRun
    words: str  # how the order was found
    said: tuple[str, ...]  # for the log: files left out and why, contradictions to the order


def order_run(run: TrainingRun, places: Places, same: Callable[[Path, Path], bool]) -> OrderedRun:
    """Put the checkpoints of a run in the order of training.

    Args:
        run: Run with its files in any order; files that are named one by one stay in the given
            order.
        places: The place of each file in the training, as far as it is known.
        same: Whether two files hold the same weights.

    Raises:
        InputError: If the order is unknown.
    """
    if run.given:
        ordered = OrderedRun(run, "the command line", _contradictions(run.files, places))
    elif len(run.files) == 1:
        return OrderedRun(run, "their own", ())
    else:
        words = _choose_scale(run.files, places)
        if words is None:
            raise InputError(
                f"{run.name}: the order in which its {len(run.files)} checkpoints were written is "
                "not known. Not all of them record an epoch or a step, and their names "
                f"({listed(file.name for file in run.files)}) do not reveal it either. Name the "
                "files one by one, in the order of training."
            )
        ordered = _ordered(run, places, words, same)
    rising = _rising_loss(ordered.run.files, places)
    return replace(ordered, said=(*ordered.said, *rising))


def _choose_scale(files: Sequence[Path], places: Places) -> str | None:
    """Return the key of SCALES that places the most files; None if none distinguishes two files.

    A bare number in a name counts only if no file with such a number also has an epoch or a step.
    """
    known = {
        words: [value for file in files if (value := scale(places[file])) is not None]
        for words, scale in SCALES.items()
    }
    usable = [words for words in SCALES if len(set(known[words])) > 1]
    numbered = [places[file] for file in files if places[file].number is not None]
    told = any(_first(p.recorded_epoch, p.named_epoch, p.step) is not None for p in numbered)
    if told and usable != [BY_NUMBER]:
        usable = [words for words in usable if words != BY_NUMBER]
    return max(usable, key=lambda words: len(known[words]), default=None)


def _ordered(
    run: TrainingRun, places: Places, words: str, same: Callable[[Path, Path], bool]
) -> OrderedRun:
    _refuse_other_numbers(run, places, words)
    scale = SCALES[words]
    placed = [file for file in run.files if scale(places[file]) is not None]
    unplaced = [file for file in run.files if file not in placed]
    _refuse_numbered(run, unplaced, places, words)
    placed.sort(key=lambda file: _key(file, places[file], scale))
    placed, said = _without_averages(placed, places, scale)
    kept, doubles = _without_doubles(placed, places, scale, same)
    said += doubles
    _refuse_two_series(run, kept, places, scale)
    for file in unplaced:
        double = next((other for other in kept if same(file, other)), None)
        why = f"it holds the weights of {double.name}" if double else UNKNOWN_PLACE
        said.append(f"{file.name} is left out: {why}")
    return OrderedRun(replace(run, files=tuple(kept)), words, tuple(said))


def _refuse_other_numbers(run: TrainingRun, places: Places, words: str) -> None:
    """Refuse names with several numbers, if the order depends on which one counts.

    Raises:
        InputError: If the order depends on it.
    """
    numbered = [places[file].numbers for file in run.files if places[file].numbers]
    by_last = sorted(numbered, key=lambda numbers: numbers[-1])
    if words == BY_NUMBER and by_last != sorted(by_last):
        names = listed(file.name for file in run.files)
        raise InputError(
            f"{run.name}: the names of its checkpoints hold several numbers ({names}), and the "
            "order depends on which one counts. Name the files one by one, in the order of "
            "training, or give each training run its own folder."
        )


UNKNOWN_PLACE = (
    "neither a record in it nor its name gives its place in the training; to include it, name the "
    "files one by one, in the order of training"
)


def _key(file: Path, place: TrainingPlace, scale: Scale) -> tuple[float, float, float, str]:
    number = math.inf if place.number is None else place.number
    return (
        _first(scale(place), math.inf) or 0.0,
        _first(place.step, math.inf) or 0.0,
        number,
        file.name,
    )


def _refuse_numbered(
    run: TrainingRun, unplaced: Sequence[Path], places: Places, words: str
) -> None:
    """Refuse files with numbers other than those that order the other files.

    Raises:
        InputError: If there are such files.
    """
    numbered = [file.name for file in unplaced if places[file].number is not None]
    if numbered:
        raise InputError(
            f"{run.name}: most of its checkpoints are ordered by {words}, which does not say where "
            f"{listed(numbered)} belong. Name the files one by one, in the order of training."
        )


def _without_doubles(
    placed: Sequence[Path], places: Places, scale: Scale, same: Callable[[Path, Path], bool]
) -> tuple[list[Path], list[str]]:
    """Drop files that have the place and weights of another one; return the rest, and notes."""
    kept: list[Path] = []
    said = []
    for file in placed:
        value = scale(places[file])
        rivals = [other for other in kept if scale(places[other]) == value]
        double = next((other for other in rivals if same(file, other)), None)
        if double is not None:
            said.append(f"{file.name} is left out: it holds the weights of {double.name}")
            continue
        if rivals and _same_place(places[file], places[rivals[-1]], scale):
            said.append(
                f"{file.name} has the same place as {rivals[-1].name} but other weights, and is "
                f"put after it"
            )
        kept.append(file)
    return kept, said


def _without_averages(
    placed: list[Path], places: Places, scale: Scale
) -> tuple[list[Path], list[str]]:
    """Drop a second series of files whose names show that they hold averaged weights."""
    averages = [file for file in placed if is_average(file.name)]
    others = [file for file in placed if file not in averages]
    taken = {scale(places[file]) for file in others}
    if len(averages) < 2 or any(scale(places[file]) not in taken for file in averages):
        return placed, []
    names = listed(file.name for file in averages)
    return others, [
        f"{names} are left out: by their names they hold averaged weights, and other files have "
        "the same places. For a trajectory of the averages, name them one by one"
    ]


def _refuse_two_series(
    run: TrainingRun, files: Sequence[Path], places: Places, scale: Scale
) -> None:
    """Refuse files if many of them share their place with another one.

    Raises:
        InputError: If they are.
    """
    pairs = [
        (first.name, second.name)
        for first, second in itertools.pairwise(files)
        if _same_place(places[first], places[second], scale)
    ]
    if len(pairs) > 1 and 2 * len(pairs) >= len(files) - len(pairs):
        raise InputError(
            f"{run.name}: at {len(pairs)} places in the training there are two checkpoints with "
            f"different weights, e.g. {pairs[0][0]} and {pairs[0][1]}. Give each training run "
            "its own folder, or name the files of one training run one by one."
        )


def _same_place(first: TrainingPlace, second: TrainingPlace, scale: Scale) -> bool:
    """Return whether it is unknown which of two checkpoints came first."""
    numbers = {first.number, second.number} - {None}
    return scale(first) == scale(second) and first.step == second.step and len(numbers) < 2


def _contradictions(files: Sequence[Path], places: Places) -> tuple[str, ...]:
    """Return a warning if the order on the command line contradicts the numbers."""
    words = _choose_scale(files, places)
    if words is None:
        return ()
    values = [SCALES[words](places[file]) for file in files]
    known = [(v, file.name) for v, file in zip(values, files, strict=True) if v is not None]
    for (before, first), (after, second) in itertools.pairwise(known):
        if after < before:
            return (
                f"warning: in the order given, {words} fall from {before:g} ({first}) to {after:g} "
                f"({second}). The shell puts epoch_10 before epoch_2: to have the checkpoints in "
                f"the order of training, name their folder instead",
            )
    return ()


def _rising_loss(files: Sequence[Path], places: Places) -> tuple[str, ...]:
    """Return a warning if losses rise in the found order."""
    for name in LOSSES:
        losses = [places[file].losses.get(name) for file in files]
        values = np.array([value for value in losses if value is not None])
        if len(values) < max(FEWEST_LOSSES, len(files)):
            continue
        if values[-1] > values[0] and _rank_correlation(values) >= RISES:
            return (
                f"warning: {name}, as the checkpoints record it, rises in this order, from "
                f"{values[0]:.4g} to {values[-1]:.4g}. If the training did not get worse, this "
                f"order is wrong: name the files one by one, in the order of training",
            )
    return ()


def _rank_correlation(values: np.ndarray) -> float:
    """Return the correlation of the ranks of values with their places."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])
