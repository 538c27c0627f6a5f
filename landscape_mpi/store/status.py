"""The progress of a surface file, and its runs, also while one is filling it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.store.checksums import DamagedFileError
from landscape_mpi.store.reader import Surface, read_surface
from landscape_mpi.store.runs import are_sound
from landscape_mpi.store.schema import ADAPTIVE, MAX_RUNS, RUN

SHOWN = ("started", "ended", "outcome", "points", "ranks", "devices", "hosts")  # columns of RUN


def on_hosts(counted: str) -> str:
    """Return the hosts of a run in words, "8 on n1, 8 on n2" for "8 x n1, 8 x n2"."""
    return counted.replace(" x ", " on ")


@dataclass(frozen=True)
class Run:
    """One run that fills or filled a surface file."""

    number: int  # from 1
    started: datetime
    ended: datetime | None  # None while it runs, and for ever if it was killed
    outcome: str  # empty if ended is None
    n_points: int | None  # None if rows of runs before it are lost or damaged
    n_ranks: int
    devices: str
    hosts: str


@dataclass(frozen=True)
class Status:
    """The progress of a surface file."""

    surface: Surface
    last_write: datetime
    run: Run | None  # the last one; None before the first, or if no sound row describes it
    seconds: np.ndarray  # time of each point on its rank, s, float64 [n_alpha, n_beta]
    rank: np.ndarray  # int32 [n_alpha, n_beta]
    n_damaged_runs: int = 0  # rows of the table of runs that are left out

    @property
    def n_done(self) -> int:
        """Return the number of computed points."""
        return int(self.computed.sum())

    @property
    def computed(self) -> np.ndarray:
        """Say which points are computed, not interpolated, bool [n_alpha, n_beta]."""
        found = self.surface.interpolation
        return self.surface.done if found is None else self.surface.done & ~found.points

    @property
    def is_adaptive(self) -> bool:
        """Say whether points follow from the values of others, so that their number is unknown."""
        return self.surface.attributes.get(ADAPTIVE, "none") != "none"

    @property
    def points_per_s(self) -> float | None:
        """Return the rate of the last run up to its last round; None without such a round."""
        if self.run is None or not self.run.n_points:
            return None
        elapsed = (self.run.ended or self.last_write) - self.run.started
        # Times are stored in whole seconds.
        return self.run.n_points / max(elapsed.total_seconds(), 1.0)

    def balance(self, order: np.ndarray) -> float | None:
        """Return the computing time of the slowest rank of the last run over the mean.

        Args:
            order: All points in the order in which runs compute them, int64 [n_points]. The last
                run computed the last of the done points. If a run chose its points by their values,
                there is no such order.
        """
        if self.run is None or not self.run.n_points or self.is_adaptive:
            return None
        points = order[self.surface.done.ravel()[order]][-self.run.n_points :]
        ranks, seconds = self.rank.ravel()[points], self.seconds.ravel()[points]
        busy = np.bincount(ranks, weights=seconds)[np.unique(ranks)]
        return float(busy.max() / busy.mean()) if busy.any() else None


def read_status(path: Path) -> Status:
    """Read the progress of a surface file. Local, and without a lock.

    Args:
        path: A surface file; one of the reference implementation has no runs.

    Raises:
        InputError: If it is not a surface file, or cannot be read.
    """
    surface = read_surface(path)
    with h5py.File(path, "r", locking=False) as file:
        known = {name: file[name][...] for name in ("seconds", "rank") if name in file}
        runs = _read_runs(file, path)
    taken = runs[runs["started"] != b""]
    nothing = np.zeros(surface.shape)
    return Status(
        surface=surface,
        last_write=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        run=_last_run(taken, _n_computed(surface)),
        seconds=known.get("seconds", nothing),
        rank=known.get("rank", nothing.astype(np.int32)),
        n_damaged_runs=int((~are_sound(taken)).sum()),
    )


def _read_runs(file: h5py.File, path: Path) -> np.ndarray:
    """Return the table of runs; empty in a file that has none.

    Raises:
        DamagedFileError: If something else stands in its place.
    """
    table = file.get("provenance/runs")
    if table is None:
        return np.zeros(0, RUN)
    if not isinstance(table, h5py.Dataset) or table.shape is None or not _has_columns(table):
        raise DamagedFileError(path, "provenance/runs is not a table of runs")
    return table[...]


def _has_columns(table: h5py.Dataset) -> bool:
    columns = table.dtype.fields or {}
    return table.ndim == 1 and all(
        name in columns and columns[name][0].kind == RUN[name].kind for name in SHOWN
    )


def _n_computed(surface: Surface) -> int:
    n_interpolated = 0 if surface.interpolation is None else surface.interpolation.n_points
    return int(surface.done.sum()) - n_interpolated


def _last_run(taken: np.ndarray, n_done: int) -> Run | None:
    sound = are_sound(taken)
    if not len(taken) or not sound[-1]:
        return None
    row = taken[-1]
    words = {name: row[name].decode() for name in ("started", "ended", "outcome")}
    n_points: int | None = int(row["points"])
    if not words["ended"]:  # entered only at its end
        is_known = len(taken) < MAX_RUNS and sound.all()
        n_points = n_done - int(taken["points"][:-1].sum()) if is_known else None
    return Run(
        number=len(taken),
        started=datetime.fromisoformat(words["started"]),
        ended=datetime.fromisoformat(words["ended"]) if words["ended"] else None,
        outcome=words["outcome"],
        n_points=n_points,
        n_ranks=int(row["ranks"]),
        devices=row["devices"].decode(),
        hosts=row["hosts"].decode(),
    )
