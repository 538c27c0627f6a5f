"""Examine the folder for a run's files: its file system, its locks, the speed of rounds."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, meet, on_root
from landscape_mpi.errors import InputError
from landscape_mpi.output import OutputLock, check_output
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.writer import has_parallel_hdf5, open_writer

MOUNTS = Path("/proc/self/mounts")
N_POINTS = 10  # points of a rank in a round
N_ROUNDS = 5


@dataclass(frozen=True)
class FolderFacts:
    """Properties of a folder."""

    path: Path
    file_system: str
    free_bytes: int
    has_locks: bool
    blind_hosts: tuple[str, ...]  # nodes that do not see what rank 0 writes there
    round_seconds: float | None  # rank 0 gathers; None if not all nodes see the folder
    parallel_seconds: float | None = None  # parallel HDF5; None also without it


def find_folder_facts(ranks: Ranks, folder: Path) -> FolderFacts:
    """Write a small file there and remove it. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        folder: Folder for a run's files.

    Raises:
        SharedInputError: If nothing can be written there.
        UnwritableError: If a write fails.
    """
    name = ranks.comm.bcast(f".doctor.{os.getpid()}.h5", root=ROOT)
    path = folder / name
    has_locks = on_root(ranks, lambda: _create(path, ranks.size))
    try:
        told = ranks.comm.allgather(None if path.exists() else ranks.host)
        blind = tuple(sorted({host for host in told if host is not None}))
        seconds = None if blind else _time_rounds(ranks, path, n_writers=None)
        in_parallel = None
        if not blind and has_parallel_hdf5():
            in_parallel = _time_rounds(ranks, path, n_writers=1)
    finally:
        if ranks.is_root:
            path.unlink(missing_ok=True)
    return FolderFacts(
        path=folder.resolve(),
        file_system=file_system_of(folder.resolve(), MOUNTS.read_text()),
        free_bytes=shutil.disk_usage(folder).free if folder.exists() else 0,
        has_locks=bool(has_locks),
        blind_hosts=blind,
        round_seconds=seconds,
        parallel_seconds=in_parallel,
    )


def _create(path: Path, n_ranks: int) -> bool:
    """Make the file, and return whether the file system has locks. Local; on rank 0.

    Raises:
        InputError: If nothing can be written there.
    """
    try:
        check_output(path)
        lock = OutputLock(path, quiet=True)
        lock.release()
        create_surface(
            path,
            SurfaceContent(
                alpha=np.arange(N_ROUNDS, dtype=float),
                beta=np.arange(N_POINTS * n_ranks, dtype=float),
                quantities=("train_loss",),
                attributes={"provenance": {}},
            ),
        )
    except InputError as problem:
        words = str(problem).replace("--out", "--folder").replace(str(path), str(path.parent))
        raise InputError(words) from problem
    return lock.holds


def _time_rounds(ranks: Ranks, path: Path, *, n_writers: int | None) -> float:
    """Return how long a round takes to write, s. Collective over the ranks."""
    writer = open_writer(path, comm=ranks.comm, n_writers=n_writers)
    seconds = []
    for number in range(N_ROUNDS):
        first = (number * ranks.size + ranks.rank) * N_POINTS
        columns: dict[str, np.ndarray] = {
            "train_loss": np.ones(N_POINTS),
            "seconds": np.ones(N_POINTS),
            "rank": np.zeros(N_POINTS, np.int32),
        }
        meet(ranks.comm)
        began = time.perf_counter()
        writer.write_round(np.arange(first, first + N_POINTS), columns)
        seconds.append(time.perf_counter() - began)
    writer.close()
    return float(np.median(seconds))


def file_system_of(folder: Path, mounts: str) -> str:
    """Return the kind of file system that a folder is on, e.g. ``lustre``.

    Args:
        folder: An absolute path.
        mounts: Lines as in /proc/self/mounts; a later one covers an earlier one.
    """
    kind, deepest = "unknown", -1
    for line in mounts.splitlines():
        _, place, found, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        depth = len(Path(place).parts)
        if folder.is_relative_to(place) and depth >= deepest:
            kind, deepest = found, depth
    return kind
