"""The group ``provenance/``: the origin of a surface file, and the runs that filled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import open_beside_others
from landscape_mpi.store.runs import are_sound
from landscape_mpi.store.schema import RUN

GROUP = "provenance"
RUNS = "runs"
MOST_SECONDS = 1e10  # of a point, 300 years: a larger time is damage and counts as unknown
READ = ("started", "ended", "outcome", "points", "ranks")  # columns that a record needs


@dataclass(frozen=True)
class RunRecord:
    """A row of the table of runs."""

    started: datetime
    ended: datetime | None  # None while it runs, and for ever if it was killed
    outcome: str
    n_points: int
    n_ranks: int
    texts: Mapping[str, str]  # threads, devices, hosts, versions, writer, command, user

    @property
    def seconds(self) -> float | None:
        """Return the duration, s; None if the end is unknown."""
        return None if self.ended is None else (self.ended - self.started).total_seconds()


@dataclass(frozen=True)
class Provenance:
    """The origin of a file; empty for files of the reference implementation."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[RunRecord, ...] = ()
    point_seconds: float | None = None  # sum over all points of the time on their ranks, s
    n_damaged_runs: int = 0  # rows of the table of runs that are left out


def read_provenance(path: Path) -> Provenance:
    """Read the origin of a surface file. Local, and without a lock.

    Args:
        path: A file that read_surface has read.

    Raises:
        InputError: If the file holds something else in place of the table of runs.
    """
    with open_beside_others(path) as file:
        group = file.get(GROUP)
        if not isinstance(group, h5py.Group):
            return Provenance()
        attributes = {name: _plain(value) for name, value in group.attrs.items()}
        rows: Any = group[RUNS][()] if RUNS in group else np.zeros(0, RUN)
        seconds = file["seconds"][()] if "seconds" in file else np.empty(0)
        done = file["done"][()] == 1 if "done" in file else np.zeros(seconds.shape, bool)
    _check_runs(rows, path)
    if seconds.shape != done.shape:
        seconds, done = np.empty(0), np.empty(0, bool)
    known = seconds[done & (seconds >= 0) & (seconds < MOST_SECONDS)]
    taken = rows[rows["started"] != b""]
    sound = are_sound(taken)
    runs = tuple(_record(row) for row in taken[sound])
    seconds_known = float(known.sum()) if known.any() else None
    return Provenance(attributes, runs, seconds_known, int((~sound).sum()))


def _check_runs(rows: Any, path: Path) -> None:
    if getattr(rows, "ndim", None) != 1 or not set(READ) <= set(rows.dtype.names or ()):
        raise InputError(
            f"{path}: {GROUP}/{RUNS} is not the table of runs that a surface file holds. The file "
            "is damaged. Copy it again from the machine of the job."
        )


def _record(row: Any) -> RunRecord:
    words = {name: _plain(row[name]) for name in row.dtype.names}
    texts = {name: str(value) for name, value in words.items() if isinstance(value, str)}
    return RunRecord(
        started=datetime.fromisoformat(texts["started"]),
        ended=datetime.fromisoformat(texts["ended"]) if texts["ended"] else None,
        outcome=texts["outcome"],
        n_points=int(words["points"]),
        n_ranks=int(words["ranks"]),
        texts=texts,
    )


def _plain(value: Any) -> Any:
    """Return a value as a Python type, text as str."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
