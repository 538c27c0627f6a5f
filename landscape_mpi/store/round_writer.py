"""Write rounds of values so that a crash at any moment leaves a correct file.

A round is written in two steps: values with their checksums, then the flags that mark its points as
done. Between the steps and afterwards, this can happen:

- A killed process. The system keeps what a process has written, and the steps are in order on every
  rank, since all ranks wait for each other between them. Without its flag, a point counts as not
  computed. So no finished round is lost, and the present round is computed again.
- A crash of the node or a power cut. The values are made durable by one fsync before the flags are
  written, so no flag is on the disk without its values. The flags themselves become durable with
  the fsync of the next round, or of the row that ends the run: such a crash costs at most the
  present round and the one before it.
- A write that was cut short or went wrong on its way. The checksum of a point covers its place and
  all its values. The rank that computed the point makes it, before the values are sent anywhere.
  Each reader of the file checks it, and reports a flag whose values are different.
- Points of earlier rounds are written again if they lie between new ones. They get the same bytes
  again, so a crash in the middle does no harm.
- A round that takes further samples at points that are done. Their flags are cleared, and that is
  made durable, before the values are written. A crash in between costs these points, which are
  computed again.
- A write that the system refuses ends the job on the rank that meets it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape_mpi.errors import UnwritableError
from landscape_mpi.store import schema
from landscape_mpi.store.checksums import checksum_of, place_columns, point_checksums
from landscape_mpi.store.row_blocks import KnownRows, RowBlocks
from landscape_mpi.store.runs import row_for


class RoundWriter(ABC):
    """An open surface file."""

    _file: h5py.File | None

    def __init__(self, path: Path, *, comm: Any, n_blocks: int = 1) -> None:
        """Open the file. Collective over comm, like all methods.

        Args:
            path: Surface file, complete but for its values.
            comm: The mpi4py communicator of all ranks that write.
            n_blocks: Number of ranks that write values.

        Raises:
            UnwritableError: On a rank that cannot open it.
        """
        self._path, self._comm = path, comm
        with writing(path):
            self._file = self._open_file()
            # Held open: closing one writes the rest of its data, and h5py ignores errors then.
            self._datasets = {} if self._file is None else _all_datasets(self._file)
            names = [axis.name for axis in schema.AXES] if comm.rank == 0 else []
            axes = {name: self._datasets[name][...] for name in names}
        self._axes: dict[str, np.ndarray] = comm.bcast(axes, root=0)
        self._names: set[str] = comm.bcast(set(self._datasets), root=0)
        n_alpha, n_beta = (len(self._axes[axis.name]) for axis in schema.AXES)
        self._blocks = RowBlocks((n_alpha, n_beta), n_blocks, comm=comm)
        rows = self._blocks.own_rows
        self._known = None if rows is None else KnownRows(rows, n_beta, self._read_rows)

    def write_round(
        self,
        points: np.ndarray,
        columns: Mapping[str, np.ndarray],
        *,
        flags: str = "done",
        flag: int = schema.COMPUTED,
        reopened: bool = False,
    ) -> None:
        """Write this rank's points and mark them done.

        Collective over comm: call on every rank, also with zero points.

        Args:
            points: Flat indices into [n_alpha, n_beta], int64 [n_local].
            columns: Values by dataset, each [n_local]; the same datasets on every rank.
            flags: Dataset of the flags that mark the points as done.
            flag: Value of the flag for these points.
            reopened: Whether some of these points may be done. Their flags are then cleared first,
                so that a run killed in the middle leaves no half of a point that counts.

        Raises:
            ValueError: If points and values differ in length.
            UnwritableError: On a rank where the write failed, as in the other methods.
        """
        _check_columns(points, columns)
        columns = self._with_checksum(checksum_of(flags), points, columns)
        points, columns = self._blocks.collect(points, columns)
        with writing(self._path):
            if reopened:
                self._write(points, {flags: np.zeros(len(points), np.uint8)}, on_disk=True)
            self._write(points, columns, on_disk=True)
            # The values are on disk on all ranks before the first flag says so.
            self._write(points, {flags: np.full(len(points), flag, np.uint8)}, on_disk=False)

    def write_check(self, points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Write the results of the check of interpolated points, before these points themselves.

        Collective over comm, like write_round. The flags of the interpolated points make the
        results count.

        Args:
            points: Flat indices of all points on one rank, and none on the others, int64 [n_local].
            columns: Results by dataset, each [n_local]; the same datasets on every rank.
        """
        _check_columns(points, columns)
        columns = self._with_checksum(schema.CHECK_CHECKSUM, points, columns)
        points, columns = self._blocks.collect(points, columns)
        with writing(self._path):
            self._write(points, columns, on_disk=True)

    def _with_checksum(
        self, name: str, points: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Add the checksums of some values; older files may lack the dataset for them."""
        if name not in self._names:
            return columns
        covered = place_columns(self._axes, points) | dict(columns)
        return {**columns, name: point_checksums(covered)}

    def write_again(self, name: str) -> None:
        """Write all rows of a dataset with the values that they have. Collective over comm."""
        span = self._blocks.own_rows or slice(0, 0)
        with writing(self._path):
            if self._known is not None:
                self._known.put(name, np.empty(0, np.int64), np.empty(0))
            self._write_rows(name, span)
            self._land([name], span, on_disk=True)
        self._comm.Barrier()

    def _write(
        self, points: np.ndarray, columns: Mapping[str, np.ndarray], *, on_disk: bool
    ) -> None:
        """Write values that this rank's rows get. Collective over comm."""
        span = slice(0, 0)
        if self._known is not None and len(points):
            span = self._known.span(points)
            for name, values in columns.items():
                self._known.put(name, points, values)
        names = sorted(columns)  # the same order on every rank
        for name in names:
            self._write_rows(name, span)
        self._land(names, span, on_disk=on_disk)
        self._comm.Barrier()

    def _rows_of(self, name: str, span: slice) -> np.ndarray:
        return np.empty(0) if self._known is None else self._known.rows_of(name, span)

    def write_run(self, number: int, run: np.ndarray, *, table: str = "runs") -> None:
        """Write a row of the table of runs, and make all before it durable; rank 0's row counts."""
        with writing(self._path):
            if self._comm.rank == 0:
                # Values of a dataset that is there: no metadata changes, so one rank may.
                dataset = self._datasets[f"provenance/{table}"]
                dataset[number] = row_for(dataset.dtype, run)
            self._sync()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with writing(self._path):
                self._file.close()

    @abstractmethod
    def _open_file(self) -> h5py.File | None:
        """Return the open file; None on a rank that writes nothing."""

    @abstractmethod
    def _write_rows(self, name: str, span: slice) -> None:
        """Write known rows of a dataset; called on every rank, also with none."""

    @abstractmethod
    def _land(self, names: list[str], span: slice, *, on_disk: bool) -> None:
        """Make sure that rows have reached the system, or the disk; called on every rank."""

    @abstractmethod
    def _sync(self) -> None:
        """Make everything durable; called on every rank."""

    def _read_rows(self, name: str, rows: slice) -> np.ndarray:
        return self._datasets[name][rows]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of a write into an UnwritableError.

    It is raised at once and only on this rank: after a collective write that failed on one rank,
    the others may wait in the next one for ever.

    Args:
        path: File that is written.

    Raises:
        UnwritableError: If HDF5 or the system raises an error.
    """
    try:
        yield
    except (OSError, RuntimeError) as problem:
        raise UnwritableError(path, str(problem)) from problem


def _check_columns(points: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        if len(values) != len(points):
            raise ValueError(f"{name} has {len(values)} values for {len(points)} points.")


def _all_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    groups = (("", file), ("provenance/", file["provenance"]))
    nodes = {f"{at}{name}": node for at, group in groups for name, node in group.items()}
    return {name: node for name, node in nodes.items() if isinstance(node, h5py.Dataset)}
