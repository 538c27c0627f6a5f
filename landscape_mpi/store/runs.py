"""The table of the runs that filled a surface file."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.store import schema

CHECKSUM = "checksum"


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
    taken = runs[runs["started"] != b""]
    if not are_sound(taken).all():
        return
    row = len(taken) - 1
    n_points = n_done - int(runs["points"].sum())
    # In a full table the last row has replaced others, whose points are unknown.
    is_open = 0 <= row < schema.MAX_RUNS - 1 and not runs[row]["ended"]
    if not is_open or n_points <= 0:
        return
    runs["points"][row] = n_points
    with h5py.File(path, "r+", locking=False) as file:
        file[f"provenance/{table}"][row] = row_for(runs.dtype, runs[row])


def row_for(table: np.dtype, run: np.ndarray) -> np.ndarray:
    """Return a row with the columns of a table, which may be older, and with its checksum.

    Args:
        table: Type of the rows of the table.
        run: The row, with the columns of schema.RUN or fewer.
    """
    row = np.zeros((), table)
    for name in {*(table.names or ())} & {*(run.dtype.names or ())}:
        row[name] = run[name]
    if CHECKSUM in row.dtype.fields:
        row[CHECKSUM] = _checksum(row)
    return row


def are_sound(runs: np.ndarray) -> np.ndarray:
    """Say which rows are as they were written, bool [n]. Without a checksum, texts must be legible.

    Args:
        runs: Rows of a table.
    """
    return np.array([_is_sound(run) for run in runs], bool)


def describe_damaged(n_rows: int) -> str:
    """Describe the rows that are left out, in a sentence."""
    rows = (
        f"{n_rows} rows of the table of runs are" if n_rows > 1 else "1 row of the table of runs is"
    )
    return f"{rows} damaged and left out; no value of the surface depends on it"


def _is_sound(run: np.void) -> bool:
    names = run.dtype.names or ()
    if CHECKSUM in names and run[CHECKSUM]:
        return bool(run[CHECKSUM] == _checksum(run))
    try:
        texts = {name: run[name].decode() for name in names if run.dtype[name].kind == "S"}
        for name in ("started", "ended"):
            datetime.fromisoformat(texts[name] or "2000-01-01")
    except ValueError:
        return False
    return True


def _checksum(run: np.ndarray | np.void) -> int:
    digest = hashlib.sha256()
    for name in run.dtype.names or ():
        if name != CHECKSUM:
            digest.update(run[name].tobytes().ljust(run.dtype[name].itemsize, b"\0"))
    return int.from_bytes(digest.digest()[:8], "little")


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
