"""Write and read the file of a curve through weight space: its points and its origin.

The file is also a checkpoint: that of the point at t = 0.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.zoo.checkpoint import Checkpoint, read_checkpoint, refuse_non_finite
from landscape_mpi.zoo.weight_files import changed_record

FORMAT = "landscape_mpi curve"
FORMAT_VERSION = 1
PROBLEM = "problem"  # in the identity: the origin of the curve's problem
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class CurveContent:
    """Hold the content of a curve file."""

    kind: str  # bezier or polygon
    points: Sequence[State]  # parameters and buffers at each point that defines the curve
    trained: tuple[str, ...]  # names of the parameters that the curve moves
    identity: Mapping[str, Any]  # options that must agree for two runs to be the same
    record: Mapping[str, Any]  # origin of both ends, command, versions
    n_done: int  # number of epochs
    history: Sequence[Mapping[str, Any]]  # values of each epoch
    training: Mapping[str, Any] | None  # state from which the run continues; None when it is done

    @property
    def n_epochs(self) -> int:
        """Return the number of epochs of the whole run."""
        return int(self.identity["epochs"])


@dataclass(frozen=True)
class CurveFile:
    """Hold a curve file in memory."""

    path: Path
    checkpoint: Checkpoint  # digest of its start
    content: CurveContent


def write_curve(path: Path, content: CurveContent) -> None:
    """Write a curve file; after a failure, path keeps its old content."""
    stored = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "state_dict": dict(content.points[0]),
        "kind": content.kind,
        "points": [dict(point) for point in content.points],
        "trained": list(content.trained),
        "identity": dict(content.identity),
        "record": dict(content.record),
        "epoch": content.n_done,
        "history": [dict(row) for row in content.history],
        "training": content.training,
    }
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save(stored, file)
        file.flush()
        os.fsync(file.fileno())


def read_curve(path: Path) -> CurveFile:
    """Read a curve file.

    Raises:
        InputError: If it is another kind of file, has another version, is damaged, or holds NaN
            weights.
    """
    checkpoint = read_checkpoint(path)
    stored = checkpoint.record
    if stored.get("format") != FORMAT:
        raise InputError(
            f"{path}: is a checkpoint, not a curve between two checkpoints. Name the file that "
            "landscape_mpi.curve train --out wrote."
        )
    if stored.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: has format version {stored.get('format_version')}, but this program reads "
            f"version {FORMAT_VERSION}. Use the version of the program that wrote the file, or "
            "train the curve again."
        )
    try:
        content = _content_of(stored)
    except KeyError as problem:
        raise InputError(
            f"{path}: is a curve, but has no {problem}, so it is damaged. Train the curve again."
        ) from problem
    record = changed_record(path)
    if record is not None:
        raise InputError(
            f"{path}: is damaged: its part {record} is not as it was written. A disk, a copy or "
            "another program caused this. Use an earlier copy, or train the curve again."
        )
    for point in content.points:
        refuse_non_finite(path, point)
    return CurveFile(path, checkpoint, content)


def _content_of(stored: Mapping[str, Any]) -> CurveContent:
    return CurveContent(
        kind=stored["kind"],
        points=stored["points"],
        trained=tuple(stored["trained"]),
        identity=stored["identity"],
        record=stored["record"],
        n_done=stored["epoch"],
        history=stored["history"],
        training=stored["training"],
    )
