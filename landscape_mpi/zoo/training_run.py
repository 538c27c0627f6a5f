"""Training runs: folders of checkpoints, or files, in the order of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.short_names import short_names
from landscape_mpi.zoo.weight_vector import number_of

SUFFIXES = (".pt", ".pth", ".th", ".safetensors")
OURS = "epoch_*.pt"  # what training with --run writes


@dataclass(frozen=True)
class TrainingRun:
    """Checkpoints of one training, the first one first."""

    name: str
    files: tuple[Path, ...]


def find_runs(paths: Sequence[Path]) -> list[TrainingRun]:
    """Return the run of each folder, and one of all files that are named.

    Args:
        paths: Folders and files. A folder with files of ``epoch_*.pt`` has no other
            checkpoints; the files of a folder are in the order of the last number in their
            names, named files in the order given.

    Raises:
        InputError: If a folder holds no checkpoint.
        MissingInputError: If there is no such folder or file.
    """
    for path in paths:
        if not path.exists():
            raise MissingInputError(f"{path}: no such run. Name a folder of checkpoints, or files.")
    runs = [(path.resolve(), _in_folder(path)) for path in paths if path.is_dir()]
    files = tuple(path for path in paths if not path.is_dir())
    if files:
        runs.append((files[0].resolve().parent, files))
    names = short_names([place for place, _ in runs], endings=True)
    return [
        TrainingRun(name if names.count(name) == 1 else f"{name} ({n})", checkpoints)
        for n, (name, (_, checkpoints)) in enumerate(zip(names, runs, strict=True), 1)
    ]


def _in_folder(folder: Path) -> tuple[Path, ...]:
    found = list(folder.glob(OURS))
    if not found:
        found = [path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    if not found:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise InputError(
            f"{folder}: holds no checkpoint ({', '.join(SUFFIXES)}), but {held}. Name the folder "
            f"that landscape_mpi.train --run wrote, or the files one by one."
        )
    return tuple(sorted(found, key=_place))


def _place(path: Path) -> tuple[float, str]:
    number = number_of(path)
    return math.inf if number is None else number, path.name
