"""The barriers between solutions as matrices: made of the file's lines, written and printed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landscape_mpi.job.surface.surface_file import Outcome
from landscape_mpi.output import whole_file
from landscape_mpi.store.lines import barriers_of, labels_of, names_of, pairs_of
from landscape_mpi.store.reader import read_surface


def say_barriers(out: Path, outcome: Outcome) -> None:
    """Write and print the matrices, and say what to do next. Local; call it on rank 0."""
    surface = read_surface(out)
    if not outcome.finished:
        print(
            f"stopped by {outcome.signal} with {surface.done.sum():,} of {surface.n_points:,} "
            f"points done; run the same command again to go on",
            flush=True,
        )
        return
    names = names_of(surface)
    matrices = {name: barriers_of(surface, name) for name in surface.values}
    table = out.with_suffix(".csv")
    write_csv(table, matrices, names)
    labels = labels_of(len(names))
    print(*(f"{label}: {name}" for label, name in zip(labels, names, strict=True)), sep="\n")
    for name, matrix in matrices.items():
        print("\n".join(lines_of(name, matrix, labels)))
    print(f"done: {out}, {table}; next: python -m landscape_mpi.plot {out}", flush=True)


def write_csv(path: Path, matrices: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Write a row for each two solutions."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["first", "second", *(f"{name}_barrier" for name in matrices)])
    for i, j in pairs_of(len(names)):
        table.writerow([names[i], names[j], *(float(m[i, j]) for m in matrices.values())])
    with whole_file(path) as partial:
        partial.write_text(text.getvalue())


def lines_of(name: str, matrix: np.ndarray, labels: Sequence[str]) -> list[str]:
    """Return a matrix in words: its upper half, a line for each solution."""
    unit = "percent" if name.endswith("error") else "nat"
    lines = [f"barrier of {name}, {unit}"]
    lines.append(" " * 3 + "".join(f"{label:>10}" for label in labels[1:]))
    for i, label in enumerate(labels[:-1]):
        cells = [f"{value:10.4g}" for value in matrix[i, i + 1 :]]
        lines.append(f"{label:>3}" + " " * 10 * i + "".join(cells))
    return lines
