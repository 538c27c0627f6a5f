"""Tables of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from landscape_mpi.output import whole_file

Rows: TypeAlias = list[Sequence[object]]


def write_rows(rows: Iterable[Sequence[object]], path: Path) -> None:
    """Write a table, whole or not at all.

    Args:
        rows: The names of the columns, then the rows.
        path: File to make or replace.

    Raises:
        InputError: If the file cannot be written.
    """
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
