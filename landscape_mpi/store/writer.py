"""The two ways to write rounds into a surface file: parallel HDF5, or all values through rank 0."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store.round_writer import RoundWriter
from landscape_mpi.store.row_blocks import count_blocks

AUTO, PARALLEL, GATHER = "auto", "parallel", "gather"
TRIED = "seconds"  # dataset that every surface file has


def has_parallel_hdf5() -> bool:
    """Say whether this h5py was built for MPI."""
    return bool(h5py.get_config().mpi)


def check_way(asked: str) -> None:
    """Check that this h5py can write in the way that is asked for.

    Args:
        asked: Value of --write.

    Raises:
        InputError: If parallel HDF5 is asked for and absent.
    """
    if asked == PARALLEL and not has_parallel_hdf5():
        raise InputError(
            f"--write {PARALLEL}: this h5py ({h5py.version.version}) is built without MPI. Leave "
            f"the option out, so that rank 0 gathers the values and writes them, with the same "
            f"results; or build h5py on parallel HDF5: launch/install_parallel_hdf5.sh."
        )


def choose_writers(path: Path, asked: str, *, comm: Any, n_points: int) -> int | None:
    """Return the number of ranks that write with parallel HDF5; None if rank 0 gathers.

    With auto, both ways write a dataset of the file again, with the values that it has, and the
    faster one is taken. If the grid is too small for several ranks, rank 0 gathers. Collective over
    comm.

    Args:
        path: Surface file, complete but for its values.
        asked: auto, parallel or gather.
        comm: The mpi4py communicator of all ranks.
        n_points: Points of the grid.
    """
    n_blocks = count_blocks(n_points, comm.size)
    if asked == PARALLEL:
        return n_blocks
    if asked == GATHER or n_blocks == 1 or not has_parallel_hdf5():
        return None
    gathering, parallel = (_try_writers(path, n, comm=comm) for n in (None, n_blocks))
    return comm.bcast(n_blocks if parallel < gathering else None, root=0)


def _try_writers(path: Path, n_writers: int | None, *, comm: Any) -> float:
    """Return the time of writing a whole dataset again, s. Collective over comm."""
    writer = open_writer(path, comm=comm, n_writers=n_writers)
    seconds = 0.0
    for _ in range(2):  # the first one reads the dataset
        comm.Barrier()
        began = time.perf_counter()
        writer.write_again(TRIED)
        seconds = time.perf_counter() - began
    writer.close()
    return seconds


def describe_writers(n_writers: int | None) -> str:
    """Return the way in which a file is written, for the log and the file.

    Args:
        n_writers: Result of choose_writers().
    """
    if n_writers is None:
        return "rank 0 gathers and writes"
    return f"parallel HDF5, {n_writers} rank{'s write' if n_writers > 1 else ' writes'}"


def open_writer(path: Path, *, comm: Any, n_writers: int | None) -> RoundWriter:
    """Open a surface file for writing. Collective over comm.

    Args:
        path: Surface file, complete but for its values.
        comm: The mpi4py communicator of all ranks that write.
        n_writers: Result of choose_writers().

    Returns:
        The writer; its methods are also collective over comm.
    """
    if n_writers is None:
        return GatheringWriter(path, comm=comm)
    return CollectiveWriter(path, comm=comm, n_blocks=n_writers)


class CollectiveWriter(RoundWriter):
    """All ranks enter one collective call per dataset; some of them have rows to write."""

    _file: h5py.File

    def _open_file(self) -> h5py.File:
        return h5py.File(self._path, "r+", driver="mpio", comm=self._comm)

    def _write_rows(self, name: str, span: slice) -> None:
        dataset = self._datasets[name]
        in_file, in_memory = _selections(dataset.shape, span)
        rows = self._rows_of(name, span) if span.stop else np.empty(0, dataset.dtype)
        # The high-level write returns early on a rank without rows, and the others then wait
        # for it for ever; the low-level one enters the collective call on every rank.
        with dataset.collective:
            dataset.id.write(in_memory, in_file, rows, dxpl=dataset._dxpl)

    def _land(self, names: list[str], span: slice, *, on_disk: bool) -> None:
        if on_disk:
            self._sync()
        self._comm.Barrier()  # one rank may write for others
        # Open MPI 4.1 does not report a failed write.
        for name in names if span.stop else ():
            if self._read_rows(name, span).tobytes() != self._rows_of(name, span).tobytes():
                raise OSError(f"what is read back of {name} is not what was written")

    def _sync(self) -> None:
        self._file.flush()  # with mpio, it ends in MPI_File_sync


class GatheringWriter(RoundWriter):
    """Rank 0 gathers the values of all ranks and writes them."""

    def _open_file(self) -> h5py.File | None:
        return h5py.File(self._path, "r+", locking=False) if self._comm.rank == 0 else None

    def _write_rows(self, name: str, span: slice) -> None:
        if span.stop:
            dataset = self._datasets[name]
            in_file, in_memory = _selections(dataset.shape, span)
            dataset.id.write(in_memory, in_file, self._rows_of(name, span))

    def _land(self, names: list[str], span: slice, *, on_disk: bool) -> None:
        if span.stop and on_disk:
            self._sync()
        elif span.stop:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._file is not None:
            self._file.flush()  # HDF5 itself buffers small writes

    def _sync(self) -> None:
        self._hand_over()
        if self._file is not None:
            os.fsync(self._file.id.get_vfd_handle())


def _selections(shape: tuple[int, int], span: slice) -> tuple[Any, Any]:
    """Return the dataspaces of some rows in the file and in memory."""
    n_rows = span.stop - span.start
    in_file = h5py.h5s.create_simple(shape)
    in_memory = h5py.h5s.create_simple((max(1, n_rows), shape[1]))
    if n_rows:
        in_file.select_hyperslab((span.start, 0), (n_rows, shape[1]))
    else:
        in_file.select_none()
        in_memory.select_none()
    return in_file, in_memory
