"""Blocks of neighbouring rows of a file's grid; one rank writes each block.

The points of a round lie all over the grid, since coarse levels come first. Written one by one,
each of them would cost several system calls. So the rank of a block keeps a copy of everything that
the file holds there, takes the values of a round from the ranks that computed them, and writes from
the first changed row to the last one in a single call. Rows in between get the same bytes again.

The copy is kept rather than read before each write: a network file system may show an old state of
rows that another rank wrote, and old bytes would then replace new ones. It costs rank 0 as much
memory as the values of the file where it writes alone: 0.5 GB for the largest grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

BLOCK_BYTES = 1 << 20  # of a dataset, at least: the usual stripe of a parallel file system
VALUE_BYTES = 8  # of a point in most datasets
MOST_BLOCKS = 32


def count_blocks(n_points: int, n_ranks: int) -> int:
    """Return the number of ranks that it takes to write a grid.

    Args:
        n_points: Points of the grid.
        n_ranks: Ranks of the run.
    """
    return max(1, min(n_points * VALUE_BYTES // BLOCK_BYTES, n_ranks, MOST_BLOCKS))


class RowBlocks:
    """The rows of a grid, divided evenly among some ranks that are far from each other."""

    def __init__(self, shape: tuple[int, int], n_blocks: int, *, comm: Any) -> None:
        """Divide the rows. Local.

        Args:
            shape: Points along alpha and beta.
            n_blocks: Number of blocks, at most the number of ranks.
            comm: The mpi4py communicator of all ranks.
        """
        n_alpha, self._n_beta = shape
        self._comm = comm
        # Neighbouring ranks share a node and its link to the file system.
        self._owners = [block * comm.size // n_blocks for block in range(n_blocks)]
        self._ends = np.array([n_alpha * (block + 1) // n_blocks for block in range(n_blocks)])

    @property
    def own_rows(self) -> slice | None:
        """Return the rows that this rank writes, None if it writes none."""
        if self._comm.rank not in self._owners:
            return None
        block = self._owners.index(self._comm.rank)
        return slice(int(self._ends[block - 1]) if block else 0, int(self._ends[block]))

    def collect(
        self, points: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Send values to the ranks that write them. Collective over the ranks.

        Args:
            points: Flat indices of this rank's points, int64 [n_local].
            columns: Their values by dataset, each [n_local]; the same datasets on every rank.

        Returns:
            The points of all ranks that this rank writes, int64 [n], and their values, each [n].
        """
        block_of = np.searchsorted(self._ends, points // self._n_beta, side="right")
        received: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
        for block, owner in enumerate(self._owners):
            sent = block_of == block
            part = points[sent], {name: values[sent] for name, values in columns.items()}
            # Ranks without points must still enter.
            received += self._comm.gather(part, root=owner) or []
        if not received:
            return points[:0], {name: values[:0] for name, values in columns.items()}
        joined = {name: np.concatenate([part[name] for _, part in received]) for name in columns}
        return np.concatenate([part for part, _ in received]), joined


class KnownRows:
    """The values that a file holds in the rows that this rank writes."""

    def __init__(self, rows: slice, n_beta: int, read: Callable[[str, slice], np.ndarray]) -> None:
        """Begin without a dataset; each is read once, at its first change.

        Args:
            rows: The rows.
            n_beta: Points of a row.
            read: Returns rows of a dataset, [n_rows, n_beta], by its name.
        """
        self._rows, self._n_beta, self._read = rows, n_beta, read
        self._values: dict[str, np.ndarray] = {}

    def span(self, points: np.ndarray) -> slice:
        """Return the rows from the first to the last of some points, at least one of them."""
        rows = points // self._n_beta
        return slice(int(rows.min()), int(rows.max()) + 1)

    def put(self, name: str, points: np.ndarray, values: np.ndarray) -> None:
        """Change values of a dataset.

        Args:
            name: Dataset.
            points: Flat indices, all in these rows, int64 [n].
            values: Their values, [n].
        """
        if name not in self._values:
            self._values[name] = np.ascontiguousarray(self._read(name, self._rows))
        self._values[name].reshape(-1)[points - self._rows.start * self._n_beta] = values

    def rows_of(self, name: str, span: slice) -> np.ndarray:
        """Return rows of a dataset that was changed before, [n_rows, n_beta]."""
        return self._values[name][span.start - self._rows.start : span.stop - self._rows.start]
