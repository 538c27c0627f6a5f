"""The table of the runs that filled a surface file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.store import schema


def next_row(path: Path, *, table: str = "runs") -> int:
    """Return the row of the next run; if the table is full, the last row is used again."""
    with h5py.File(path, "r", locking=False) as file:
        taken = file[f"provenance/{table}"].fields("started")[...] != b""
    return min(int(taken.sum()), schema.MAX_RUNS - 1)


def settle_killed_run(path: Path, *, table: str = "runs", flags: str = "done") -> None:
    """Record the points of the last run, if it was killed before it could do so. Local.

    Args:
        path: Surface file that no run is writing.
        table: Name of the table.
        flags: Dataset of the flags of the points that its runs compute.
    """
    with h5py.File(path, "r", locking=False) as file:
        runs, n_done = file[f"provenance/{table}"][...], int(np.sum(file[flags][...] == 1))
    row = int((runs["started"] != b"").sum()) - 1
    n_points = n_done - int(runs["points"].sum())
    # In a full table the last row has replaced others, whose points are unknown.
    is_open = 0 <= row < schema.MAX_RUNS - 1 and not runs[row]["ended"]
    if not is_open or n_points <= 0:
        return
    runs["points"][row] = n_points
    with h5py.File(path, "r+", locking=False) as file:
        file[f"provenance/{table}"][row] = runs[row]


def make_row(**fields: str | int) -> np.ndarray:
    """Return a row of the table; text that is too long ends in an ellipsis.

    Args:
        fields: Values by the names of schema.RUN; missing ones are empty.
    """
    row = np.zeros((), schema.RUN)
    for name, value in fields.items():
        row[name] = _fitted(value, schema.RUN[name].itemsize) if isinstance(value, str) else value
    return row


def _fitted(text: str, n_bytes: int) -> bytes:
    encoded = text.encode("ascii", "replace")
    return encoded if len(encoded) <= n_bytes else encoded[: n_bytes - 3] + b"..."
