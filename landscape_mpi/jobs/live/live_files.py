"""Manage the files of a call from Python: temporary ones for its result, and weights in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape_mpi.cluster.communicator import ROOT, Ranks, meet, on_root
from landscape_mpi.errors import InputError

MARK = ".held_by_rank_"

Weights = str | os.PathLike[str] | Mapping[str, torch.Tensor] | nn.Module


def place_of(
    ranks: Ranks, out: str | os.PathLike[str] | None, *, name: str, caller: str
) -> tuple[object, Path]:
    """Return the folder to keep, and the file. Collective over the ranks.

    Args:
        ranks: All ranks.
        out: The requested file; None for one in a temporary folder.
        name: Name of the file in such a folder.
        caller: Name of the function that was called, for messages.
    """
    if out is not None:
        return None, Path(out)
    folder, path = temporary_folder(ranks, caller=caller)
    return folder, path / name


def temporary_folder(ranks: Ranks, *, caller: str) -> tuple[object, Path]:
    """Return an object that keeps a temporary folder, and its path. Collective over the ranks.

    Args:
        ranks: All ranks.
        caller: Name of the function that was called, for messages.

    Raises:
        InputError: If the ranks are on several nodes, which share no such folder.
    """
    if ranks.node.size < ranks.size:
        raise InputError(
            f"{caller}: these ranks are on several nodes, which share no temporary folder. Pass "
            "out=, a file in a folder that all nodes see, and weights as files in such a folder."
        )
    name = tempfile.mkdtemp(prefix="landscape_mpi_") if ranks.is_root else None
    folder = SharedFolder(Path(ranks.comm.bcast(name, root=ROOT)), ranks.rank)
    meet(ranks.comm)  # no rank releases the folder before all of them hold it
    return folder, folder.path


class SharedFolder:
    """A folder that several ranks of a node hold; the last one to release it removes it.

    One rank may be finished with a result, or end, while another still reads the file.
    """

    def __init__(self, path: Path, rank: int) -> None:
        """Hold an existing folder until this object is deleted or the process ends.

        Args:
            path: The folder.
            rank: Rank of this process.
        """
        self.path = path
        mark = path / f"{MARK}{rank}"
        mark.touch()
        weakref.finalize(self, _let_go, path, mark, os.getpid())


def _let_go(path: Path, mark: Path, process: int) -> None:
    """Remove the mark of this rank, and the folder with the last mark."""
    if os.getpid() != process:  # a forked process, which holds nothing
        return
    # Two ranks that release it at once may both find no mark: both remove what is left.
    with suppress(OSError):
        mark.unlink(missing_ok=True)
        if not any(name.startswith(MARK) for name in os.listdir(path)):
            shutil.rmtree(path, ignore_errors=True)


def checkpoint_of(ranks: Ranks, weights: Weights, path: Path, *, caller: str) -> Path:
    """Return the file of a checkpoint; write one if the weights are in memory. Collective.

    Args:
        ranks: All ranks.
        weights: A file or folder, a state dict, or a network.
        path: File to write if the weights are in memory.
        caller: Name of the function that was called, for messages.
    """
    if isinstance(weights, str | os.PathLike):
        return Path(weights).expanduser()
    on_root(ranks, lambda: _write(weights, path, caller))
    return path


def _write(weights: Any, path: Path, caller: str) -> None:
    """Write a state dict.

    Raises:
        InputError: If the object is not a state dict or a network.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(
            f"{caller}: weights are of type {type(weights).__name__}. Pass a file, a state dict or "
            f"a network."
        )
    torch.save({name: _plain(value) for name, value in state.items()}, path)


def _plain(value: Any) -> Any:
    """Return a plain tensor without the user's own class, which a file could not be read with."""
    return value.detach().as_subclass(torch.Tensor) if isinstance(value, torch.Tensor) else value
