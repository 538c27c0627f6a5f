"""Find training runs: folders of checkpoints, or checkpoints that are named one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.short_names import short_names
from landscape_mpi.zoo.weight_files import IN_FOLDER, is_weight_folder

SUFFIXES = (".pt", ".pth", ".th", ".ckpt", ".tar", ".safetensors")
OURS, STATE_OF_OURS = "epoch_*.pt", "resume.pt"  # files that training with --run writes
# Files that other programs write beside the weights, and shards, which are read by index.
NO_WEIGHTS = re.compile(
    r"(?:^|[._-])(?:optim(?:izer)?s?|scheduler|scaler|rng_state|random_states|training_args|args)"
    r"(?![a-z])|-\d{5}-of-\d{5}\.|^resume\.pt$"
)


@dataclass(frozen=True)
class TrainingRun:
    """Hold the checkpoints of one training run."""

    name: str
    files: tuple[Path, ...]  # folders among the files, each one a checkpoint
    given: bool = False  # whether the user named them one by one, in the intended order


def find_runs(paths: Sequence[Path]) -> list[TrainingRun]:
    """Return a run for each folder, and one run for all named checkpoints.

    Args:
        paths: Folders and files. In a folder that ``train --run`` wrote, only ``epoch_*.pt`` are
            checkpoints. A folder that is itself a checkpoint counts as a file.

    Raises:
        MissingInputError: If there is no such folder or file.
    """
    for path in paths:
        if not path.exists():
            raise MissingInputError(
                f"{path}: does not exist. Name a folder of checkpoints, or checkpoint files."
            )
    inside = {path: _in_folder(path) for path in paths if path.is_dir()}
    folders = [path for path in paths if inside.get(path)]
    for path in inside.keys() - folders:
        if not is_weight_folder(path):
            _refuse_empty(path)
    runs = [(path.resolve(), inside[path], False) for path in folders]
    files = tuple(path for path in paths if path not in folders)
    if files:
        runs.append((files[0].resolve().parent, files, True))
    names = short_names([place for place, _, _ in runs], endings=True)
    return [
        TrainingRun(name if names.count(name) == 1 else f"{name} ({n})", checkpoints, given)
        for n, (name, (_, checkpoints, given)) in enumerate(zip(names, runs, strict=True), 1)
    ]


def _in_folder(folder: Path) -> tuple[Path, ...]:
    """Return the checkpoints in a folder, by name; its own weights count only beside others."""
    if (folder / STATE_OF_OURS).is_file() and any(folder.glob(OURS)):
        return tuple(sorted(folder.glob(OURS)))
    found = sorted(
        path for path in folder.iterdir() if is_weight_folder(path) or _is_checkpoint(path)
    )
    own = [folder / name for name in IN_FOLDER if (folder / name).is_file()]
    return (*found, *own[:1]) if found else ()


def _is_checkpoint(path: Path) -> bool:
    return (
        path.suffix in SUFFIXES
        and path.is_file()
        and path.name not in IN_FOLDER
        and not path.name.startswith(".")
        and not NO_WEIGHTS.search(path.name)
    )


def _refuse_empty(folder: Path) -> NoReturn:
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and _in_folder(path)]
    hint = f" {inner[0]} holds {len(_in_folder(inner[0]))}: name that folder." if inner else ""
    raise InputError(
        f"{folder}: holds no checkpoint ({', '.join(SUFFIXES)}), but {held}.{hint} Name the folder "
        f"that landscape_mpi.train --run wrote, or the files one by one."
    )
