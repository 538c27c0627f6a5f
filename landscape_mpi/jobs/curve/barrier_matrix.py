"""Make matrices of the barriers between solutions from a file's lines; write and print them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landscape_mpi.engine.filling import Outcome
from landscape_mpi.engine.stopped import say_stopped
from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.output import whole_file
from landscape_mpi.store.lines import (
    BARRIER,
    FIRST_COLUMNS,
    MATCH,
    NOT_FINITE,
    barriers_of,
    labels_of,
    names_of,
    not_finite_of,
    pairs_of,
)
from landscape_mpi.store.reader import Surface, read_surface

MOST_PLACES = 6  # places that are listed one by one
MOST_CHARACTERS = 10_000  # longest line with the names of the columns


def say_barriers(out: Path, outcome: Outcome) -> None:
    """Write and print the matrices, and print the next step. Local; call it on rank 0."""
    surface = read_surface(out)
    if not outcome.finished:
        say_stopped(outcome.signal, surface.done.sum(), surface.n_points, "points")
        return
    names = names_of(surface)
    labels = labels_of(len(names))
    print(*(f"{label}: {name}" for label, name in zip(labels, names, strict=True)), sep="\n")
    if surface.attributes.get(MATCH, "none") != "none":
        print("in each pair, the second network's units were permuted to match the first's")
    for name in surface.values:
        matrix = barriers_of(surface, name)
        print(*lines_of(name, matrix, labels, units=surface.units[name]), sep="\n")
        for (i, j), places in not_finite_of(surface, name).items():
            where = words_of(places, len(surface.alpha))
            print(f"{labels[i]} to {labels[j]}: {name} is NaN or infinite {where}")
    table = out.with_suffix(".csv")
    check_table(table, out, fresh=False)  # checked again, because hours have passed
    write_csv(table, surface)
    print(f"done: {out}, {table}; next: {typed('plot')} {out}", flush=True)


def check_table(path: Path, out: Path, *, fresh: bool) -> None:
    """Check that the place for the matrices of --out has no other file. Local.

    Args:
        path: Place of the matrices.
        out: File of the lines.
        fresh: Whether an existing file is replaced.

    Raises:
        InputError: If the file at path is not a table of barriers, or is one without its lines.
    """
    if not path.exists() or not path.stat().st_size:
        return
    if not _is_table(path):
        raise InputError(
            f"--out: {out}: the matrices go to {path}, but that file exists and is not a table of "
            "barriers, so it is kept. Pass another --out, or move that file."
        )
    if not out.exists() and not fresh:
        raise InputError(
            f"--out: {out}: the matrices go to {path}, but a table of barriers without its lines "
            "is already there. Pass another --out, move the table, or pass --fresh to replace it."
        )


def _is_table(path: Path) -> bool:
    """Return whether a file begins like one of write_csv."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            columns = file.readline(MOST_CHARACTERS).rstrip("\n").split(",")
    except OSError:
        return False
    barriers = [name for name in columns[2:] if name != NOT_FINITE]
    known = all(name.endswith(BARRIER) for name in barriers)
    return columns[:2] == FIRST_COLUMNS and bool(barriers) and known


def write_csv(path: Path, surface: Surface) -> None:
    """Write a row for each pair of solutions."""
    names = names_of(surface)
    matrices = {name: barriers_of(surface, name) for name in surface.values}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*FIRST_COLUMNS, *(f"{name}{BARRIER}" for name in matrices), NOT_FINITE])
    for i, j in pairs_of(len(names)):
        barriers = (float(matrix[i, j]) for matrix in matrices.values())
        table.writerow([names[i], names[j], *barriers, _not_finite_between(surface, (i, j))])
    with whole_file(path) as partial:
        partial.write_text(text.getvalue())


def _not_finite_between(surface: Surface, pair: tuple[int, int]) -> str:
    """Describe the values that are not finite on a pair's line, and their places."""
    found = {name: not_finite_of(surface, name).get(pair) for name in surface.values}
    n_places = len(surface.alpha)
    return "; ".join(f"{n} {words_of(t, n_places)}" for n, t in found.items() if t is not None)


def words_of(places: np.ndarray, n_places: int) -> str:
    """Describe places t; list all of them if they are few."""
    if len(places) <= MOST_PLACES:
        return "at t = " + ", ".join(f"{t:.4g}" for t in places)
    many = f"{len(places):,} of {n_places:,}"
    return f"at {many} places, t from {places[0]:.4g} to {places[-1]:.4g}"


def lines_of(name: str, matrix: np.ndarray, labels: Sequence[str], *, units: str) -> list[str]:
    """Return the upper half of a matrix as text, a line for each solution."""
    lines = [f"barrier of {name}" + ("" if units == "1" else f", {units}")]
    lines.append(" " * 3 + "".join(f"{label:>10}" for label in labels[1:]))
    for i, label in enumerate(labels[:-1]):
        cells = [f"{value:10.4g}" for value in matrix[i, i + 1 :]]
        lines.append(f"{label:>3}" + " " * 10 * i + "".join(cells))
    return lines
