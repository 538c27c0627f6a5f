"""Write rounds into a surface file: values first, then the flags that mark them as done.

With parallel HDF5 all ranks write together; without it rank 0 gathers and writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from landscape_mpi.errors import UnwritableError
from landscape_mpi.store import schema
from landscape_mpi.store.checksums import place_columns, point_checksums


def has_parallel_hdf5() -> bool:
    """Say whether this h5py was built for MPI."""
    return bool(h5py.get_config().mpi)


def writer_description() -> str:
    """Return the way files are written here, for the log and the file."""
    return "parallel HDF5" if has_parallel_hdf5() else "serial HDF5, gathered on rank 0"


class RoundWriter(Protocol):
    """An open surface file."""

    def write_round(
        self,
        points: np.ndarray,
        columns: Mapping[str, np.ndarray],
        *,
        flags: str = "done",
        flag: int = schema.COMPUTED,
    ) -> None:
        """Write this rank's points and mark them done.

        Collective over comm: call on every rank, also with zero points.

        Args:
            points: Flat indices into [n_alpha, n_beta], int64 [n_local].
            columns: Values by dataset, each [n_local]; the same datasets on every rank.
            flags: Dataset of the flags that mark the points as done.
            flag: Value of the flag for these points.

        Raises:
            ValueError: If points and values differ in length.
            UnwritableError: On a rank where the write failed, as in the other methods.
        """

    def write_beside(self, points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Write values without flags and checksums. Collective over comm, like write_round."""

    def write_run(self, number: int, run: np.ndarray, *, table: str = "runs") -> None:
        """Write a row of the table of runs."""

    def close(self) -> None:
        """Close the file."""


def open_writer(path: Path, *, comm: Any) -> RoundWriter:
    """Open a surface file for writing. Collective over comm.

    Args:
        path: Surface file, complete but for its values.
        comm: The mpi4py communicator of all ranks that write.

    Returns:
        The writer for this h5py; its methods are also collective over comm.
    """
    if has_parallel_hdf5():
        return CollectiveWriter(path, comm=comm)
    return GatheringWriter(path, comm=comm)


def _check_columns(points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        if len(values) != len(points):
            raise ValueError(f"{name} has {len(values)} values for {len(points)} points.")


def _rows(points: np.ndarray, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict]:
    """Return points and values in the order of the file, which MPI-IO needs."""
    _check_columns(points, columns)
    order = np.argsort(points, kind="stable")
    return points[order], {name: values[order] for name, values in columns.items()}


def _with_checksums(
    file: h5py.File, points: np.ndarray, columns: Mapping[str, np.ndarray], flags: str
) -> dict[str, np.ndarray]:
    if flags != "done":  # the values of a later command have none
        return dict(columns)
    sums = point_checksums({**place_columns(file, points), **columns})
    return {**columns, "checksum": sums}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of a write into an UnwritableError.

    It is raised at once and only on this rank: after a collective write that failed on one rank,
    the others may wait in the next one for ever.

    Raises:
        UnwritableError: If HDF5 or the system raises an error.
    """
    try:
        yield
    except (OSError, RuntimeError) as problem:
        raise UnwritableError(path, str(problem)) from problem


class CollectiveWriter:
    """Every rank writes its own points, in one collective call per dataset."""

    def __init__(self, path: Path, *, comm: Any) -> None:
        self._path, self._comm = path, comm
        with _writing(path):
            self._file = h5py.File(path, "r+", driver="mpio", comm=comm)

    def write_round(
        self,
        points: np.ndarray,
        columns: Mapping[str, np.ndarray],
        *,
        flags: str = "done",
        flag: int = schema.COMPUTED,
    ) -> None:
        """Write this rank's points. Collective over comm; see RoundWriter."""
        points, columns = _rows(points, columns)
        with _writing(self._path):
            self._write(points, _with_checksums(self._file, points, columns, flags))
            # Values are on disk on all ranks before the first flag says so.
            self._write(points, {flags: np.full(len(points), flag, np.uint8)})

    def write_beside(self, points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Write values without flags. Collective over comm; see RoundWriter."""
        points, columns = _rows(points, columns)
        with _writing(self._path):
            self._write(points, columns)

    def _write(self, points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        for name, values in columns.items():
            self._write_dataset(name, points, values)
        self._file.flush()
        self._comm.Barrier()
        # Open MPI 4.1 does not report a failed write, and one rank may write for others.
        for name, values in columns.items():
            self._read_back(name, points, values)
        self._comm.Barrier()

    def _write_dataset(self, name: str, points: np.ndarray, values: np.ndarray) -> None:
        dataset = self._file[name]
        in_file, in_memory = _selections(dataset.shape, points)
        rows = np.ascontiguousarray(values, dataset.dtype)
        # The high-level write returns early on a rank without rows, and the others then wait
        # for it for ever; the low-level one enters the collective call on every rank.
        with dataset.collective:
            dataset.id.write(in_memory, in_file, rows, dxpl=dataset._dxpl)

    def _read_back(self, name: str, points: np.ndarray, values: np.ndarray) -> None:
        dataset = self._file[name]
        in_file, in_memory = _selections(dataset.shape, points)
        rows = np.empty(len(points), dataset.dtype)
        dataset.id.read(in_memory, in_file, rows)
        if rows.tobytes() != np.asarray(values, dataset.dtype).tobytes():
            raise OSError(f"what is read back of {name} is not what was written")

    def write_run(self, number: int, run: np.ndarray, *, table: str = "runs") -> None:
        """Write a row of the table of runs. Collective over comm; rank 0's row counts."""
        with _writing(self._path):
            if self._comm.rank == 0:
                # Values of a dataset that is there: no metadata changes, so one rank may.
                self._file[f"provenance/{table}"][number] = run
            self._file.flush()

    def close(self) -> None:
        """Close the file. Collective over comm."""
        with _writing(self._path):
            self._file.close()


def _selections(shape: Sequence[int], points: np.ndarray) -> tuple[Any, Any]:
    """Return the dataspaces of points in the file and of their values in memory."""
    in_file = h5py.h5s.create_simple(tuple(shape))
    in_memory = h5py.h5s.create_simple((max(1, len(points)),))
    if len(points):
        in_file.select_elements(np.stack(np.unravel_index(points, shape), axis=1))
    else:
        in_file.select_none()
        in_memory.select_none()
    return in_file, in_memory


class GatheringWriter:
    """Rank 0 gathers the values of all ranks and writes them, for an h5py without MPI."""

    def __init__(self, path: Path, *, comm: Any) -> None:
        self._path, self._comm = path, comm
        with _writing(path):
            self._file = h5py.File(path, "r+", locking=False) if comm.rank == 0 else None
            # Held open: closing one writes the rest of its data, and h5py ignores errors then.
            self._open = [] if self._file is None else _all_datasets(self._file)

    def write_round(
        self,
        points: np.ndarray,
        columns: Mapping[str, np.ndarray],
        *,
        flags: str = "done",
        flag: int = schema.COMPUTED,
    ) -> None:
        """Write this rank's points. Collective over comm; see RoundWriter."""
        _check_columns(points, columns)
        gathered = self._comm.gather((points, dict(columns)), root=0)
        if self._file is not None:
            with _writing(self._path):
                _write_gathered(self._file, gathered, flags, flag)
        # A round is over on every rank only once it is on disk.
        self._comm.Barrier()

    def write_beside(self, points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Write values without flags. Collective over comm; see RoundWriter."""
        gathered = self._comm.gather((points, dict(columns)), root=0)
        if self._file is not None:
            with _writing(self._path):
                all_points, together = _joined(gathered)
                for name, values in together.items():
                    _write_serially(self._file[name], all_points, values)
                self._file.flush()
        self._comm.Barrier()

    def write_run(self, number: int, run: np.ndarray, *, table: str = "runs") -> None:
        """Write a row of the table of runs on rank 0. Local."""
        if self._file is not None:
            with _writing(self._path):
                self._file[f"provenance/{table}"][number] = run
                self._file.flush()

    def close(self) -> None:
        """Close the file. Local."""
        if self._file is not None:
            with _writing(self._path):
                self._file.close()


def _all_datasets(file: h5py.File) -> list[h5py.Dataset]:
    groups = (file, file["provenance"])
    return [node for group in groups for node in group.values() if isinstance(node, h5py.Dataset)]


def _joined(gathered: Sequence[tuple[np.ndarray, dict]]) -> tuple[np.ndarray, dict]:
    """Join the parts of all ranks, in the order of the file."""
    points = np.concatenate([part for part, _ in gathered])
    names = gathered[0][1]
    columns = {name: np.concatenate([part[name] for _, part in gathered]) for name in names}
    return _rows(points, columns)


def _write_gathered(
    file: h5py.File, gathered: Sequence[tuple[np.ndarray, dict]], flags: str, flag: int
) -> None:
    points, columns = _joined(gathered)
    for name, values in _with_checksums(file, points, columns, flags).items():
        _write_serially(file[name], points, values)
    file.flush()
    _write_serially(file[flags], points, np.full(len(points), flag, np.uint8))
    file.flush()


def _write_serially(dataset: h5py.Dataset, points: np.ndarray, values: np.ndarray) -> None:
    in_file, in_memory = _selections(dataset.shape, points)
    dataset.id.write(in_memory, in_file, np.ascontiguousarray(values, dataset.dtype))
